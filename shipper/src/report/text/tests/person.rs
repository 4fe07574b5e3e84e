//! The text for problems that only a person can fix.

use super::*;
use crate::store::unshippable::{Obstacle, Unshippable};

fn unshippable() -> Status {
    let one = |name: &str, reason: &str, command: Option<&str>| Obstacle {
        name: name.to_owned(),
        reason: reason.to_owned(),
        command: command.map(str::to_owned),
    };
    let first = [
        one("e1", "it cannot be read: permission denied", Some("sudo chown -R --reference=/d /d/e1")),
        one("ep\u{1b}[2J", "its name is not valid UTF-8", None),
    ];
    Status { unshippable: Unshippable { count: 7, first: first.into() }, ..well() }
}

#[test]
fn what_cannot_be_shipped_stands_above_everything_but_what_is_worse() {
    assert_snapshot!(shown(unshippable(), Life::Running), @r"
    idle: 203 episodes shipped since the start, 7 cannot be shipped - see cis490-shipper status
    ---
    7 finished directories in episodes/ cannot be shipped: `e1`, it cannot be read: permission denied; `ep\u{1b}[2J`, its name is not valid UTF-8; and 5 more
    help: run the recorder as the shipper's user, and name each directory by the `episode_id` in its meta.json; for these directories:

    sudo chown -R --reference=/d /d/e1

    lab-1 to https://collector.wg: idle, everything is shipped or in quarantine except 7 finished directories, started 5 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's
    ");
    let away = Status { hold: hold("unreachable", "a reason", None), ..unshippable() };
    let text = shown(away, Life::Running);
    let place = |what: &str| text.find(what).unwrap();
    assert!(
        place("the receiver cannot be reached") < place("7 finished directories in episodes/ cannot"),
        "{text}"
    );
    assert!(place("sudo chown") < place("lab-1 to "), "{text}");
    assert_eq!(text.matches("cannot be shipped: ").count(), 1, "{text}");
}

#[test]
fn a_recorder_that_names_no_commit_is_named_and_no_update_is_pasted() {
    let last = |error: &str, commit: Option<&str>| LastRefusal {
        episode_id: "e1".to_owned(),
        commit: commit.map(str::to_owned),
        error: error.to_owned(),
        at: ago(5),
        ..LastRefusal::default()
    };
    let told = |last| {
        let status = Status { data_root: "/data".to_owned(), last_refusal: Some(last), ..well() };
        let text = shown(status, Life::Running);
        assert!(!text.contains("git pull"), "{text}");
        text
    };
    assert_snapshot!(told(last("commit-malformed", Some("unknown"))), @r"
    idle: 203 episodes shipped since the start, recorder names no commit - see cis490-shipper status
    ---
    episode e1 was refused: `code_version.commit` in `/data/quarantine/e1/meta.json` is `unknown`, which is no commit
    help: run the recorder from a git checkout. Episodes in quarantine stay there: correct that member, then run `cis490-shipper quarantine release`

    lab-1 to https://collector.wg: idle, every finished episode is shipped or in quarantine, started 5 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      refused      e1, commit-malformed, 5 s ago
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's
    ");
    let missing = told(last("commit-missing", None));
    assert!(
        missing.contains("`code_version.commit` in `/data/quarantine/e1/meta.json` is missing"),
        "{missing}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_looked_through_and_an_earlier_run_are_said() {
    let blind = Hold {
        cause: "unscannable".to_owned(),
        reason: "cannot read `/d/episodes`".to_owned(),
        help: None,
        since: ago(60),
    };
    assert_snapshot!(shown(Status { scan_failure: Some(blind), shipped: 0, ..well() }, Life::Running), @r"
    idle: 0 episodes shipped since the start, data directory unreadable - see cis490-shipper status
    ---
    cannot scan the data directory for new episodes since 2025-10-09 08:52:20 UTC: cannot read `/d/episodes`

    lab-1 to https://collector.wg: idle, cannot find new episodes, started 5 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago, in an earlier run; nothing since the start
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's
    ");
}
