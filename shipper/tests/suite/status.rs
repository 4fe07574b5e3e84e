//! StatusActor beside a scripted queue, and the status of the real queue.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use actix::{Actor, Addr, Context, Handler, MessageResult};
use cis490_shared::durable::rename_noreplace;
use cis490_shared::ids::HostId;
use cis490_shared::latest::Latest;
use cis490_shipper::actors::Drain;
use cis490_shipper::actors::queue::{Observation, Observe};
use cis490_shipper::actors::status::{StatusActor, StatusSettings};
use cis490_shipper::answers::outcome::{Blocked, Outcome};
use cis490_shipper::config::ReceiverUrl;
use cis490_shipper::http::clock_skew::ClockSkew;
use cis490_shipper::http::target::Target;
use cis490_shipper::report::status::{Backlog, Hold, State, Status, Success};
use cis490_shipper::upload::meter::Meter;
use tokio::time::{Instant, sleep};

use crate::support::host::{COMMIT, id};
use crate::support::log::Log;
use crate::support::queues::{host_with, notes, paused, scan, start};
use crate::support::scripted::{refused, shipped};

/// A queue that reports the state that the test wants.
struct Queue(Rc<RefCell<Observation>>);

impl Actor for Queue {
    type Context = Context<Self>;
}

impl Handler<Observe> for Queue {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.0.borrow().clone())
    }
}

struct Scene {
    _root: tempfile::TempDir,
    file: PathBuf,
    seen: Rc<RefCell<Observation>>,
    meter: Meter,
    status: Addr<StatusActor>,
}

/// Starts the actor on the file `name` below a directory of its own.
fn scene(name: &str) -> Scene {
    let root = tempfile::tempdir().unwrap();
    let (file, seen, meter) = (root.path().join(name), Rc::default(), Meter::default());
    let url = ReceiverUrl::parse("https://collector.wg").unwrap();
    let settings = StatusSettings {
        host_id: HostId::parse("lab-1").unwrap(),
        file: file.clone(),
        meter: meter.clone(),
        target: Latest::new(Target { url, tls: None, authorization: None }),
        clock_skew: ClockSkew::default(),
        disk: Latest::new(None),
        earlier_success: Some(earlier_success()),
    };
    let queue = Queue(Rc::clone(&seen)).start();
    let status = StatusActor::new(settings, queue.recipient()).start();
    Scene { _root: root, file, seen, meter, status }
}

