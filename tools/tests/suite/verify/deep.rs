//! `--deep`: archives with the right bytes that are no episode, another one, or one of another commit.

use insta::assert_snapshot;

use crate::verify::state::{State, archive_with};

fn meta(episode: &str, commit: &str) -> String {
    format!("{{\"episode_id\":\"{episode}\",\"code_version\":{{\"commit\":\"{commit}\",\"dirty\":false}}}}")
}

#[test]
fn whole_episodes_are_opened_and_found_good() {
    let (state, commit) = (State::new(), "ab".repeat(20));
    let archives = ["e1", "e2"].map(|episode| archive_with(&meta(episode, &commit)));
    state.add_archive("h1/e1", &archives[0], Some(&commit));
    state.add_archive("h1/e2", &archives[1], None);
    let size = format!("{} B", archives.concat().len());
    assert_snapshot!(state.run(&["--deep"]).replace(&size, "[SIZE]"), @r#"
    exit 0
    looked at 2 archives and 2 rows
    opened and found good: 2 archives, [SIZE]
    found 0 errors, 0 warnings, 0 notes
    --
    "#);
    assert!(state.run(&["--deep", "--json"]).contains("\"opened\":true"));
}

#[test]
fn the_gate_is_not_fooled_by_a_header() {
    let (state, judged, recorded) = (State::new(), "ab".repeat(20), "cd".repeat(20));
    state.add_archive("h1/fooled", &archive_with(&meta("fooled", &recorded)), Some(&judged));
    state.add_archive("h1/silent", &archive_with(r#"{"episode_id":"silent"}"#), Some(&judged));
    state.add_archive("h1/twin", &archive_with(&meta("other", &judged)), Some(&judged));
    assert!(state.run(&[]).starts_with("exit 0\n"), "the bytes are what they were");
    let told = state.run(&["--deep"]);
    assert_snapshot!(told, @r#"
    exit 3
    error: h1/fooled was admitted for commit abababababababababababababababababababab, and its meta.json names cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
        # the gate checked the commit in the request: find out which code ran before training with it
        sudo -u cis490 tar --zstd -xOf [STATE]/episodes/h1/fooled.tar.zst --wildcards '*meta.json'
    error: h1/silent was admitted for commit abababababababababababababababababababab, and its meta.json names none
        # the gate checked the commit in the request: find out which code ran before training with it
        sudo -u cis490 tar --zstd -xOf [STATE]/episodes/h1/silent.tar.zst --wildcards '*meta.json'
    error: h1/twin holds another episode: its meta.json names other
        sudo -u cis490 tar --zstd -xOf [STATE]/episodes/h1/twin.tar.zst --wildcards '*meta.json'
    looked at 3 archives and 3 rows
    opened and found good: 0 archives, 0 B
    found 3 errors, 0 warnings, 0 notes
    --
    "#);
}

#[test]
fn what_is_no_episode_is_found_though_its_bytes_are_those_of_its_row() {
    let (state, whole) = (State::new(), archive_with(&meta("cut", "x")));
    state.add_archive("h1/cut", &whole[..whole.len() - 5], None);
    state.add_archive("h1/garbage", b"no archive at all", None);
    state.add_archive("h1/nameless", &archive_with("{}"), None);
    state.store("h1/unproven", "nor this");
    state.append("{\"host_id\":\"h1\",\"episode_id\":\"unproven\",\"size_bytes\":8}\n");
    let told = state.run(&["--deep", "--json"]);
    for (episode, reason) in [
        ("cut", "the archive is cut short"),
        ("garbage", "cannot be decompressed"),
        ("nameless", "missing field `episode_id`"),
        ("unproven", "cannot be decompressed"),
    ] {
        let line = told.lines().find(|line| line.contains(&format!("\"episode_id\":\"{episode}\""))).unwrap();
        assert!(line.contains("\"finding\":\"no-episode\"") && line.contains(reason), "{line}");
    }
    assert!(told.starts_with("exit 3\n") && told.contains("\"errors\":4,"), "{told}");
}
