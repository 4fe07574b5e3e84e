//! QueueActor, by messages: what is noticed between two passes, what leaves `shipped/`, and a disk that is full.
//! The clock is paused as in `queue.rs`; no disk has 100 percent free, so that is how one is short of room here.

use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use actix::Addr;
use cis490_shared::durable;
use cis490_shipper::actors::Drain;
use cis490_shipper::actors::queue::{Missed, Noticed, Observe, QueueActor, Scan};
use cis490_shipper::queue::retention::Rules;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::support::host::{COMMIT, Host, id};
use crate::support::log::Log;
use crate::support::queues::{host_with, notes, paused, queue, scan, start, start_with};
use crate::support::scripted::{Scripted, shipped};

const HOUR: Duration = Duration::from_hours(1);

async fn notice(queue: &Addr<QueueActor>, name: &str) {
    queue.send(Noticed { episode_id: id(name) }).await.unwrap();
}

/// Waits until nothing is under way; no pass is begun for that.
async fn settled(queue: &Addr<QueueActor>) {
    while {
        let seen = queue.send(Observe).await.unwrap();
        seen.in_flight > 0 || seen.ready > 0
    } {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_episode_that_is_noticed_is_shipped_without_a_pass_and_once() {
    paused(async {
        let host = Host::new();
        let (release, wait) = oneshot::channel::<()>();
        let (tried, mut wait) = (Rc::new(Cell::new(0)), Some(wait));
        let in_script = Rc::clone(&tried);
        // The upload lasts until both notices are in: one that comes later is of an episode that is gone.
        let uploader = Scripted::start_async(move |_| {
            in_script.set(in_script.get() + 1);
            let wait = wait.take();
            async move {
                if let Some(wait) = wait {
                    wait.await.unwrap();
                }
                shipped()
            }
        });
        let queue = queue(&host, vec![uploader]);
        scan(&queue).await;
        host.record("e1", Some(COMMIT));
        notice(&queue, "e1").await;
        notice(&queue, "e1").await;
        release.send(()).unwrap();
        settled(&queue).await;
        assert_eq!((host.names("shipped"), tried.get()), (vec!["e1".to_owned()], 1));
        assert_eq!(queue.send(Observe).await.unwrap().passes, 1, "no pass has found it");
    });
}

#[test]
fn an_episode_that_is_noticed_during_a_pass_is_not_forgotten_by_what_the_pass_finds() {
    paused(async {
        let host = Host::new();
        let (tried, uploader) = notes(|_| shipped());
        let queue = queue(&host, vec![uploader]);
        let pass = queue.send(Scan);
        // Its directory is not there: the scan cannot find it, whenever it looks.
        notice(&queue, "late").await;
        assert_eq!(queue.send(Observe).await.unwrap().passes, 0, "the pass is under way");
        pass.await.unwrap().unwrap();
        assert_eq!(*tried.borrow(), ["late"]);
    });
}

#[test]
fn oldest_first_holds_where_a_scan_left_episodes_out() {
    paused(async {
        let host = host_with(1500);
        let (release, wait) = oneshot::channel();
        let (tried, mut wait) = (Rc::new(RefCell::new(Vec::new())), Some(wait));
        let in_script = Rc::clone(&tried);
        let uploader = Scripted::start_async(move |ship| {
            in_script.borrow_mut().push(ship.episode_id.to_string());
            let wait = wait.take();
            async {
                if let Some(wait) = wait {
                    wait.await.unwrap();
                }
                shipped()
            }
        });
        let queue = queue(&host, vec![uploader]);
        let all = queue.send(Scan);
        while queue.send(Observe).await.unwrap().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        // The newest of all, beyond what one scan takes.
        notice(&queue, "e999").await;
        notice(&queue, "e1499").await;
        release.send(()).unwrap();
        all.await.unwrap().unwrap();
        let tried = tried.borrow().clone();
        assert_eq!(tried.len(), 1500, "each is shipped once");
        assert!(tried.is_sorted(), "in their order");
    });
}

#[test]
fn what_may_have_been_missed_has_a_pass_made() {
    paused(async {
        let host = Host::new();
        let (tried, uploader) = notes(|_| shipped());
        let queue = start(&host, Some(HOUR), vec![uploader]);
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
        host.record("e1", Some(COMMIT));
        queue.send(Missed).await.unwrap();
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
        let passes = queue.send(Observe).await.unwrap().passes;
        assert_eq!((tried.borrow().len(), passes), (1, 2));
    });
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
        // Passes are rare, and have no part in it.
        let queue = start_with(&host, Some(24 * HOUR), rules, vec![Scripted::start(|_| shipped())]);
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
        let disk = queue.send(Observe).await.unwrap().disk.expect("it was looked at");
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
        let _queue = start_with(&host, Some(24 * HOUR), rules, vec![Scripted::start(|_| shipped())]);
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
        let _off = start(&host, Some(24 * HOUR), vec![Scripted::start(|_| shipped())]);
        sleep_until(begin + 3 * HOUR).await;
        assert_eq!((host.names("shipped"), log.count("WARN"), log.count("ERROR")), (vec!["e1".into()], 0, 0));

        let other = Host::new();
        let rules = Rules { keep: None, free_percent: 100 };
        let broken = start_with(&other, Some(24 * HOUR), rules, vec![Scripted::start(|_| shipped())]);
        fs::remove_dir(other.data().join("shipped")).unwrap();
        fs::write(other.data().join("shipped"), "").unwrap();
        sleep_until(Instant::now() + HOUR).await;
        assert_eq!(log.count("ERROR room on the disk cannot be looked after"), 1);
        fs::remove_file(other.data().join("shipped")).unwrap();
        fs::create_dir(other.data().join("shipped")).unwrap();
        sleep_until(Instant::now() + HOUR).await;
        assert_eq!(log.count("INFO room on the disk is looked after again"), 1);
        drop(broken);
    });
}

#[test]
fn a_queue_that_is_drained_deletes_no_more() {
    paused(async {
        let host = Host::new();
        let rules = Rules { keep: None, free_percent: 100 };
        let queue = start_with(&host, Some(24 * HOUR), rules, vec![Scripted::start(|_| shipped())]);
        sleep_until(Instant::now() + Duration::from_secs(5)).await;
        queue.send(Drain).await.unwrap();
        keep(&host, "e1");
        sleep_until(Instant::now() + HOUR).await;
        assert_eq!(host.names("shipped"), ["e1"]);
    });
}
