//! The owner of the index, and the program's output for files that it may not read.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use crate::verify::state::{PROGRAM, State};

/// A user who owns nothing on any machine.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

#[test]
fn incident_01_an_index_of_root_is_found_with_the_command_that_gives_it_back() {
    // Only root can cause this incident.
    if !is_root() {
        return;
    }
    let state = State::with_episodes(1);
    fs::write(state.path("index.lock"), "").unwrap();
    give(state.0.path());
    assert!(state.run(&[]).starts_with("exit 0\n"));
    for name in ["index.jsonl", "index.lock"] {
        chown(state.path(name), Some(0), None).unwrap();
    }
    let told = state.run(&[]);
    assert_snapshot!(told, @r#"
    exit 3
    error: `[STATE]/index.jsonl` belongs to user 0 and its directory to user 65534, who is the receiver
        sudo chown --reference=[STATE] [STATE]/index.jsonl
    error: `[STATE]/index.lock` belongs to user 0 and its directory to user 65534, who is the receiver
        sudo chown --reference=[STATE] [STATE]/index.lock
    looked at 1 archive and 1 row
    read again and found good: 1 archive, 9 B
    found 2 errors, 0 warnings, 0 notes
    --
    "#);
    for command in told.lines().filter_map(|line| line.trim().strip_prefix("sudo ")) {
        let command = command.replace("[STATE]", state.0.path().to_str().unwrap());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }
    assert!(state.run(&[]).starts_with("exit 0\n"), "both are given back");
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
    give(state.0.path());
    state.told_by(state.command(&program, flags).uid(NOBODY).gid(NOBODY).spawn().unwrap())
}

fn forbid(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

#[test]
fn what_cannot_be_read_is_a_finding_and_the_rest_is_looked_at() {
    let state = State::with_episodes(3);
    forbid(&state.archive("h1/e2"));
    state.add("h0/e1", "in a directory that is shut");
    forbid(&state.path("episodes/h0"));
    assert_snapshot!(run_as_nobody(&state, &[]), @r#"
    exit 3
    error: `[STATE]/episodes/h1/e2.tar.zst` cannot be read: Permission denied (os error 13)
        sudo namei -l [STATE]/episodes/h1/e2.tar.zst
    error: `[STATE]/episodes/h0` cannot be read: Permission denied (os error 13)
        sudo namei -l [STATE]/episodes/h0
    looked at 3 archives and 4 rows
    read again and found good: 2 archives, 18 B
    found 2 errors, 0 warnings, 0 notes
    --
    "#);
}

#[test]
fn an_index_or_a_store_that_is_shut_is_exit_1() {
    let state = State::with_episodes(1);
    forbid(&state.path("index.jsonl"));
    assert_snapshot!(run_as_nobody(&state, &[]), @r#"
    exit 1
    --
    error: cannot open `[STATE]/index.jsonl`: Permission denied (os error 13)
    help: give it back to the service's user: `ls -l [STATE]/index.jsonl`, then `chown` and `chmod 0640`; nothing needs a restart
    "#);
    forbid(&state.path("episodes"));
    assert_snapshot!(run_as_nobody(&state, &[]), @r#"
    exit 1
    --
    error: the episodes directory `[STATE]/episodes` cannot be listed: Permission denied (os error 13)
    help: check its permissions: `ls -ld [STATE]/episodes`
    "#);
}

#[test]
fn a_configuration_that_is_shut_names_who_may_read_it() {
    let state = State::with_episodes(1);
    let toml = state.path("receiver.toml");
    fs::write(&toml, "").unwrap();
    forbid(&toml);
    assert_snapshot!(run_as_nobody(&state, &["--config", toml.to_str().unwrap()]), @r#"
    exit 78
    --
    error: cannot read `[STATE]/receiver.toml`: Permission denied (os error 13)
    help: run `sudo -u cis490 cis490-verify`, or name the store with `--episodes-root` and `--index`
    "#);
}
