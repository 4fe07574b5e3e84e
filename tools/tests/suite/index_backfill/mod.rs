//! The program as a maintainer runs it: flags, output, exit codes, and the resulting index.

mod permissions;
mod state;

use std::fs;
use std::process::Command;

use insta::assert_snapshot;

use state::{PROGRAM, State, archive, hex, usual_archive};

#[test]
fn help_names_every_flag() {
    let output = Command::new(PROGRAM).arg("--help").output().unwrap();
    assert!(output.status.success());
    assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn an_empty_store_has_nothing_to_add_and_no_index_is_made() {
    let state = State::new();
    assert_snapshot!(state.run(&[]), @r#"
    exit 0
    scanned: 0 already-indexed: 0 to-backfill: 0
    backfilled 0 rows into [STATE]/index.jsonl
    --
    "#);
    assert_eq!(fs::read_dir(state.0.path()).unwrap().count(), 1, "neither index nor lock");
}

#[test]
fn a_row_holds_what_the_archive_says_and_when_it_was_stored() {
    let state = State::with_archives(1);
    assert_snapshot!(state.run(&[]), @r#"
    exit 0
    scanned: 1 already-indexed: 0 to-backfill: 1
    backfilled 1 rows into [STATE]/index.jsonl
    --
    "#);
    let bytes = usual_archive();
    let row = state.index().replace(&hex(&bytes), "[SHA256]").replace(&bytes.len().to_string(), "[SIZE]");
    assert_snapshot!(row, @r#"
    {"backfilled":true,"commit":"abababababababababababababababababababab","episode_id":"e1","host_id":"h1","received_at_wall":"2025-10-09T08:53:20.000001+00:00","schema_version":1,"sha256":"[SHA256]","size_bytes":[SIZE]}
    "#);
}

#[test]
fn only_what_has_no_row_is_added_and_a_second_run_adds_nothing() {
    let state = State::with_archives(3);
    fs::write(state.path("index.jsonl"), "{\"host_id\": \"h1\", \"episode_id\": \"e2\"}\n").unwrap();
    assert_snapshot!(state.run(&[]), @r#"
    exit 0
    scanned: 3 already-indexed: 1 to-backfill: 2
    backfilled 2 rows into [STATE]/index.jsonl
    --
    "#);
    let after = state.index();
    assert_snapshot!(state.run(&[]), @r#"
    exit 0
    scanned: 3 already-indexed: 3 to-backfill: 0
    backfilled 0 rows into [STATE]/index.jsonl
    --
    "#);
    assert_eq!(state.index(), after);
}

#[test]
fn a_dry_run_shows_five_rows_in_order_and_writes_nothing() {
    let state = State::with_archives(7);
    let told = state.run(&["--dry-run"]);
    let size = usual_archive().len().to_string();
    assert_snapshot!(told.replace(&format!("\"size_bytes\":{size}"), "\"size_bytes\":[SIZE]"), @r#"
    exit 0
    scanned: 7 already-indexed: 0 to-backfill: 7
    {"backfilled":true,"commit":"abababababababababababababababababababab","episode_id":"e1","host_id":"h1","received_at_wall":"2025-10-09T08:53:20.000001+00:00","schema_version":1,"sha256":"[SHA256]","size_bytes":[SIZE]}
    {"backfilled":true,"commit":"abababababababababababababababababababab","episode_id":"e2","host_id":"h1","received_at_wall":"2025-10-09T08:53:20.000001+00:00","schema_version":1,"sha256":"[SHA256]","size_bytes":[SIZE]}
    {"backfilled":true,"commit":"abababababababababababababababababababab","episode_id":"e3","host_id":"h1","received_at_wall":"2025-10-09T08:53:20.000001+00:00","schema_version":1,"sha256":"[SHA256]","size_bytes":[SIZE]}
    {"backfilled":true,"commit":"abababababababababababababababababababab","episode_id":"e4","host_id":"h1","received_at_wall":"2025-10-09T08:53:20.000001+00:00","schema_version":1,"sha256":"[SHA256]","size_bytes":[SIZE]}
    {"backfilled":true,"commit":"abababababababababababababababababababab","episode_id":"e5","host_id":"h1","received_at_wall":"2025-10-09T08:53:20.000001+00:00","schema_version":1,"sha256":"[SHA256]","size_bytes":[SIZE]}
    ... (2 more)
    --
    "#);
    assert_eq!(fs::read_dir(state.0.path()).unwrap().count(), 1, "neither index nor lock");

    let few = State::with_archives(5).run(&["--dry-run"]);
    assert!(!few.contains("more"), "{few}");
}

#[test]
fn no_episodes_directory_is_exit_2() {
    let state = State::new();
    fs::remove_dir(state.path("episodes")).unwrap();
    assert_snapshot!(state.run(&[]), @r#"
    exit 2
    --
    error: there is no episodes directory at `[STATE]/episodes`
    help: name the directory with `--episodes-root DIR`
    "#);
    fs::write(state.path("episodes"), "").unwrap();
    assert!(state.run(&[]).starts_with("exit 2\n"), "a file is none either");
}

#[test]
fn one_host_can_be_chosen() {
    let state = State::with_archives(2);
    state.store("h2/e1", &archive("{}"));
    assert_snapshot!(state.run(&["--host", "h2"]), @r#"
    exit 0
    scanned: 1 already-indexed: 0 to-backfill: 1
    backfilled 1 rows into [STATE]/index.jsonl
    --
    "#);
    assert!(state.index().lines().all(|line| line.contains("\"h2\"")) && !state.index().is_empty());
    assert_snapshot!(state.run(&["--host", "h3", "--dry-run"]), @r#"
    exit 0
    scanned: 0 already-indexed: 0 to-backfill: 0
    --
    note: `[STATE]/episodes` holds no archive of host `h3`
    "#);
}

#[test]
fn flags_that_mean_nothing_are_exit_2() {
    let state = State::new();
    assert_snapshot!(state.run(&["--host", "../etc"]), @r#"
    exit 2
    --
    error: invalid value '../etc' for '--host <HOST>': it starts with `.`, it must start with a letter or a digit

    For more information, try '--help'.
    "#);
    for flags in [["--jobs", "0"], ["--jobs", "many"], ["--colour", "blue"]] {
        assert!(state.run(&flags).starts_with("exit 2\n"), "{flags:?}");
    }
}

#[test]
fn the_index_is_beside_the_store_unless_it_is_named() {
    let state = State::with_archives(1);
    let named = state.path("elsewhere.jsonl");
    assert!(state.run(&["--index", named.to_str().unwrap()]).contains("1 rows into [STATE]/elsewhere.jsonl"));
    let mut here = Command::new(PROGRAM);
    here.args(["--episodes-root", "."]).current_dir(state.path("episodes"));
    assert!(here.output().unwrap().status.success());
    assert_eq!(state.index(), fs::read_to_string(named).unwrap());
}

#[test]
fn archives_that_say_nothing_are_indexed_without_commit_and_named() {
    let state = State::new();
    state.store("h1/cut", &archive("{}")[..20]);
    state.store("h1/garbage", b"not an archive");
    state.store("h1/no-commit-yet", &archive("{}"));
    state.store("h1/odd-commit", &archive(r#"{"code_version": {"commit": "unknown"}}"#));
    state.store("h1/odd-meta", &archive("not JSON"));
    assert_snapshot!(state.run(&["--jobs", "1"]), @r#"
    exit 0
    scanned: 5 already-indexed: 0 to-backfill: 5
    backfilled 5 rows into [STATE]/index.jsonl
    --
    warning: `[STATE]/episodes/h1/cut.tar.zst` gets no commit: the archive is cut short
    warning: `[STATE]/episodes/h1/garbage.tar.zst` gets no commit: the archive cannot be decompressed: Unknown frame descriptor
    warning: `[STATE]/episodes/h1/odd-commit.tar.zst` gets no commit: `unknown` in meta.json is no commit: it holds `u`, only hex digits are allowed
    warning: `[STATE]/episodes/h1/odd-meta.tar.zst` gets no commit: meta.json cannot be understood: expected ident at line 1 column 2
    "#);
    assert!(state.rows().len() == 5 && !state.index().contains("\"commit\":"));
    let garbage = format!("\"sha256\":\"{}\",\"size_bytes\":14", hex(b"not an archive"));
    assert!(state.index().contains(&garbage), "{}", state.index());
}

#[test]
fn names_that_are_no_archive_are_counted() {
    let state = State::with_archives(1);
    for name in ["h1/e2.tar.zst.partial", "h1/notes", "-rf", ".incoming"] {
        fs::create_dir(state.path("episodes").join(name)).unwrap();
    }
    fs::write(state.path("episodes/.incoming/x.partial"), "").unwrap();
    assert_snapshot!(state.run(&[]), @r#"
    exit 0
    scanned: 1 already-indexed: 0 to-backfill: 1
    backfilled 1 rows into [STATE]/index.jsonl
    --
    note: skipped 3 names that are no host and no archive, the first is `[STATE]/episodes/-rf`
    "#);
}

#[test]
fn what_stands_in_the_index_stays_byte_for_byte_and_a_torn_line_is_ended() {
    let state = State::with_archives(2);
    let old = b"\n{\"host_id\": \"h1\", \"episode_id\": \"e1\", \"x\": 1.50}\njunk \xff\n{\"host_id\": \"h9\"\n{\"torn\": ";
    fs::write(state.path("index.jsonl"), old).unwrap();
    assert!(state.run(&[]).contains("backfilled 1 rows"));
    let new = fs::read(state.path("index.jsonl")).unwrap();
    assert_eq!(new[..old.len()], old[..]);
    let added = std::str::from_utf8(&new[old.len()..]).unwrap();
    assert!(added.starts_with("\n{\"backfilled\":true,") && added.ends_with("}\n"), "{added}");
    assert_eq!(added.matches('\n').count(), 2, "{added}");
}

#[test]
fn two_at_once_add_no_second_row() {
    let state = State::with_archives(300);
    let both = [state.start(&[]), state.start(&["--jobs", "1"])];
    let told = both.map(|child| state.told_by(child));
    let added = told.iter().map(|told| {
        assert!(told.starts_with("exit 0\n"), "{told}");
        let rest = told.split("backfilled ").nth(1).unwrap();
        rest.split(' ').next().unwrap().parse::<usize>().unwrap()
    });
    assert_eq!(added.sum::<usize>(), 300, "{told:?}");
    let rows = state.rows();
    assert!(rows.len() == 300 && rows.values().all(|rows| *rows == 1));
}

#[test]
fn the_configuration_of_the_receiver_names_store_and_index() {
    let state = State::with_archives(2);
    let toml = state.path("receiver.toml");
    let (root, index) = (state.path("episodes"), state.path("elsewhere.jsonl"));
    let text =
        format!("[version_gate]\nenabled = false\n[store]\nepisodes_root = {root:?}\nindex = {index:?}\n");
    fs::write(&toml, text).unwrap();
    let run = || {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(&toml).stdout(std::process::Stdio::piped());
        state.told_by(command.stderr(std::process::Stdio::piped()).spawn().unwrap())
    };
    assert_snapshot!(run(), @r#"
    exit 0
    scanned: 2 already-indexed: 0 to-backfill: 2
    backfilled 2 rows into [STATE]/elsewhere.jsonl
    --
    note: the store is `[STATE]/episodes` and its index `[STATE]/elsewhere.jsonl` (configuration: `[STATE]/receiver.toml`)
    "#);
    fs::remove_file(&toml).unwrap();
    assert_snapshot!(run(), @r#"
    exit 1
    --
    error: cannot read `[STATE]/receiver.toml`: No such file or directory (os error 2)
    help: name the receiver's configuration with `--config FILE`, or the store with `--episodes-root DIR`
    "#);
}

#[test]
fn a_quiet_run_says_nothing_of_what_went_well() {
    let state = State::with_archives(1);
    state.store("h1/cut", &archive("{}")[..20]);
    fs::write(state.path("episodes/h1/notes"), "").unwrap();
    assert_snapshot!(state.run(&["--quiet"]), @r#"
    exit 0
    --
    warning: `[STATE]/episodes/h1/cut.tar.zst` gets no commit: the archive is cut short
    "#);
    assert_eq!(state.rows().len(), 2);
}

#[test]
fn a_closed_pipe_keeps_no_row_from_being_added_and_a_full_disk_is_an_error() {
    let state = State::with_archives(2);
    let exit_code = |to: std::process::Stdio| {
        let mut command = state.command(std::path::Path::new(PROGRAM), &[]);
        command.stdout(to).output().unwrap().status.code()
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(exit_code(writer.into()), Some(0));
    assert_eq!(state.rows().len(), 2);
    assert_eq!(exit_code(fs::File::options().write(true).open("/dev/full").unwrap().into()), Some(1));
}
