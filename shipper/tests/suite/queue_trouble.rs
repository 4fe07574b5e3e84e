//! QueueActor, by messages, with scripted uploaders and real directories. The receiver is gone, the host is rejected,
//! episodes conflict, the shipper crashes. The clock is paused as in `queue.rs`.

use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use actix::MailboxError;
use cis490_shared::durable;
use cis490_shipper::actors::Ping;
use cis490_shipper::actors::queue::{Ended, Observe, Scan, ShownAnew};
use cis490_shipper::answers::judge;
use cis490_shipper::answers::outcome::{Outcome, Scope};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::host::COMMIT;
use crate::support::log::Log;
use crate::support::queues::{host_with, notes, paused, queue, scan, start};
use crate::support::scripted::{Scripted, refused, shipped, transient};

#[test]
fn incident_12_a_conflict_is_kept_aside_and_not_sent_again() {
    paused(async {
        let log = Log::catch();
        let host = host_with(1);
        let (tried, uploader) = notes(|_| {
            let mut refusal = refused(409, "conflict", Some(COMMIT));
            refusal.stored_sha256 = Some("aa".repeat(32));
            refusal.your_sha256 = Some("bb".repeat(32));
            Outcome::Conflict(refusal)
        });
        let queue = queue(&host, vec![uploader]);
        for _ in 0..5 {
            assert_eq!(scan(&queue).await.status.conflicts, 1);
        }
        assert_eq!(tried.borrow().len(), 1);
        let reason = host.reason("e000");
        assert_eq!((&reason["error"], &reason["status"]), (&"conflict".into(), &409.into()));
        assert_eq!(
            (&reason["stored_sha256"], &reason["your_sha256"]),
            (&"aa".repeat(32).into(), &"bb".repeat(32).into())
        );
        assert_eq!(log.count("WARN episode refused"), 1);
    });
}

#[test]
fn a_dead_receiver_costs_one_attempt_per_step_touches_nothing_and_is_logged_once() {
    paused(async {
        let log = Log::catch();
        let host = host_with(100);
        let up_again = Instant::now() + Duration::from_hours(1);
        let (tried, uploader) =
            notes(move |_| if Instant::now() < up_again { transient(Scope::Network) } else { shipped() });
        let queue = start(&host, Some(Duration::from_secs(5)), vec![uploader]);
        sleep_until(up_again).await;
        let attempts = tried.borrow().len();
        assert!((10..40).contains(&attempts), "{attempts} attempts in an hour");
        assert!(
            tried.borrow().iter().all(|name| name == "e000"),
            "nothing was said about the oldest: it stays first"
        );
        assert_eq!((host.names("episodes").len(), host.names("quarantine").len()), (100, 0));
        assert_eq!(
            (log.count("WARN receiver unreachable"), log.count("WARN"), log.count("ERROR")),
            (1, 1, 0)
        );
        sleep_until(up_again + Duration::from_mins(10)).await;
        assert_eq!((host.names("shipped").len(), host.names("episodes").len()), (100, 0));
        assert_eq!(log.count("INFO receiver reachable again"), 1);
        drop(queue);
    });
}

#[test]
fn a_host_that_is_not_let_in_holds_its_queue_and_condemns_nothing() {
    paused(async {
        let log = Log::catch();
        let host = host_with(100);
        let (tried, uploader) = notes(|_| judge::blocked(403, None));
        let queue = start(&host, Some(Duration::from_secs(5)), vec![uploader]);
        sleep_until(Instant::now() + Duration::from_hours(1)).await;
        let seen = queue.send(Observe).await.unwrap();
        assert!(seen.on_hold && seen.refused == 0, "{seen:?}");
        assert!((10..40).contains(&tried.borrow().len()), "{} attempts", tried.borrow().len());
        assert_eq!((host.names("episodes").len(), host.names("quarantine").len()), (100, 0));
        assert_eq!(log.count("ERROR receiver accepts nothing from this host"), 1);
        assert!(log.with("ERROR")[0].contains("host_id"), "the entry says what to look at");
    });
}