fn read(file: &Path) -> Status {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Returns the last success of an earlier run.
fn earlier_success() -> Success {
    Success { episode_id: "e0".to_owned(), at: None }
}

/// Waits on a paused clock, which moves on only when no work is left.
async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn it_is_written_when_something_has_changed_and_every_half_minute_anyway() {
    paused(async {
        let scene = scene("status.json");
        seconds(1).await;
        let first = read(&scene.file);
        assert_eq!(
            (first.state, first.host_id.as_str(), first.pid),
            (State::Idle, "lab-1", std::process::id())
        );
        seconds(20).await;
        assert_eq!(read(&scene.file), first, "nothing has changed, and half a minute is not over");
        seconds(12).await;
        let second = read(&scene.file);
        assert_ne!(second.updated_at, first.updated_at);
        scene.seen.borrow_mut().status.backlog.ready = 3;
        seconds(3).await;
        let third = read(&scene.file);
        assert_eq!((third.state, third.backlog.ready), (State::Shipping, 3));
        assert_eq!(
            fs::read_dir(scene.file.parent().unwrap()).unwrap().count(),
            1,
            "and nothing else is left"
        );
    });
}

#[test]
fn what_is_on_its_way_and_what_holds_it_up_is_in_it() {
    paused(async {
        let scene = scene("status.json");
        let sending = scene.meter.begin(&id("e1"), 1000);
        sending.sent(400);
        let hold = Hold { cause: "unreachable".to_owned(), reason: "a reason".to_owned(), ..Hold::default() };
        *scene.seen.borrow_mut() = Observation {
            status: Status {
                backlog: Backlog { in_episodes: 5, in_flight: 1, waiting: 4, ..Backlog::default() },
                shipped: 7,
                hold: Some(hold.clone()),
                ..Status::default()
            },
            on_hold: true,
            next_try: Some(Instant::now() + Duration::from_secs(100)),
            ..Observation::default()
        };
        seconds(5).await;
        let status = read(&scene.file);
        assert_eq!((status.state, status.hold), (State::Waiting, Some(hold)));
        let upload = &status.under_way[0];
        assert_eq!((upload.episode_id.as_str(), upload.sent_bytes, upload.total_bytes), ("e1", 400, 1000));
        assert_eq!((status.backlog.in_episodes, status.backlog.waiting, status.shipped), (5, 4, 7));
        assert_eq!(status.rate.last_minute.bytes_per_s, 100, "400 bytes in the 4 s up to the latest look");
        let next_try: jiff::Timestamp = status.next_try.unwrap().as_str().parse().unwrap();
        let wait = SystemTime::try_from(next_try)
            .unwrap()
            .duration_since(cis490_shared::clock::system_time())
            .unwrap();
        assert!(wait > Duration::from_secs(80) && wait < Duration::from_secs(101), "{wait:?}");
    });
}

#[test]
fn the_last_word_is_that_it_has_stopped() {
    paused(async {
        let scene = scene("status.json");
        seconds(1).await;
        scene.seen.borrow_mut().draining = true;
        seconds(2).await;
        assert_eq!(read(&scene.file).state, State::Stopping);
        scene.status.send(Drain).await.unwrap();
        let last = read(&scene.file);
        assert_eq!(last.state, State::Stopped);
        scene.seen.borrow_mut().status.backlog.ready = 9;
        seconds(100).await;
        assert_eq!(read(&scene.file), last, "nothing is written after that");
    });
}

#[test]
fn a_status_that_cannot_be_written_is_one_warning_and_heals_by_itself() {
    paused(async {
        let log = Log::catch();
        let scene = scene("missing/status.json");
        seconds(100).await;
        assert_eq!(log.count("WARN the status cannot be written"), 1);
        fs::create_dir(scene.file.parent().unwrap()).unwrap();
        seconds(3).await;
        assert_eq!((read(&scene.file).state, log.count("the status can be written again")), (State::Idle, 1));
    });
}

#[test]
fn the_queue_says_what_was_refused_and_what_it_waits_for() {
    paused(async {
        let host = host_with(3);
        let mut outcomes = vec![
            shipped(),
            Outcome::HostBlocked(Blocked { status: 401, detail: None, help: "look at the token" }),
            Outcome::Refused(refused(412, "commit-not-in-window", Some(COMMIT))),
        ];
        let (_, uploader) = notes(move |_| outcomes.pop().unwrap());
        let queue = start(&host, Some(Duration::from_hours(24)), vec![uploader]);
        let Observation { status, next_try, .. } = scan(&queue).await;
        let refusal = status.last_refusal.unwrap();
        assert_eq!((refusal.episode_id.as_str(), refusal.error.as_str()), ("e000", "commit-not-in-window"));
        assert_eq!(refusal.remediation.as_deref(), Some("cd /opt/cis490 && git pull\n"));
        let hold = status.hold.unwrap();
        assert_eq!((hold.cause.as_str(), hold.help.as_deref()), ("blocked", Some("look at the token")));
        let wait = next_try.unwrap() - Instant::now();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(5), "{wait:?}");
        assert_eq!(
            (status.backlog.in_episodes, status.oldest_unshipped),
            (2, None),
            "the oldest has left since the look"
        );

        host.record("e900", Some(COMMIT));
        let status = scan(&queue).await.status;
        let oldest = status.oldest_unshipped.unwrap();
        assert_eq!((status.backlog.in_episodes, oldest.episode_id.as_str()), (3, "e001"));
    });
}

#[test]
fn the_last_success_of_an_earlier_run_is_kept_until_there_is_one_of_this_run() {
    paused(async {
        let scene = scene("status.json");
        seconds(3).await;
        assert_eq!(read(&scene.file).last_success, Some(earlier_success()));
        let ours = Some(Success { episode_id: "e1".to_owned(), at: None });
        scene.seen.borrow_mut().status.last_success = ours.clone();
        seconds(3).await;
        assert_eq!(read(&scene.file).last_success, ours);
    });
}

#[test]
fn the_queue_says_what_it_cannot_ship_and_that_it_cannot_look() {
    paused(async {
        let host = host_with(1);
        rename_noreplace(&host.data().join("episodes/e000"), &host.data().join("episodes/e 0")).unwrap();
        let (_, uploader) = notes(|_| unreachable!("nothing is sent"));
        let queue = start(&host, Some(Duration::from_hours(24)), vec![uploader]);
        let status = scan(&queue).await.status;
        let named: Vec<&str> = status.unshippable.first.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((status.unshippable.count, named, status.scan_failure), (1, vec!["e 0"], None));
        let (there, away) = (host.data().join("episodes"), host.data().join("away"));
        rename_noreplace(&there, &away).unwrap();
        let failure = scan(&queue).await.status.scan_failure.unwrap();
        assert!(failure.reason.starts_with("cannot read"), "{failure:?}");
        rename_noreplace(&away, &there).unwrap();
        assert_eq!(scan(&queue).await.status.scan_failure, None);
    });
}
