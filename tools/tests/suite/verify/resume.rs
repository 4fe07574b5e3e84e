//! A long run that is interrupted and resumed.

use std::fs;
use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::verify::state::State;

/// Creates a state, and a path outside it for the state file of a run.
fn state_and_resume() -> (State, tempfile::TempDir, String) {
    let (state, elsewhere) = (State::with_episodes(5), tempfile::tempdir().unwrap());
    let resume = elsewhere.path().join("resume.json").to_str().unwrap().to_owned();
    (state, elsewhere, resume)
}

/// Kills a run before it has read an archive, and returns its state file.
fn kill_at_the_start(state: &State, flags: &[&str], resume: &str) -> String {
    // At this rate the run would take a minute.
    let slow = [flags, &["--rate", "1", "--jobs", "1", "--resume", resume]].concat();
    let mut run = state.start(&slow);
    let patience = Instant::now() + Duration::from_secs(30);
    while !fs::exists(resume).unwrap() {
        assert!(
            Instant::now() < patience && run.try_wait().unwrap().is_none(),
            "no file of a run that goes on"
        );
        std::thread::yield_now();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    fs::read_to_string(resume).unwrap()
}

/// Sets the progress in the state file to `mark`.
fn come_to(resume: &str, killed: &str, mark: &str) {
    let (before, _) = killed.split_once("\"mark\":").unwrap();
    fs::write(resume, format!("{before}\"mark\":{mark}}}")).unwrap();
}

#[test]
fn a_run_that_was_killed_goes_on_where_it_was() {
    let (state, _elsewhere, resume) = state_and_resume();
    let killed = kill_at_the_start(&state, &[], &resume);
    // Before the interruption e1 was good, e2 was not, e3 was good.
    come_to(&resume, &killed, r#"{"through":["h1","e3"],"again":[["h1","e2"]],"archives":2,"bytes":18}"#);
    fs::write(state.archive("h1/e1"), "changed 1").unwrap();
    fs::write(state.archive("h1/e2"), "changed 2").unwrap();
    let told = state.run(&["--resume", &resume]);
    assert_snapshot!(told, @r#"
    exit 3
    error: h1/e2 is damaged: its row says sha256 2ebde690adf58829b1597d9349c38b05984fdaff116a906a6f51a94f15739aa8, two reads gave 2ec1ac9effae6e6a4bf49856da7ce5b6280df6d337649d2b2edf89dbe825ba77
        sudo -u cis490 mv -n [STATE]/episodes/h1/e2.tar.zst [STATE]/episodes/h1/e2.tar.zst.damaged
        # put a copy that has the hash of the row at [STATE]/episodes/h1/e2.tar.zst, or let the host send it again:
        ssh h1 sudo -u cis490 mv -n /var/lib/cis490/data/shipped/e2 /var/lib/cis490/data/episodes/
    looked at 5 archives and 5 rows
    read again and found good: 4 archives, 36 B; 2 of them before the run was interrupted
    found 1 error, 0 warnings, 0 notes
    --
    "#);
    assert!(!told.contains("h1/e1"), "it was read before");
    assert!(!fs::exists(&resume).unwrap(), "the run came to its end");
    assert!(state.run(&["--resume", &resume]).contains("h1/e1"), "and the next one begins anew");
}

#[test]
fn a_sample_goes_on_as_it_was_drawn() {
    let (state, _elsewhere, resume) = state_and_resume();
    let killed = kill_at_the_start(&state, &["--sample", "60"], &resume);
    let seed = killed.split("\"seed\":").nth(1).unwrap().split('}').next().unwrap().to_owned();
    let told = state.run(&["--sample", "60", "--resume", &resume]);
    assert!(told.contains(&format!("drew 60 % of 5 archives with seed {seed}\n")), "{told}");
}

#[test]
fn a_run_with_other_flags_is_not_gone_on_with() {
    let (state, _elsewhere, resume) = state_and_resume();
    let killed = kill_at_the_start(&state, &["--sample", "60", "--seed", "7"], &resume);
    let told = state.run(&["--host", "h1", "--resume", &resume]).replace(&resume, "[RESUME]");
    assert_snapshot!(told, @r#"
    exit 1
    --
    error: `[RESUME]` holds an unfinished run with other flags: `--episodes-root [STATE]/episodes --index [STATE]/index.jsonl --sample 60 --seed 7`
    help: repeat those flags to finish it, or `rm [RESUME]` to begin anew
    "#);
    assert_eq!(fs::read_to_string(&resume).unwrap(), killed);
}

#[test]
fn neither_the_store_nor_the_index_is_a_place_for_the_file() {
    let state = State::with_episodes(1);
    let before = state.listing();
    for name in ["episodes/h1/state", "index.jsonl"] {
        let told = state.run(&["--resume", state.path(name).to_str().unwrap()]);
        assert!(told.starts_with("exit 1\n") && told.contains("never writes"), "{told}");
    }
    assert_eq!(state.listing(), before);
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let (state, _elsewhere, resume) = state_and_resume();
    fs::write(&resume, "shopping list").unwrap();
    assert_snapshot!(state.run(&["--resume", &resume]).replace(&resume, "[RESUME]"), @r#"
    exit 1
    --
    error: `[RESUME]` is no state of this program: expected value at line 1 column 1
    help: name another file with `--resume FILE`
    "#);
    assert_eq!(fs::read_to_string(&resume).unwrap(), "shopping list");
}
