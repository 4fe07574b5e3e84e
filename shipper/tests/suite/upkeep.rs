//! UpkeepActor, by messages: deletions from `shipped/` and the quarantine, and a full disk. The clock is paused as in
//! `queue.rs`. No disk has 100 percent free, so this percentage makes a disk short of room here.

use std::fs;
use std::io::Write;
use std::time::Duration;

use actix::{Actor, Addr};
use cis490_shared::durable;
use cis490_shared::latest::Latest;
use cis490_shipper::actors::Drain;
use cis490_shipper::actors::upkeep::{UpkeepActor, UpkeepSettings};
use cis490_shipper::report::status::Disk;
use cis490_shipper::store::quarantine::Keep;
use cis490_shipper::store::shipped::Rules;
use tokio::time::{Instant, sleep_until};

use crate::support::host::{COMMIT, Host};
use crate::support::log::Log;
use crate::support::queues::paused;

const HOUR: Duration = Duration::from_hours(1);

/// Starts an actor with these rules for `shipped/`. Returns it, and the free room that it publishes.
fn start(host: &Host, retention: Rules) -> (Addr<UpkeepActor>, Latest<Option<Disk>>) {
    start_with(host, Keep::default(), retention)
}

fn start_with(
    host: &Host,
    quarantine_keep: Keep,
    retention: Rules,
) -> (Addr<UpkeepActor>, Latest<Option<Disk>>) {
    let ((dirs, _), disk) = (host.open(), Latest::new(None));
    let settings = UpkeepSettings { dirs, quarantine_keep, retention, disk: disk.clone() };
    (UpkeepActor::new(settings).start(), disk)
}

/// Puts an episode into `shipped/`.
fn keep(host: &Host, name: &str) {
    host.record(name, Some(COMMIT));
    let (from, to) = (host.data().join("episodes").join(name), host.data().join("shipped").join(name));
    durable::rename_noreplace(&from, &to).unwrap();
}

#[test]
fn a_disk_that_is_short_is_relieved_of_what_was_shipped_and_said_to_be_full_when_that_is_gone() {
    paused(async {
        let log = Log::catch();
        let host = Host::new();
        for n in 0..300 {
            keep(&host, &format!("e{n:03}"));
        }
        fs::create_dir(host.data().join("episodes/recording")).unwrap();
        fs::create_dir(host.data().join("quarantine/refused")).unwrap();
        let rules = Rules { keep: None, free_percent: 100 };
        let begin = Instant::now();
        let (_upkeep, disk) = start(&host, rules);
        sleep_until(begin + Duration::from_secs(20)).await;
        assert_eq!(host.names("shipped"), [""; 0]);
        assert_eq!((host.names("episodes").len(), host.names("quarantine").len()), (1, 1));
        let rounds = log.with("INFO shipped episodes deleted");
        assert_eq!(rounds.len(), 2, "{rounds:?}");
        assert!(rounds[0].contains("deleted=256") && rounds[0].contains("for_space=256"), "{}", rounds[0]);
        assert!(rounds[0].contains("freed_bytes=") && rounds[0].contains("free_percent="), "{}", rounds[0]);
        sleep_until(begin + HOUR).await;
        assert_eq!(log.count("of the data directory is"), 1, "once, not once per look");
        let said = &log.with("of the data directory is")[0];
        for field in [
            "episodes=1 ",
            "shipped=0 ",
            "quarantine=1 ",
            "free_bytes=",
            "du -xh",
            "no shipped episode is left",
        ] {
            assert!(said.contains(field), "{field} is not in {said}");
        }
        let disk = disk.now().expect("it was looked at");
        assert!(disk.total_bytes > disk.free_bytes && disk.free_bytes > 0);
    });
}

