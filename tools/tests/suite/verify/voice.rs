//! The program's output: quiet, in colour, into a closed pipe, and to the journal.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::verify::state::{PROGRAM, State, row};

/// Creates a state with one error, one warning and one note.
fn troubled() -> State {
    let state = State::with_episodes(1);
    state.append(&row("h1/gone", "I was here"));
    state.append(&row("h1/gone", "I was another"));
    fs::write(state.path("episodes/h1/notes"), "").unwrap();
    state
}

fn exit_code(state: &State, flags: &[&str], to: Stdio) -> Option<i32> {
    state.command(Path::new(PROGRAM), flags).stdout(to).output().unwrap().status.code()
}

fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_does_not_hide_what_was_found() {
    for flags in [&[][..], &["--json"]] {
        assert_eq!(exit_code(&State::with_episodes(1), flags, closed_pipe()), Some(0));
        assert_eq!(exit_code(&troubled(), flags, closed_pipe()), Some(3));
    }
    assert_eq!(exit_code(&State::with_episodes(1), &["--checksums", "-"], closed_pipe()), Some(0));
}

#[test]
fn a_report_that_cannot_be_printed_is_an_error_and_is_kept_for_the_receiver() {
    let (state, full) = (State::with_episodes(1), || File::options().write(true).open("/dev/full").unwrap());
    let report = state.path("report.json");
    assert_eq!(exit_code(&state, &["--report", report.to_str().unwrap()], full().into()), Some(1));
    assert!(fs::read_to_string(&report).unwrap().contains("\"ended\""));
    assert_eq!(exit_code(&state, &["--help"], full().into()), Some(1));
}

#[test]
fn a_quiet_run_tells_of_errors_and_warnings_alone() {
    assert_eq!(State::with_episodes(1).run(&["-q"]), "exit 0\n--\n");
    let told = troubled().run(&["-q"]);
    assert_snapshot!(told, @r#"
    exit 3
    error: h1/gone has a row and no archive; the row says sha256 47fc228d8a40337f00d5b046ebea8b8bbd7ea535ac6b7bf35dce69926bc7fb55
        # put a copy that has the hash of the row at [STATE]/episodes/h1/gone.tar.zst, or let the host send it again:
        ssh h1 sudo -u cis490 mv -n /var/lib/cis490/data/shipped/gone /var/lib/cis490/data/episodes/
    warning: h1/gone has a second row in line 3 with another hash; the first one counts
        sudo -u cis490 grep -n '"gone"' [STATE]/index.jsonl
    --
    "#);
}

#[test]
fn colours_are_for_those_who_want_them() {
    let state = troubled();
    let told = state.run(&["--color", "always"]);
    assert!(told.contains("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m h1/gone"), "{told:?}");
    assert!(!state.run(&["--color", "never"]).contains('\u{1b}'));
    assert!(!state.run(&[]).contains('\u{1b}'), "a pipe is no terminal");
}

/// Returns the output to the journal.
fn told_to_the_journal(state: &State, flags: &[&str]) -> String {
    let journal = state.path("journal");
    let file = File::create(&journal).unwrap();
    let found = file.metadata().unwrap();
    let mut command = state.command(Path::new(PROGRAM), flags);
    command.env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()));
    command.stderr(file.try_clone().unwrap()).stdout(file).status().unwrap();
    fs::read_to_string(journal).unwrap().replace(state.0.path().to_str().unwrap(), "[STATE]")
}

#[test]
fn the_journal_gets_priorities() {
    assert_snapshot!(told_to_the_journal(&troubled(), &["--no-hash"]), @r#"
    <3>error: h1/gone has a row and no archive; the row says sha256 47fc228d8a40337f00d5b046ebea8b8bbd7ea535ac6b7bf35dce69926bc7fb55
    <3>    # put a copy that has the hash of the row at [STATE]/episodes/h1/gone.tar.zst, or let the host send it again:
    <3>    ssh h1 sudo -u cis490 mv -n /var/lib/cis490/data/shipped/gone /var/lib/cis490/data/episodes/
    <4>warning: h1/gone has a second row in line 3 with another hash; the first one counts
    <4>    sudo -u cis490 grep -n '"gone"' [STATE]/index.jsonl
    <5>note: `[STATE]/episodes/h1/notes` is no host, no archive and no upload
    <5>    sudo -u cis490 ls -ld [STATE]/episodes/h1/notes
    <6>looked at 1 archive and 3 rows
    <6>read no archive
    <6>found 1 error, 1 warning, 1 note
    "#);
    let state = State::new();
    fs::remove_dir(state.path("episodes")).unwrap();
    assert_snapshot!(told_to_the_journal(&state, &[]), @r#"
    <3>error: there is no episodes directory at `[STATE]/episodes`
    <3>help: name the directory with `--episodes-root DIR`
    "#);
    assert!(
        told_to_the_journal(&State::with_episodes(1), &["--json"]).starts_with('{'),
        "programs read JSON"
    );
}
