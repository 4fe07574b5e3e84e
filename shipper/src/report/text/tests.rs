//! The text for whole situations, and the line that the service manager shows for them.

#![expect(clippy::unnecessary_wraps, reason = "they stand where the status has an option")]

use std::time::Duration;

use cis490_shared::clock::WallTime;
use insta::assert_snapshot;

use super::*;
use crate::report::problem::first;
use crate::report::status::{
    Backlog, Disk, Hold, LastRefusal, Quarantined, Rates, RefusedCommit, Speed, Success, UnderWay,
};
use crate::store::scan::Oldest;

mod person;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000)
}

fn ago(seconds: u64) -> Option<WallTime> {
    Some(WallTime::from(now() - Duration::from_secs(seconds)))
}

fn ahead(seconds: u64) -> Option<WallTime> {
    Some(WallTime::from(now() + Duration::from_secs(seconds)))
}

const DAY: u64 = 86_400;

fn well() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 4711,
        host_id: "lab-1".to_owned(),
        url: "https://collector.wg".to_owned(),
        state: State::Idle,
        started_at: ago(5 * 3600),
        updated_at: ago(2),
        shipped: 203,
        last_success: Some(Success { episode_id: "01JD8Z5V6T7M3K2Q9W8E4R5T6Y".to_owned(), at: ago(190) }),
        certificate_expires: ahead(200 * DAY),
        clock_skew_s: Some(-1),
        ..Status::default()
    }
}

fn busy() -> Status {
    Status {
        state: State::Shipping,
        backlog: Backlog { in_episodes: 1340, ready: 1020, waiting: 1, in_flight: 3 },
        rate: Rates {
            last_minute: Speed { episodes_per_s: 0.82, bytes_per_s: 3_140_000 },
            last_ten_minutes: Speed { episodes_per_s: 0.9, bytes_per_s: 2_900_000 },
        },
        under_way: vec![
            UnderWay {
                episode_id: "01JD8Z5V6T7M3K2Q9W8E4R5T70".to_owned(),
                sent_bytes: 45_000_000,
                total_bytes: 120_000_000,
                ..UnderWay::default()
            },
            UnderWay {
                episode_id: "01JD8Z5V6T7M3K2Q9W8E4R5T71".to_owned(),
                sent_bytes: 0,
                total_bytes: 2_000_000,
                ..UnderWay::default()
            },
        ],
        oldest_unshipped: Some(Oldest {
            episode_id: "01JD8Z5V6T7M3K2Q9W8E4R5T70".to_owned(),
            since: ago(7 * 3600),
        }),
        ..well()
    }
}

fn hold(cause: &str, reason: &str, help: Option<&str>) -> Option<Hold> {
    let (reason, help) = (reason.to_owned(), help.map(str::to_owned));
    Some(Hold { cause: cause.to_owned(), reason, help, since: ago(300) })
}

fn refused() -> Status {
    Status {
        quarantined: Some(Quarantined {
            total: 33,
            by_commit: vec![RefusedCommit { commit: Some("ab".repeat(20)), episodes: 31 }],
        }),
        last_refusal: Some(LastRefusal {
            episode_id: "01JD8Z5V6T7M3K2Q9W8E4R5T6X".to_owned(),
            commit: Some("ab".repeat(20)),
            error: "commit-not-in-window".to_owned(),
            detail: Some("the commit is not among the last 100".to_owned()),
            remediation: Some("cd /opt/cis490 && sudo -u cis490 git pull origin main\nsudo /opt/cis490/scripts/install-lab-host.sh\n".to_owned()),
            at: ago(600),
        }),
        ..busy()
    }
}

/// Returns the line of the service manager, then the text.
fn shown(status: Status, life: Life) -> String {
    let problem = first(&status, life, now());
    let report = Report { running: life != Life::NotRunning, problem, life, status };
    format!("{}\n---\n{}", line(&report.status, now()), render(&report, now()))
}

