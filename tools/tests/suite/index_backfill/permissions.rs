//! The owner of the index, and the program's output for files that it may not read or write.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use crate::index_backfill::state::{PROGRAM, State};

#[test]
fn owner_and_mode_of_the_index_stay_and_a_new_one_belongs_to_the_service() {
    let state = State::with_archives(1);
    let index = state.path("index.jsonl");
    let told =
        |path: &Path| fs::metadata(path).map(|m| (m.uid(), m.gid(), m.mode() & 0o7777, m.ino())).unwrap();
    fs::write(&index, "").unwrap();
    fs::set_permissions(&index, fs::Permissions::from_mode(0o604)).unwrap();
    if is_root() {
        chown(&index, Some(1234), Some(2345)).unwrap();
        chown(state.0.path(), Some(1234), Some(2345)).unwrap();
    }
    let before = told(&index);
    assert!(state.run(&[]).contains("backfilled 1 rows"));
    assert_eq!(told(&index), before);

    fs::remove_file(&index).unwrap();
    assert!(state.run(&[]).contains("backfilled 1 rows"));
    assert_eq!((told(&index).0, told(&index).1), (before.0, before.1));
    assert_eq!(told(&state.path("index.lock")).0, before.0, "the service must be able to take the lock");
}

/// A user who owns nothing on any machine.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Runs the program as a user other than root, because root ignores file modes.
fn run_as_nobody(state: &State, flags: &[&str]) -> String {
    if !is_root() {
        return state.run(flags);
    }
    // The build directory may be closed to other users, so the program is copied. A child copies it: another test's
    // child could inherit a descriptor of ours that is open for writing, and then the copy could not be run.
    let program = state.path("program");
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let mut folders = vec![state.0.path().to_owned()];
    while let Some(folder) = folders.pop() {
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    state.told_by(state.command(&program, flags).uid(NOBODY).gid(NOBODY).spawn().unwrap())
}

fn forbid(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

#[test]
fn what_cannot_be_read_is_named_at_the_end_and_the_others_are_indexed() {
    let state = State::with_archives(4);
    forbid(&state.path("episodes/h1/e2.tar.zst"));
    fs::create_dir(state.path("episodes/h0")).unwrap();
    forbid(&state.path("episodes/h0"));
    assert_snapshot!(run_as_nobody(&state, &[]), @r#"
    exit 1
    scanned: 4 already-indexed: 0 to-backfill: 4
    backfilled 3 rows into [STATE]/index.jsonl
    --
    error: 2 could not be read and got no row:
      `[STATE]/episodes/h0`: Permission denied (os error 13)
      `[STATE]/episodes/h1/e2.tar.zst`: Permission denied (os error 13)
    help: check their permissions with `ls -l` and the disk with `dmesg | tail`; once that is repaired, run the same command again: it adds what is missing
    "#);
    assert_eq!(state.rows().into_keys().collect::<Vec<_>>(), ["e1", "e3", "e4"]);
}

#[test]
fn an_index_that_cannot_be_appended_to_is_exit_1_with_the_remedy() {
    let state = State::with_archives(2);
    fs::write(state.path("index.jsonl"), "").unwrap();
    fs::set_permissions(state.path("index.jsonl"), fs::Permissions::from_mode(0o444)).unwrap();
    assert_snapshot!(run_as_nobody(&state, &[]), @r#"
    exit 1
    scanned: 2 already-indexed: 0 to-backfill: 2
    --
    error: cannot open `[STATE]/index.jsonl`: Permission denied (os error 13)
    help: give it back to the service's user: `ls -l [STATE]/index.jsonl`, then `chown` and `chmod 0640`; nothing needs a restart
    help: 0 rows were added and are durable; once that is repaired, run the same command again: it adds what is missing
    "#);
    forbid(&state.path("index.jsonl"));
    assert_snapshot!(run_as_nobody(&state, &[]), @r#"
    exit 1
    --
    error: cannot open `[STATE]/index.jsonl`: Permission denied (os error 13)
    help: give it back to the service's user: `ls -l [STATE]/index.jsonl`, then `chown` and `chmod 0640`; nothing needs a restart
    "#);
}