#[test]
fn a_new_certificate_or_token_is_tried_at_once_and_not_when_the_wait_is_over() {
    paused(async {
        let host = host_with(3);
        let is_let_in = Rc::new(Cell::new(false));
        let now_is = Rc::clone(&is_let_in);
        let (tried, uploader) =
            notes(move |_| if now_is.get() { shipped() } else { judge::blocked(401, None) });
        let queue = start(&host, Some(Duration::from_secs(1)), vec![uploader]);
        // By now minutes lie between two attempts.
        sleep(Duration::from_hours(1)).await;
        let before = tried.borrow().len();
        is_let_in.set(true);
        queue.send(ShownAnew).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!((tried.borrow().len() - before, host.names("shipped").len()), (3, 3));
    });
}

#[test]
fn what_the_receiver_asked_for_is_waited_for_and_a_single_pass_does_not_wait() {
    paused(async {
        let host = host_with(1);
        let begin = Instant::now();
        let times = Rc::new(RefCell::new(Vec::new()));
        let in_script = Rc::clone(&times);
        let uploader = Scripted::start(move |_| {
            in_script.borrow_mut().push(begin.elapsed().as_secs());
            let retry_after = Some(Duration::from_secs(90));
            match in_script.borrow().len() {
                1 => Outcome::Transient {
                    scope: Scope::Receiver,
                    reason: "disk-full".to_owned(),
                    retry_after,
                    help: None,
                },
                _ => shipped(),
            }
        });
        let queue = queue(&host, vec![uploader]);
        let seen = scan(&queue).await;
        assert_eq!((seen.status.backlog.waiting, seen.on_hold, begin.elapsed().as_secs()), (1, true, 0));
        sleep_until(begin + Duration::from_secs(100)).await;
        assert_eq!(*times.borrow(), [0, 90]);
        assert_eq!(host.names("shipped"), ["e000"]);
    });
}

#[test]
fn incident_06_orphans_are_swept_on_every_pass_and_live_archives_are_not() {
    paused(async {
        let host = host_with(2);
        let outbox = host.data().join("outbox");
        let write = |name: &str| fs::write(outbox.join(name), "zst").unwrap();
        for left in ["gone.tar.zst", "gone.tar.zst.partial", "e001.tar.zst", "e001.tar.zst.partial", "README"]
        {
            write(left);
        }
        // The first uploader keeps e000 in flight as long as the test wants; the second fails with e001.
        let (answer, wait) = oneshot::channel();
        let mut wait = Some(wait);
        let slow = Scripted::start_async(move |_| {
            let wait = wait.take().expect("it is asked once");
            async { wait.await.unwrap() }
        });
        let (failed, has_failed) = oneshot::channel();
        let mut failed = Some(failed);
        let (in_an_hour, reason) = (Some(Duration::from_hours(1)), "x".to_owned());
        let failing = Scripted::start(move |_| {
            failed.take().expect("it is asked once").send(()).unwrap();
            Outcome::Transient {
                scope: Scope::Episode,
                reason: reason.clone(),
                retry_after: in_an_hour,
                help: None,
            }
        });
        let queue = queue(&host, vec![slow, failing]);
        let first = queue.send(Scan);
        has_failed.await.unwrap();
        for written_since in ["e000.tar.zst", "e000.tar.zst.partial", "gone.tar.zst"] {
            write(written_since);
        }
        let second = queue.send(Scan);
        while queue.send(Observe).await.unwrap().passes < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(host.names("outbox"), ["README", "e000.tar.zst", "e000.tar.zst.partial", "e001.tar.zst"]);
        answer.send(shipped()).unwrap();
        let seen = futures_util::future::join(first, second).await.1.unwrap().unwrap();
        assert_eq!((seen.swept, seen.status.shipped, seen.status.backlog.waiting), (4, 1, 1));
        assert_eq!(host.names("outbox"), ["README", "e000.tar.zst.partial", "e001.tar.zst"]);
        scan(&queue).await;
        assert_eq!(host.names("outbox"), ["README", "e001.tar.zst"]);
    });
}

