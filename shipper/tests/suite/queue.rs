//! QueueActor, by messages, with scripted uploaders and real directories: order, passes, refusals, the end. Failures
//! are in `queue_trouble.rs`.
//!
//! The clock is paused. It moves on by itself as soon as nothing is left to do, so an hour passes at once.

use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use cis490_shipper::actors::queue::{Observation, Observe, Scan};
use cis490_shipper::actors::{Drain, Ping};
use cis490_shipper::answers::outcome::Outcome;
use cis490_shipper::report::status::{Backlog, Status};
use cis490_shipper::upload::slots::{LARGE_BYTES, UploadSlots};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::support::host::{COMMIT, Host};
use crate::support::log::Log;
use crate::support::queues::{host_with, notes, paused, queue, queue_with, scan, start};
use crate::support::scripted::{Scripted, refused, shipped};

#[test]
fn ready_episodes_are_shipped_oldest_first_and_moved() {
    paused(async {
        let log = Log::catch();
        let host = Host::new();
        for name in ["e2", "e1", "e3"] {
            host.record(name, Some(COMMIT));
        }
        fs::create_dir(host.data().join("episodes/recording")).unwrap();
        fs::create_dir(host.data().join("episodes/not.an.episode")).unwrap();
        let (tried, uploader) = notes(|_| shipped());
        let queue = queue(&host, vec![uploader]);
        let seen = scan(&queue).await;
        assert_eq!(*tried.borrow(), ["e1", "e2", "e3"]);
        assert_eq!(host.names("shipped"), ["e1", "e2", "e3"]);
        assert_eq!(host.names("episodes"), ["not.an.episode", "recording"]);
        let status = Status {
            backlog: Backlog { in_episodes: 1, ..Backlog::default() },
            shipped: 3,
            commit_position: Some("7/100".to_owned()),
            last_success: seen.status.last_success.clone(),
            ..Status::default()
        };
        assert_eq!(seen, Observation { status, passes: 1, ..Observation::default() });
        assert_eq!(seen.status.last_success.unwrap().episode_id, "e3");
        let entry = &log.with("INFO episode shipped episode_id=e1")[0];
        for field in
            ["episode_id=e1", &format!("commit=\"{COMMIT}\""), "size_bytes=42", "elapsed_ms=5", "status=201"]
        {
            assert!(entry.contains(field), "{entry}");
        }
        scan(&queue).await;
        assert_eq!((log.count("episode shipped"), log.count("an entry of episodes/ is ignored")), (3, 1));
    });
}

#[test]
fn incident_02_a_refused_commit_is_one_error_and_every_episode_of_it_is_kept_with_its_reason() {
    paused(async {
        let log = Log::catch();
        let host = host_with(50);
        let (tried, uploader) =
            notes(|_| Outcome::Refused(refused(412, "commit-not-in-window", Some(COMMIT))));
        let queue = queue(&host, vec![uploader]);
        for _ in 0..3 {
            let seen = scan(&queue).await;
            assert_eq!((seen.refused, seen.status.backlog.ready, seen.status.backlog.waiting), (50, 0, 0));
        }
        assert_eq!(tried.borrow().len(), 50, "no episode is tried twice");
        assert_eq!((host.names("quarantine").len(), host.names("episodes").len()), (50, 0));
        assert_eq!(log.count("ERROR"), 1);
        let block = log.with("cd /opt/cis490 && git pull");
        assert_eq!(block, ["cd /opt/cis490 && git pull"], "once, and on a line of its own, to be pasted");
        assert_eq!(log.count("INFO episode refused for its commit"), 50);
        let reason = host.reason("e007");
        for (key, value) in [
            ("status", serde_json::json!(412)),
            ("error", "commit-not-in-window".into()),
            ("commit", COMMIT.into()),
            ("head_commit", "cdcd".into()),
            ("window", 100.into()),
            ("remediation", "cd /opt/cis490 && git pull\n".into()),
            ("detail", "a detail".into()),
            ("episode_id", "e007".into()),
        ] {
            assert_eq!(reason[key], value, "{key}");
        }
        assert!(reason["refused_at_wall"].as_str().unwrap().ends_with("+00:00"));
        assert!(host.data().join("quarantine/e007/meta.json").is_file());
    });
}

#[test]
fn incident_07_a_pass_over_ten_thousand_directories_answers_pings_all_the_while() {
    paused(async {
        let host = Host::new();
        for n in 0..10_000 {
            fs::create_dir(host.data().join(format!("episodes/r{n:05}"))).unwrap();
        }
        let queue = queue(&host, vec![Scripted::start(|_| shipped())]);
        let pass = queue.send(Scan);
        for _ in 0..3 {
            queue.send(Ping).await.unwrap();
        }
        assert_eq!(queue.send(Observe).await.unwrap().passes, 0, "the pings were answered during the pass");
        assert_eq!(pass.await.unwrap().unwrap().passes, 1);
    });
}

#[test]
fn passes_that_are_asked_for_during_a_pass_come_after_it_as_one() {
    paused(async {
        let host = host_with(3);
        let queue = queue(&host, vec![Scripted::start(|_| shipped())]);
        let asked: Vec<_> = (0..10).map(|_| queue.send(Scan)).collect();
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer.unwrap().unwrap().passes, 2);
        }
    });
}

