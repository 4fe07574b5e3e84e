//! The program as a maintainer or a timer runs it: flags, output, exit codes, and an unchanged store.

mod choice;
mod config;
mod copy;
mod deep;
mod live;
mod permissions;
mod resume;
mod state;
mod voice;
mod zoo;

use std::fs;
use std::process::Command;

use insta::assert_snapshot;

use state::{PROGRAM, State};

#[test]
fn help_names_every_flag_and_exit_code() {
    let output = Command::new(PROGRAM).arg("--help").output().unwrap();
    assert!(output.status.success());
    assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn a_store_that_is_as_its_index_says_is_exit_0() {
    let state = State::with_episodes(3);
    assert_snapshot!(state.run(&[]), @r#"
    exit 0
    looked at 3 archives and 3 rows
    read again and found good: 3 archives, 27 B
    found 0 errors, 0 warnings, 0 notes
    --
    "#);
    assert_snapshot!(state.run(&["--json"]), @r#"
    exit 0
    {"type":"summary","archives":3,"rows":3,"errors":0,"warnings":0,"notes":0,"read_again":{"good_archives":3,"good_bytes":27,"before_interruption":0,"sample":null},"episodes_root":"[STATE]/episodes","index":"[STATE]/index.jsonl","config":null}
    --
    "#);
    assert_snapshot!(state.run(&["--no-hash"]), @r#"
    exit 0
    looked at 3 archives and 3 rows
    read no archive
    found 0 errors, 0 warnings, 0 notes
    --
    "#);
}

#[test]
fn an_empty_store_has_nothing_wrong_with_it() {
    assert_snapshot!(State::new().run(&[]), @r#"
    exit 0
    looked at 0 archives and 0 rows
    read again and found good: 0 archives, 0 B
    found 0 errors, 0 warnings, 0 notes
    --
    "#);
}

#[test]
fn no_episodes_directory_is_exit_66() {
    let state = State::new();
    fs::remove_dir(state.path("episodes")).unwrap();
    assert_snapshot!(state.run(&[]), @r#"
    exit 66
    --
    error: there is no episodes directory at `[STATE]/episodes`
    help: name the directory with `--episodes-root DIR`
    "#);
    fs::write(state.path("episodes"), "").unwrap();
    assert!(state.run(&[]).starts_with("exit 66\n"), "a file is none either");
}

#[test]
fn an_index_that_is_missing_is_one_finding() {
    let state = State::with_episodes(3);
    fs::remove_file(state.path("index.jsonl")).unwrap();
    assert_snapshot!(state.run(&[]), @r#"
    exit 3
    error: there is no index; archives without a row: 3
        sudo -u cis490 cis490-index-backfill --episodes-root [STATE]/episodes --index [STATE]/index.jsonl
    looked at 3 archives and 0 rows
    read again and found good: 0 archives, 0 B
    found 1 error, 0 warnings, 0 notes
    --
    "#);
}

#[test]
fn an_index_that_cannot_be_read_is_exit_1() {
    let state = State::with_episodes(1);
    fs::remove_file(state.path("index.jsonl")).unwrap();
    fs::create_dir(state.path("index.jsonl")).unwrap();
    assert_snapshot!(state.run(&[]), @r#"
    exit 1
    --
    error: cannot read `[STATE]/index.jsonl`: Is a directory (os error 21)
    help: look at the file system of [STATE]/index.jsonl: `df -h [STATE]/index.jsonl`, `dmesg | tail`
    "#);
}

#[test]
fn flags_that_mean_nothing_are_exit_2() {
    let state = State::new();
    let told = |flags: &[&str]| state.run(flags).lines().nth(2).unwrap().to_owned();
    assert_snapshot!(told(&["--sample", "101"]), @r#"error: invalid value '101' for '--sample <PERCENT>': it must be more than 0 and at most 100"#);
    assert_snapshot!(told(&["--rate", "20 parsecs"]), @r#"error: invalid value '20 parsecs' for '--rate <BYTES>': `parsecs` is no unit: B, KiB, MiB, GiB, or KB, MB, GB for powers of ten"#);
    assert_snapshot!(told(&["--since", "yesterday"]), @r#"error: invalid value 'yesterday' for '--since <TIME>': it is neither a date such as `2025-10-09`, which begins in UTC, nor a moment such as `2025-10-09T08:53:20Z`"#);
    assert_snapshot!(told(&["--host", "../etc"]), @r#"error: invalid value '../etc' for '--host <HOST>': it starts with `.`, it must start with a letter or a digit"#);
    for flags in [
        &["--jobs", "0"][..],
        &["--seed", "1"],
        &["--no-hash", "--sample", "5"],
        &["--no-hash", "--rate", "1"],
        &["--no-hash", "--deep"],
        &["--copy", "."],
        &["--checksums", "-", "--deep"],
        &["--color", "blue"],
    ] {
        assert!(state.run(flags).starts_with("exit 2\n"), "{flags:?}");
    }
}

#[test]
fn one_host_can_be_looked_at_alone() {
    let state = State::with_episodes(2);
    state.store("h2/e1", "of another host");
    assert_snapshot!(state.run(&["--host", "h2", "--settle", "0"]), @r#"
    exit 3
    error: h2/e1 has an archive and no row
        sudo -u cis490 cis490-index-backfill --episodes-root [STATE]/episodes --index [STATE]/index.jsonl --host h2
    looked at 1 archive and 0 rows
    read again and found good: 0 archives, 0 B
    found 1 error, 0 warnings, 0 notes
    --
    "#);
    assert_snapshot!(state.run(&["--host", "h3"]), @r#"
    exit 0
    looked at 0 archives and 0 rows
    read again and found good: 0 archives, 0 B
    found 0 errors, 0 warnings, 0 notes
    --
    note: `[STATE]/episodes` holds no archive of host `h3`
    "#);
}

#[test]
fn the_index_is_beside_the_store_unless_it_is_named() {
    let state = State::with_episodes(1);
    let elsewhere = state.path("elsewhere.jsonl");
    fs::write(&elsewhere, "").unwrap();
    let flags = ["--settle", "0", "--index", elsewhere.to_str().unwrap()];
    assert!(state.run(&flags).contains("no row\n    sudo -u cis490 cis490-index-backfill"), "it is empty");
    let mut here = Command::new(PROGRAM);
    here.args(["--episodes-root", "."]).current_dir(state.path("episodes"));
    assert!(here.output().unwrap().status.success());
}

#[test]
fn incident_10_finding_a_fault_is_a_success_of_looking() {
    let state = State::with_episodes(1);
    fs::write(state.path("episodes/h1/e1.tar.zst"), "damaged").unwrap();
    assert!(state.run(&[]).starts_with("exit 3\n"), "a caller can tell");
    fs::write(state.path("episodes/h1/notes"), "").unwrap();
    fs::remove_file(state.path("episodes/h1/e1.tar.zst")).unwrap();
    fs::write(state.path("index.jsonl"), "").unwrap();
    let told = state.run(&[]);
    assert!(told.starts_with("exit 0\nnote: "), "a note is not a fault: {told}");

    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/cis490-verify.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.lines().any(|line| line == "SuccessExitStatus=3"), "its unit never looks broken for it");
    assert!(!unit.contains("SuccessExitStatus=1"), "and does where nothing could be looked at");
}
