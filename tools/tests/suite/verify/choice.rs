//! The choice of archives to read again: all, a sample, or new ones.

use std::fs;
use std::time::Duration;

use insta::assert_snapshot;

use crate::verify::state::{State, age, row_at};

/// Creates a state with a hundred episodes, each damaged without a change of its size.
fn all_damaged() -> State {
    let state = State::with_episodes(100);
    for n in 1..=100 {
        fs::write(state.archive(&format!("h1/e{n}")), format!("EPISODE {n}")).unwrap();
    }
    state
}

/// Returns the episodes that were reported as damaged.
fn damaged(told: &str) -> Vec<String> {
    let errors = told.lines().filter_map(|line| line.strip_prefix("error: "));
    errors.filter_map(|error| Some(error.split_once(" is damaged")?.0.to_owned())).collect()
}

#[test]
fn a_sample_is_of_its_size_and_its_seed_draws_it_again() {
    let state = all_damaged();
    let sample = |seed| damaged(&state.run(&["--sample", "7.5%", "--seed", seed]));
    assert_eq!(sample("1").len(), 8);
    assert_eq!(sample("1"), sample("1"));
    assert_ne!(sample("1"), sample("2"));
    assert_eq!(damaged(&state.run(&[])).len(), 100);

    let told = state.run(&["--sample", "10"]);
    let seed =
        told.lines().find_map(|line| line.strip_prefix("drew 10 % of 100 archives with seed ")).unwrap();
    assert_eq!(
        damaged(&state.run(&["--sample", "10", "--seed", seed])),
        damaged(&told),
        "a printed seed is enough"
    );
}

#[test]
fn a_sample_is_told_with_its_seed() {
    let state = State::with_episodes(200);
    assert_snapshot!(state.run(&["--sample", "5", "--seed", "490"]), @r#"
    exit 0
    looked at 200 archives and 200 rows
    drew 5 % of 200 archives with seed 490
    read again and found good: 10 archives, 101 B
    found 0 errors, 0 warnings, 0 notes
    --
    "#);
    assert_snapshot!(state.run(&["--sample", "0.5", "--seed", "490", "--json"]), @r#"
    exit 0
    {"type":"summary","archives":200,"rows":200,"errors":0,"warnings":0,"notes":0,"read_again":{"good_archives":1,"good_bytes":10,"before_interruption":0,"sample":{"percent":"0.5","of_archives":200,"seed":490}},"episodes_root":"[STATE]/episodes","index":"[STATE]/index.jsonl","config":null}
    --
    "#);
}

#[test]
fn since_goes_by_the_row_and_where_that_is_silent_by_the_file() {
    let state = State::new();
    for (name, stored, days) in [
        ("h1/old", "2025-10-08T23:59:59.999999+00:00", 0),
        ("h1/new", "2025-10-09T00:00:00.000000+00:00", 9000),
        ("h1/silent-new", "some time in autumn", 0),
        ("h1/silent-old", "some time in autumn", 9000),
    ] {
        state.append(&row_at(name, "whole", stored));
        state.store(name, "WHOLE");
        age(&state.archive(name), Duration::from_hours(days * 24));
    }
    assert_eq!(damaged(&state.run(&["--since", "2025-10-09"])), ["h1/new", "h1/silent-new"]);
    assert_eq!(damaged(&state.run(&["--since", "2025-10-09T01:00:00+02:00"])).len(), 3);
}

#[test]
fn several_jobs_and_a_rate_find_the_same() {
    let state = all_damaged();
    let all = state.run(&["--jobs", "1"]);
    assert_eq!(state.run(&["--jobs", "7"]), all);
    assert_eq!(state.run(&["--jobs", "3", "--rate", "1GiB/s"]), all);
}