#[test]
fn while_all_is_well_it_is_short() {
    assert_snapshot!(shown(well(), Life::Running), @r"
    idle: 203 episodes shipped since the start
    ---
    lab-1 to https://collector.wg: idle, every finished episode is shipped or in quarantine, started 5 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's
    ");
}

#[test]
fn a_backlog_on_its_way_shows_how_far_it_is() {
    assert_snapshot!(shown(busy(), Life::Running), @r"
    shipping: 1020 ready, 1 to be tried again, 3 under way at 3.1 MB/s
    ---
    lab-1 to https://collector.wg: shipping, started 5 h ago
      backlog      1020 ready, 1 to be tried again, 3 under way, 1340 in episodes/ in all
      rate         3.1 MB/s, 0.8 episodes/s over the last minute; 2.9 MB/s, 0.9 over the last ten
      under way    01JD8Z5V6T7M3K2Q9W8E4R5T70, 45 MB of 120 MB (37 %)
      under way    01JD8Z5V6T7M3K2Q9W8E4R5T71, 0 B of 2.0 MB (0 %)
      oldest       01JD8Z5V6T7M3K2Q9W8E4R5T70, finished 7 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's
    ");
}

#[test]
fn a_receiver_that_is_away_is_said_first_with_what_happens_next() {
    let away = Status {
        state: State::Waiting,
        backlog: Backlog { in_episodes: 12, ready: 12, ..Backlog::default() },
        hold: hold("unreachable", "cannot connect: Connection refused (os error 111)", None),
        next_try: ahead(20),
        ..well()
    };
    assert_snapshot!(shown(away, Life::Running), @r"
    waiting: 12 ready, receiver unreachable - see cis490-shipper status
    ---
    the receiver cannot be reached, since 2025-10-09 08:48:20 UTC: cannot connect: Connection refused (os error 111)
    help: nothing is lost, and uploads are retried automatically; to test the whole path now: cis490-shipper --ping

    lab-1 to https://collector.wg: waiting, started 5 h ago
      backlog      12 ready, 12 in episodes/ in all
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      next try     in 20 s
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's
    ");
}

#[test]
fn a_host_that_is_not_let_in_is_told_what_to_look_at() {
    let blocked = Status {
        state: State::Waiting,
        hold: hold(
            "blocked",
            "answered 403: lab-1 is not known here",
            Some("the receiver does not accept this host: check `host_id`"),
        ),
        last_success: None,
        shipped: 0,
        last_refusal: refused().last_refusal,
        ..well()
    };
    assert_snapshot!(shown(blocked, Life::Running), @r"
    waiting: 0 episodes shipped since the start, receiver accepts nothing from this host - see cis490-shipper status
    ---
    the receiver accepts nothing from this host, since 2025-10-09 08:48:20 UTC: answered 403: lab-1 is not known here
    help: the receiver does not accept this host: check `host_id`

    lab-1 to https://collector.wg: waiting, started 5 h ago
      shipped      nothing since the start
      refused      01JD8Z5V6T7M3K2Q9W8E4R5T6X, commit-not-in-window, commit abababababab, 10 min ago: the commit is not among the last 100
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's

    episodes of commit abababababab are refused; kept in quarantine until the gate admits it. New episodes are taken once this host is up to date:

    cd /opt/cis490 && sudo -u cis490 git pull origin main
    sudo /opt/cis490/scripts/install-lab-host.sh
    ");
}

#[test]
fn a_refused_commit_comes_with_lines_to_paste() {
    assert_snapshot!(shown(refused(), Life::Running), @r"
    shipping: 1020 ready, 1 to be tried again, 3 under way at 3.1 MB/s, 1 refused commit (31 episodes) - see cis490-shipper status
    ---
    31 episodes of commit abababababab refused; kept in quarantine until the gate admits it. New episodes are taken once this host is up to date:

    cd /opt/cis490 && sudo -u cis490 git pull origin main
    sudo /opt/cis490/scripts/install-lab-host.sh

    lab-1 to https://collector.wg: shipping, started 5 h ago
      backlog      1020 ready, 1 to be tried again, 3 under way, 1340 in episodes/ in all
      rate         3.1 MB/s, 0.8 episodes/s over the last minute; 2.9 MB/s, 0.9 over the last ten
      under way    01JD8Z5V6T7M3K2Q9W8E4R5T70, 45 MB of 120 MB (37 %)
      under way    01JD8Z5V6T7M3K2Q9W8E4R5T71, 0 B of 2.0 MB (0 %)
      oldest       01JD8Z5V6T7M3K2Q9W8E4R5T70, finished 7 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      quarantine   33 episodes, 31 of them for their commit; see cis490-shipper quarantine list
      refused      01JD8Z5V6T7M3K2Q9W8E4R5T6X, commit-not-in-window, commit abababababab, 10 min ago: the commit is not among the last 100
      certificate  ends in 200 days (2026-04-27 08:53:20 UTC)
      clock        agrees with the receiver's
    ");
}

#[test]
fn what_will_be_trouble_is_said_before_it_is() {
    let aging = Status {
        certificate_expires: ahead(9 * DAY + 1),
        clock_skew_s: Some(-300),
        conflicts: 1,
        commit_position: Some("93/100".to_owned()),
        ..well()
    };
    assert_snapshot!(shown(aging.clone(), Life::Running), @r"
    idle: 203 episodes shipped since the start, certificate ends in 9 days - see cis490-shipper status
    ---
    the certificate of this host ends in 9 days
    help: put a new one in place of `receiver.client_cert_file` and `receiver.client_key_file`; nothing needs a restart

    lab-1 to https://collector.wg: idle, every finished episode is shipped or in quarantine, started 5 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      quarantine   1 episode in conflict with other stored bytes since the start; see cis490-shipper quarantine list
      commit       93/100 in the window of admitted commits
      certificate  ends in 9 days (2025-10-18 08:53:21 UTC)
      clock        the receiver's clock is 5 min behind this host's
    ");
    let clock = Status { certificate_expires: None, ..aging };
    assert_snapshot!(shown(clock, Life::Running), @r"
    idle: 203 episodes shipped since the start, clocks differ - see cis490-shipper status
    ---
    the receiver's clock is 5 min behind this host's; with a wrong clock, certificates are refused
    help: see which of the two is wrong, and set it: timedatectl

    lab-1 to https://collector.wg: idle, every finished episode is shipped or in quarantine, started 5 h ago
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago; 203 since the start
      quarantine   1 episode in conflict with other stored bytes since the start; see cis490-shipper quarantine list
      commit       93/100 in the window of admitted commits
      clock        the receiver's clock is 5 min behind this host's
    ");
    let full = Disk { free_bytes: 900_000_000, total_bytes: 500_000_000_000, is_nearly_full: true };
    assert_snapshot!(shown(Status { disk: Some(full), ..refused() }, Life::Running).lines().take(5).collect::<Vec<_>>().join("\n"), @r"
    shipping: 1020 ready, 1 to be tried again, 3 under way at 3.1 MB/s, 900 MB of disk left - see cis490-shipper status
    ---
    the disk of the data directory is nearly full: 900 MB of 500 GB are free; when it is full, recording fails
    help: make room: `df -h`, `du -sh` its shipped/ and quarantine/
    ");
}

#[test]
fn a_shipper_that_does_not_run_is_said_first_whatever_else_there_is() {
    let counted = Status {
        backlog: Backlog { in_episodes: 40, ..Backlog::default() },
        quarantined: Some(Quarantined { total: 2, by_commit: vec![] }),
        ..well()
    };
    let gone = |status: Status, life| shown(status, life).split_once("---\n").unwrap().1.to_owned();
    assert_snapshot!(gone(Status { state: State::Stopped, updated_at: ago(7300), ..counted.clone() }, Life::NotRunning), @r"
    the shipper is not running since 2025-10-09 06:51:40 UTC (2 h ago)
    help: systemctl status cis490-shipper

    lab-1 to https://collector.wg: not running
      backlog      40 in episodes/
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago
      quarantine   2 episodes; see cis490-shipper quarantine list
    ");
    assert_snapshot!(gone(Status { updated_at: ago(7300), ..counted }, Life::NotRunning).lines().next().unwrap(), @"the shipper is not running; it ended without a clean stop after 2025-10-09 06:51:40 UTC (2 h ago)");
    assert_snapshot!(gone(Status::default(), Life::NotRunning).lines().next().unwrap(), @"the shipper is not running, and has written no status here before");
    assert_snapshot!(gone(Status { updated_at: ago(600), ..well() }, Life::Silent), @r"
    a shipper works on this data directory, but has not written its status since 2025-10-09 08:43:20 UTC (10 min ago)
    help: a `--once` run writes no status; otherwise the shipper is stuck: systemctl status cis490-shipper

    lab-1 to https://collector.wg: no status
      backlog      0 in episodes/
      shipped      01JD8Z5V6T7M3K2Q9W8E4R5T6Y, 3 min ago
    ");
}

#[test]
fn a_refused_commit_is_known_after_a_restart_too() {
    let restarted = Status { last_refusal: None, ..refused() };
    let problem = first(&restarted, Life::Running, now()).unwrap();
    assert!(problem.paste.unwrap().starts_with("cd /opt/cis490"));
    let away = Status { hold: hold("unreachable", "a reason", None), ..refused() };
    let text = shown(away.clone(), Life::Running);
    assert_eq!(
        (text.matches("git pull").count(), text.contains("cannot be reached, since")),
        (1, true),
        "{text}"
    );
    let text = shown(Status { quarantined: Some(Quarantined::default()), ..away }, Life::Running);
    assert_eq!(text.matches("git pull").count(), 0, "{text}");
    let released = Status { quarantined: Some(Quarantined::default()), ..refused() };
    assert_eq!(first(&released, Life::Running, now()), None, "what was released is no problem any more");
}

#[test]
fn a_hold_of_a_moment_is_not_the_first_thing_to_read() {
    let young = hold("unavailable", "answered 503", None).map(|hold| Hold { since: ago(3), ..hold });
    assert_eq!(first(&Status { hold: young.clone(), ..well() }, Life::Running, now()), None);
    let helped = young.map(|hold| Hold { help: Some("look".to_owned()), ..hold });
    let restarting = Status { hold: helped.clone(), ..well() };
    assert_eq!(first(&restarting, Life::Running, now()), None, "a proxy says so while the receiver restarts");
    let blocked = helped.map(|hold| Hold { cause: "blocked".to_owned(), ..hold });
    assert!(first(&Status { hold: blocked, ..well() }, Life::Running, now()).is_some());
}

#[test]
fn what_the_network_says_moves_no_cursor() {
    let evil = Status { hold: hold("unreachable", "\u{1b}[2Jgone\nroot# ", None), ..refused() };
    let text = shown(evil, Life::Running);
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2Jgone\\nroot#"), "{text}");
}