#[test]
fn what_is_too_old_goes_once_an_hour_and_nothing_else_does() {
    paused(async {
        let log = Log::catch();
        let host = Host::new();
        keep(&host, "first");
        let rules = Rules { keep: Some(Duration::from_nanos(1)), free_percent: 0 };
        let begin = Instant::now();
        let _upkeep = start(&host, rules);
        sleep_until(begin + Duration::from_mins(59)).await;
        assert_eq!(host.names("shipped"), ["first"], "at the first walk nothing is old");
        sleep_until(begin + Duration::from_mins(61)).await;
        assert_eq!(host.names("shipped"), [""; 0]);
        keep(&host, "second");
        sleep_until(begin + Duration::from_mins(121)).await;
        assert_eq!(host.names("shipped"), ["second"], "it may have been put there just before that walk");
        sleep_until(begin + Duration::from_mins(182)).await;
        assert_eq!(host.names("shipped"), [""; 0]);
        assert_eq!(log.count("for_age=1"), 2);
    });
}

#[test]
fn without_rules_nothing_is_deleted_and_a_place_that_cannot_be_read_is_said_once() {
    paused(async {
        let log = Log::catch();
        let host = Host::new();
        keep(&host, "e1");
        let begin = Instant::now();
        let _off = start(&host, Rules::default());
        sleep_until(begin + 3 * HOUR).await;
        assert_eq!((host.names("shipped"), log.count("WARN"), log.count("ERROR")), (vec!["e1".into()], 0, 0));

        let other = Host::new();
        let rules = Rules { keep: None, free_percent: 100 };
        let broken = start(&other, rules);
        fs::remove_dir(other.data().join("shipped")).unwrap();
        fs::write(other.data().join("shipped"), "").unwrap();
        sleep_until(Instant::now() + HOUR).await;
        assert_eq!(log.count("ERROR cannot check free disk space"), 1);
        fs::remove_file(other.data().join("shipped")).unwrap();
        fs::create_dir(other.data().join("shipped")).unwrap();
        sleep_until(Instant::now() + HOUR).await;
        assert_eq!(log.count("INFO free disk space can be checked again"), 1);
        drop(broken);
    });
}

#[test]
fn what_is_drained_deletes_no_more() {
    paused(async {
        let host = Host::new();
        let rules = Rules { keep: None, free_percent: 100 };
        let (upkeep, _) = start(&host, rules);
        sleep_until(Instant::now() + Duration::from_secs(5)).await;
        upkeep.send(Drain).await.unwrap();
        keep(&host, "e1");
        sleep_until(Instant::now() + HOUR).await;
        assert_eq!(host.names("shipped"), ["e1"]);
    });
}

#[test]
fn incident_08_the_quarantine_is_bounded_by_age_and_walked_once_an_hour() {
    paused(async {
        let host = Host::new();
        let refuse_long_ago = |name: &str, status: u16| {
            let dir = host.data().join("quarantine").join(name);
            fs::create_dir(&dir).unwrap();
            let mut note = fs::File::create(dir.join("quarantine_reason.json")).unwrap();
            writeln!(note, "{{\"status\": {status}, \"error\": \"x\"}}").unwrap();
            note.set_modified(std::time::UNIX_EPOCH).unwrap();
        };
        refuse_long_ago("first", 409);
        refuse_long_ago("window", 412);
        let begin = Instant::now();
        let at = |hours: u64, minutes: u64| begin + Duration::from_secs(3600 * hours + 60 * minutes);
        let keep = Keep { for_commit: None, others: Some(Duration::from_hours(24)) };
        let _upkeep = start_with(&host, keep, Rules::default());
        // Its time stamp says 1970, which is no evidence of its age.
        sleep_until(at(23, 30)).await;
        assert_eq!(host.names("quarantine"), ["first", "window"]);
        sleep_until(at(25, 30)).await;
        assert_eq!(host.names("quarantine"), ["window"], "what the gate may still admit is kept");
        refuse_long_ago("second", 413);
        sleep_until(at(25, 50)).await;
        assert_eq!(host.names("quarantine"), ["second", "window"]);
        sleep_until(at(26, 50)).await;
        assert_eq!(host.names("quarantine"), ["window"]);
    });
}
