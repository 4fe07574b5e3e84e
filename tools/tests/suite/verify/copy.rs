//! A part of a store that a trainer copied, and the hashes that go with it.

use std::fs;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::verify::state::{PROGRAM, State};

fn run(state: &State, flags: &[&str]) -> String {
    let copy = state.path("episodes");
    state.run_bare(&[&["--copy", copy.to_str().unwrap()], flags].concat())
}

#[test]
fn what_is_absent_from_a_copy_is_counted_and_what_is_there_must_be_right() {
    let state = State::with_episodes(5);
    for gone in ["h1/e1", "h1/e3"] {
        fs::remove_file(state.archive(gone)).unwrap();
    }
    assert_snapshot!(run(&state, &[]), @r#"
    exit 0
    looked at 3 archives and 5 rows
    read again and found good: 3 archives, 27 B
    not in this copy: 2 archives of the index
    found 0 errors, 0 warnings, 0 notes
    --
    "#);
    fs::write(state.archive("h1/e2"), "damaged 2").unwrap();
    fs::write(state.archive("h1/e4"), "short").unwrap();
    state.store("h2/e1", "newer than the index");
    // A torn line is no fault of a copy.
    state.append("{\"torn");
    assert_snapshot!(run(&state, &["--no-hash"]), @r#"
    exit 3
    error: h1/e4 is damaged: it has 5 bytes, its row says 9
        mv -n [STATE]/episodes/h1/e4.tar.zst [STATE]/episodes/h1/e4.tar.zst.damaged
        # COLLECTOR is where the copy comes from:
        rsync -t COLLECTOR:/var/lib/cis490/episodes/h1/e4.tar.zst [STATE]/episodes/h1/
    warning: h2/e1 is not in this index, so it cannot be checked
        # an index that is newer than the copy names every episode; COLLECTOR is where both come from:
        rsync -t COLLECTOR:/var/lib/cis490/index.jsonl [STATE]/index.jsonl
    looked at 4 archives and 5 rows
    read no archive
    not in this copy: 2 archives of the index
    found 1 error, 1 warning, 0 notes
    --
    "#);
    let json = run(&state, &["--json"]);
    assert!(json.contains("\"finding\":\"hash-differs\"") && json.contains("\"absent\":2"), "{json}");
}

#[test]
fn a_copy_without_an_index_cannot_be_checked() {
    let state = State::with_episodes(1);
    fs::copy(state.path("index.jsonl"), state.path("of-the-collector.jsonl")).unwrap();
    fs::remove_file(state.path("index.jsonl")).unwrap();
    assert_snapshot!(run(&state, &[]), @r#"
    exit 66
    --
    error: there is no index at `[STATE]/index.jsonl`, and a copy cannot be checked without one
    help: copy `index.jsonl` of the collector too, and name it with `--index FILE`
    "#);
    let elsewhere = state.path("of-the-collector.jsonl");
    assert!(run(&state, &["--index", elsewhere.to_str().unwrap()]).starts_with("exit 0\n"));
}

#[test]
fn sha256sum_takes_the_hashes_of_the_index() {
    let state = State::with_episodes(3);
    state.add("h2/e1", "another host");
    let sums = state.path("SHA256SUMS");
    let write = |flags: &[&str]| state.run(&[&["--checksums"], flags].concat());
    assert_eq!(write(&[sums.to_str().unwrap()]), "exit 0\n--\n");
    let text = fs::read_to_string(&sums).unwrap();
    assert_eq!(write(&["-"]), format!("exit 0\n{text}--\n"));
    assert_eq!(write(&["-", "--host", "h2"]).lines().count(), 3);
    let check = || {
        let mut check = Command::new("sha256sum");
        check.arg("--strict").arg("-c").arg(&sums).current_dir(state.path("episodes"));
        check.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(check());
    fs::write(state.archive("h1/e2"), "damaged 2").unwrap();
    assert!(!check());
}

#[test]
fn the_hashes_never_replace_the_index_and_need_one() {
    let state = State::with_episodes(1);
    let before = state.listing();
    let index = state.path("index.jsonl");
    let told = state.run(&["--checksums", index.to_str().unwrap()]);
    assert!(told.starts_with("exit 1\n") && told.contains("never writes"), "{told}");
    assert_eq!(state.listing(), before);
    fs::remove_file(index).unwrap();
    assert!(state.run(&["--checksums", "-"]).starts_with("exit 66\n"));
}

#[test]
fn a_missing_copy_is_exit_66() {
    let mut command = Command::new(PROGRAM);
    let output = command.args(["--copy", "/nonexistent/episodes", "--index", "/dev/null"]).output().unwrap();
    assert_eq!(output.status.code(), Some(66), "{output:?}");
}
