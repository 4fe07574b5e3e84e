//! The receiver's configuration as the source of store, index and report.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::verify::state::State;

/// Writes a receiver.toml that names the store of this state.
fn configure(state: &State) -> PathBuf {
    let toml = state.path("receiver.toml");
    let (root, index, report) =
        (state.path("episodes"), state.path("index.jsonl"), state.path("verified.json"));
    let [root, index, report] = [&root, &index, &report].map(|path| path.to_str().unwrap());
    let text = format!(
        "[version_gate]\nenabled = false\n[store]\nepisodes_root = {root:?}\nindex = {index:?}\nverify_report = {report:?}\n"
    );
    fs::write(&toml, text).unwrap();
    toml
}

#[test]
fn the_configuration_names_store_and_index_and_what_was_used_is_shown() {
    let state = State::with_episodes(2);
    let toml = configure(&state);
    let config = ["--config", toml.to_str().unwrap()];
    assert_snapshot!(state.run_bare(&config), @r#"
    exit 0
    looked at 2 archives and 2 rows
    read again and found good: 2 archives, 18 B
    found 0 errors, 0 warnings, 0 notes
    --
    note: the store is `[STATE]/episodes` and its index `[STATE]/index.jsonl` (configuration: `[STATE]/receiver.toml`)
    "#);
    let json = state.run_bare(&[&config[..], &["--json"]].concat());
    assert!(json.contains(r#""episodes_root":"[STATE]/episodes","index":"[STATE]/index.jsonl","config":"[STATE]/receiver.toml""#), "{json}");
}

#[test]
fn flags_win_over_the_configuration() {
    let (state, other) = (State::with_episodes(2), State::with_episodes(5));
    let toml = configure(&state);
    let told = other.run(&[
        "--config",
        toml.to_str().unwrap(),
        "--index",
        other.path("index.jsonl").to_str().unwrap(),
    ]);
    assert!(told.starts_with("exit 0\nlooked at 5 archives and 5 rows\n"), "{told}");
}

#[test]
fn a_bare_report_goes_where_the_configuration_says() {
    let state = State::with_episodes(1);
    let toml = configure(&state);
    let told = state.run_bare(&["--config", toml.to_str().unwrap(), "--report"]);
    assert!(told.starts_with("exit 0\n"), "{told}");
    assert!(fs::read_to_string(state.path("verified.json")).unwrap().contains("\"ended\":"));
    assert_snapshot!(state.run(&["--report"]), @r#"
    exit 2
    --
    error: `--report` needs a file, because no configuration names one
    help: name it with `--report FILE`
    "#);
}

#[test]
fn the_report_never_replaces_what_is_looked_at() {
    let state = State::with_episodes(1);
    let before = state.listing();
    for name in ["index.jsonl", "episodes/h1/report.json"] {
        let told = state.run(&["--report", state.path(name).to_str().unwrap()]);
        assert!(told.starts_with("exit 1\n") && told.contains("never writes"), "{told}");
    }
    assert_eq!(state.listing(), before);
}

#[test]
fn a_configuration_that_cannot_be_used_is_exit_78() {
    let state = State::with_episodes(1);
    let toml = state.path("receiver.toml");
    let run = || state.run_bare(&["--config", toml.to_str().unwrap()]);
    assert_snapshot!(run(), @r#"
    exit 78
    --
    error: cannot read `[STATE]/receiver.toml`: No such file or directory (os error 2)
    help: name the receiver's configuration with `--config FILE`, or the store with `--episodes-root DIR`
    "#);
    fs::write(&toml, "[store]\nepisode_root = \"/srv\"\n").unwrap();
    assert_snapshot!(run(), @r#"
    exit 78
    --
    error: `[STATE]/receiver.toml`, line 2: unknown key `episode_root`, did you mean `episodes_root`?
    help: edit it until `sudo cis490-receiver --check-config --config [STATE]/receiver.toml` takes it
    "#);
}