#[test]
fn a_crash_between_two_moves_is_picked_up_wherever_it_was() {
    paused(async {
        let host = host_with(3);
        let data = host.data();
        // e000 was moved to shipped/, but its archive is still there. e001 has its reason, but was not moved yet.
        durable::move_noreplace(&data.join("episodes/e000"), &data.join("shipped/e000")).unwrap();
        fs::write(data.join("outbox/e000.tar.zst"), "zst").unwrap();
        fs::write(data.join("episodes/e001/quarantine_reason.json"), "{\"status\": 412}").unwrap();
        let (tried, uploader) = notes(|ship| match ship.episode_id.as_str() {
            "e001" => Outcome::Refused(refused(412, "commit-not-in-window", Some(COMMIT))),
            _ => shipped(),
        });
        let queue = queue(&host, vec![uploader]);
        scan(&queue).await;
        assert_eq!(*tried.borrow(), ["e001", "e002"]);
        assert_eq!(
            (host.names("shipped"), host.names("quarantine")),
            (vec!["e000".into(), "e002".into()], vec!["e001".into()])
        );
        assert!(host.names("outbox").is_empty());
        assert_eq!(host.reason("e001")["error"], "commit-not-in-window");
    });
}

#[test]
fn what_was_delivered_and_cannot_be_moved_is_not_sent_again_and_nothing_else_is_sent_meanwhile() {
    paused(async {
        let log = Log::catch();
        let host = host_with(2);
        let (tried, uploader) = notes(|_| shipped());
        let queue = queue(&host, vec![uploader]);
        fs::remove_dir(host.data().join("shipped")).unwrap();
        scan(&queue).await;
        for late in 2..20 {
            host.record(&format!("e{late:03}"), Some(COMMIT));
        }
        let seen = scan(&queue).await;
        assert_eq!(
            (seen.status.shipped, seen.status.backlog.ready, seen.status.backlog.waiting),
            (0, 18, 2),
            "the others wait"
        );
        let hold = seen.status.hold.unwrap();
        assert_eq!((seen.on_hold, hold.cause.as_str()), (true, "unmovable"));
        assert!(hold.reason.contains("/shipped`") && hold.help.is_some(), "{hold:?}");
        sleep_until(Instant::now() + Duration::from_hours(1)).await;
        assert_eq!((scan(&queue).await.status.backlog.waiting, tried.borrow().len()), (2, 2));
        assert_eq!(log.count("ERROR episodes cannot be moved"), 1, "once, not once per try");

        fs::create_dir(host.data().join("shipped")).unwrap();
        sleep_until(Instant::now() + Duration::from_mins(6)).await;
        let seen = scan(&queue).await;
        assert_eq!((seen.status.shipped, seen.on_hold, seen.status.hold), (20, false, None));
        assert_eq!((host.names("shipped").len(), tried.borrow().len()), (20, 20), "each was sent once");
        assert_eq!(log.count("INFO episodes can be moved again"), 1);
    });
}

#[test]
fn bytes_that_arrive_as_others_are_packed_anew_and_put_aside_after_the_third_time() {
    paused(async {
        let host = host_with(1);
        let rebuilds = Rc::new(RefCell::new(Vec::new()));
        let in_script = Rc::clone(&rebuilds);
        let uploader = Scripted::start(move |ship| {
            in_script.borrow_mut().push(ship.rebuild);
            Outcome::Mismatch(refused(400, "digest-mismatch", Some(COMMIT)))
        });
        let queue = queue(&host, vec![uploader]);
        scan(&queue).await;
        sleep_until(Instant::now() + Duration::from_mins(1)).await;
        assert_eq!(*rebuilds.borrow(), [false, false, true]);
        assert_eq!(host.reason("e000")["error"], "digest-mismatch");
    });
}

#[test]
fn a_dead_uploader_ends_the_queue() {
    paused(async {
        let log = Log::catch();
        let host = host_with(1);
        let queue = queue(&host, vec![Scripted::start(|_| panic!("as an actor should not"))]);
        assert_eq!(queue.send(Scan).await, Ok(Err(Ended)), "nobody knows what became of the pass");
        assert_eq!(queue.send(Ping).await, Err(MailboxError::Closed));
        assert_eq!(log.count("ERROR an uploader has died"), 1);
        assert_eq!(host.names("episodes"), ["e000"]);
    });
}