#[test]
fn a_backlog_longer_than_one_look_is_shipped_in_one_go() {
    paused(async {
        let host = host_with(1500);
        let (tried, uploader) = notes(|_| shipped());
        let seen = scan(&queue(&host, vec![uploader])).await;
        assert_eq!((seen.status.shipped, host.names("shipped").len()), (1500, 1500));
        let mut sorted = tried.borrow().clone();
        sorted.sort();
        assert_eq!(*tried.borrow(), sorted);
    });
}

#[test]
fn each_uploader_has_one_episode_at_a_time() {
    paused(async {
        let host = host_with(20);
        let flying = Rc::new(RefCell::new((0, 0)));
        let uploaders = (0..3)
            .map(|_| {
                let flying = Rc::clone(&flying);
                Scripted::start_async(move |_| {
                    let flying = Rc::clone(&flying);
                    let (now, most) = *flying.borrow();
                    *flying.borrow_mut() = (now + 1, most.max(now + 1));
                    async move {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        flying.borrow_mut().0 -= 1;
                        shipped()
                    }
                })
            })
            .collect();
        let begin = Instant::now();
        let seen = scan(&queue(&host, uploaders)).await;
        assert_eq!((seen.status.shipped, flying.borrow().1, begin.elapsed().as_secs()), (20, 3, 7));
    });
}

#[test]
fn a_daemon_finds_new_episodes_by_itself() {
    paused(async {
        let host = Host::new();
        let (tried, uploader) = notes(|_| shipped());
        let _queue = start(&host, Some(Duration::from_secs(5)), vec![uploader]);
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
        assert!(tried.borrow().is_empty());
        host.record("late", Some(COMMIT));
        sleep_until(Instant::now() + Duration::from_secs(5)).await;
        assert_eq!(host.names("shipped"), ["late"]);
    });
}

#[test]
fn a_commit_in_the_last_tenth_of_the_window_is_warned_of_once_with_what_to_do() {
    paused(async {
        let log = Log::catch();
        let host = host_with(20);
        let (_, uploader) = notes(|ship| {
            let Outcome::Stored(mut shipped) = shipped() else { panic!("it is stored") };
            let number: usize = ship.episode_id.as_str()[1..].parse().unwrap();
            shipped.position = format!("{}/100", 85 + number).parse().ok();
            shipped.remediation = Some("paste this\n".to_owned());
            Outcome::Stored(shipped)
        });
        scan(&queue(&host, vec![uploader])).await;
        let warned = log.with("will soon leave the window");
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(warned[0].contains("position=\"91/100\""), "{warned:?}");
        assert_eq!(log.with("paste this"), ["paste this"], "on a line of its own");
    });
}

#[test]
fn a_huge_episode_never_blocks_small_ones() {
    paused(async {
        let host = Host::new();
        for name in ["a-huge", "b-huge", "c-huge", "small-1", "small-2", "small-3"] {
            host.record(name, Some(COMMIT));
        }
        let slots = UploadSlots::new(2);
        let lanes = slots.clone();
        let (done, in_script) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let (order, tries) = (Rc::clone(&done), Rc::clone(&in_script));
        let uploaders: Vec<_> = (0..4)
            .map(|_| {
                let (lanes, order, tries) = (lanes.clone(), Rc::clone(&order), Rc::clone(&tries));
                Scripted::start_async(move |ship| {
                    let (lanes, order, tries) = (lanes.clone(), Rc::clone(&order), Rc::clone(&tries));
                    async move {
                        tries.set(tries.get() + 1);
                        let is_huge = ship.episode_id.as_str().ends_with("huge");
                        let Some(lane) = lanes.size_class(if is_huge { LARGE_BYTES } else { 1 }) else {
                            return Outcome::Postponed;
                        };
                        tokio::time::sleep(Duration::from_secs(if is_huge { 3600 } else { 1 })).await;
                        order.borrow_mut().push(ship.episode_id.to_string());
                        drop(lane);
                        shipped()
                    }
                })
            })
            .collect();
        let begin = Instant::now();
        scan(&queue_with(&host, slots, uploaders)).await;
        assert_eq!(*done.borrow(), ["small-1", "small-2", "small-3", "a-huge", "b-huge", "c-huge"]);
        assert!(begin.elapsed() < Duration::from_hours(4));
        assert!(in_script.get() <= 20, "{} tries: no busy loop", in_script.get());
    });
}

#[test]
fn a_drain_lets_the_episode_in_flight_end_and_hands_out_no_other() {
    paused(async {
        let host = host_with(2);
        let (begun, has_begun) = oneshot::channel();
        let mut begun = Some(begun);
        let uploader = Scripted::start_async(move |_| {
            begun.take().expect("only one is handed out").send(()).unwrap();
            async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                shipped()
            }
        });
        let queue = queue(&host, vec![uploader]);
        let pass = queue.send(Scan);
        has_begun.await.unwrap();
        let since = Instant::now();
        queue.send(Drain).await.unwrap();
        assert_eq!(since.elapsed().as_secs(), 3);
        assert_eq!(
            (host.names("shipped"), host.names("episodes")),
            (vec!["e000".into()], vec!["e001".into()])
        );
        let seen = pass.await.unwrap().unwrap();
        assert_eq!((seen.status.shipped, seen.status.backlog.ready), (1, 1));
        assert_eq!(scan(&queue).await.status.shipped, 1, "a drained queue begins nothing");
    });
}
