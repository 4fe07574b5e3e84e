//! QueueActor, by messages: the way back of refused episodes once the gate admits their commit.
//!
//! The clock is paused. It moves on by itself as soon as nothing is left to do, so an hour passes at once.

use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use actix::{Addr, Recipient};
use cis490_shipper::actors::queue::{Observation, Observe, QueueActor};
use cis490_shipper::actors::upload::{Ask, Ship};
use cis490_shipper::answers::outcome::{Outcome, Scope};
use cis490_shipper::upload::gate::Verdict;
use tokio::time::{Instant, sleep};

use crate::support::host::{COMMIT, Host};
use crate::support::log::Log;
use crate::support::queues::{host_with, notes, paused, scan, start_asking};
use crate::support::scripted::{ScriptedGate, refused, shipped, transient};

const SCAN: Option<Duration> = Some(Duration::from_secs(5));
const HOUR: Duration = Duration::from_hours(1);

/// A gate that admits everything once the test says so, and an uploader that agrees with it.
struct Gate {
    admits: Rc<Cell<bool>>,
    /// The time and the commit of every question.
    asked: Rc<RefCell<Vec<(Instant, String)>>>,
    tried: Rc<RefCell<Vec<String>>>,
    ask: Recipient<Ask>,
    ship: Recipient<Ship>,
}

impl Gate {
    fn new(of_a_put: impl Fn(bool) -> Outcome + 'static) -> Self {
        let admits = Rc::new(Cell::new(false));
        let asked = Rc::new(RefCell::new(Vec::new()));
        let (says, notes_it) = (Rc::clone(&admits), Rc::clone(&asked));
        let ask = ScriptedGate::start(move |commit| {
            let refusal = refused(412, "commit-not-in-window", Some(&commit));
            notes_it.borrow_mut().push((Instant::now(), commit));
            Ok(if says.get() { Verdict::Admitted { remediation: None } } else { Verdict::Refused(refusal) })
        });
        let says = Rc::clone(&admits);
        let (tried, ship) = notes(move |_| of_a_put(says.get()));
        Self { admits, asked, tried, ask, ship }
    }

    fn start(&self, host: &Host, scan_interval: Option<Duration>) -> Addr<QueueActor> {
        start_asking(host, scan_interval, self.ship.clone(), self.ask.clone())
    }
}

fn refuses() -> Outcome {
    Outcome::Refused(refused(412, "commit-not-in-window", Some(COMMIT)))
}

async fn observe(queue: &Addr<QueueActor>) -> Observation {
    queue.send(Observe).await.unwrap()
}

#[test]
fn incident_05_what_was_refused_for_its_commit_goes_back_and_is_shipped_once_the_gate_admits_it() {
    paused(async {
        let log = Log::catch();
        let host = host_with(600);
        let gate = Gate::new(|admits| if admits { shipped() } else { refuses() });
        let queue = gate.start(&host, SCAN);
        let begin = Instant::now();
        sleep(HOUR).await;
        assert_eq!((host.names("quarantine").len(), gate.tried.borrow().len()), (600, 600));
        let asked = gate.asked.take();
        assert!(asked.len() <= 60 * 3 + 1, "{} questions in an hour for one commit", asked.len());
        let mut last = begin;
        for (when, commit) in asked {
            assert!(
                when - last <= Duration::from_mins(1) && commit == COMMIT,
                "asked at least once a minute"
            );
            last = when;
        }
        assert_eq!(observe(&queue).await.quarantine.unwrap().by_commit[COMMIT], 600);
        assert_eq!((log.count("ERROR"), log.count("WARN")), (1, 0));

        gate.admits.set(true);
        sleep(Duration::from_mins(1)).await;
        assert_eq!((host.names("shipped").len(), host.names("quarantine").len()), (600, 0));
        let seen = observe(&queue).await;
        assert_eq!((seen.released, seen.status.shipped, seen.quarantine.unwrap().total), (600, 600, 0));
        assert_eq!(log.with("commit admitted").len(), 1);
        assert!(log.with("commit admitted")[0].contains("count=600"));
        gate.asked.take();
        sleep(HOUR).await;
        assert!(gate.asked.borrow().is_empty(), "nothing waits any more");
    });
}

#[test]
fn a_single_pass_sends_what_the_gate_admits_by_now() {
    paused(async {
        let host = host_with(3);
        let gate = Gate::new(|admits| if admits { shipped() } else { refuses() });
        let seen = scan(&gate.start(&host, None)).await;
        assert_eq!((seen.refused, host.names("quarantine").len()), (3, 3));
        gate.admits.set(true);
        // Another run finds them by their notes.
        let seen = scan(&gate.start(&host, None)).await;
        assert_eq!((seen.released, seen.status.shipped, host.names("shipped").len()), (3, 3, 3));
    });
}

#[test]
fn incident_02_a_gate_that_admits_when_asked_and_refuses_what_comes_gets_no_loop() {
    paused(async {
        let host = host_with(40);
        let gate = Gate::new(|_| refuses());
        gate.admits.set(true);
        let queue = gate.start(&host, SCAN);
        sleep(HOUR * 6).await;
        let tried = gate.tried.borrow().len();
        // All of them twice, then one after one, two, four ... sixty minutes.
        assert!((80..=95).contains(&tried), "{tried} tries");
        assert_eq!(host.names("quarantine").len(), 40);
        assert_eq!(observe(&queue).await.quarantine.unwrap().total, 40);
    });
}

#[test]
fn only_what_was_refused_for_its_commit_goes_back_and_nothing_that_is_recorded_is_replaced() {
    paused(async {
        let log = Log::catch();
        let host = Host::new();
        let outcomes = |name: &str| match name {
            "conflict" => Outcome::Conflict(refused(409, "conflict", Some(COMMIT))),
            "large" => Outcome::Refused(refused(413, "too-large", Some(COMMIT))),
            _ => refuses(),
        };
        for name in ["conflict", "large", "late", "twice"] {
            host.record(name, Some(COMMIT));
        }
        let admits = Rc::new(Cell::new(false));
        let says = Rc::clone(&admits);
        let ask = ScriptedGate::start(move |commit| {
            let refusal = refused(412, "commit-not-in-window", Some(&commit));
            Ok(if says.get() { Verdict::Admitted { remediation: None } } else { Verdict::Refused(refusal) })
        });
        let says = Rc::clone(&admits);
        let (_, ship) = notes(move |ship| match ship.episode_id.as_str() {
            // The recorder of the episode `twice` records it a second time and is not done yet.
            "twice" | "late" if says.get() => shipped(),
            name => outcomes(name),
        });
        let queue = start_asking(&host, SCAN, ship, ask);
        sleep(Duration::from_mins(2)).await;
        assert_eq!(host.names("quarantine"), ["conflict", "large", "late", "twice"]);
        fs::create_dir(host.data().join("episodes/twice")).unwrap();
        admits.set(true);
        sleep(HOUR).await;
        assert_eq!(host.names("shipped"), ["late"]);
        assert_eq!(host.names("quarantine"), ["conflict", "large", "twice"]);
        assert_eq!(fs::read_dir(host.data().join("episodes/twice")).unwrap().count(), 0);
        assert_eq!(log.count("an episode cannot leave quarantine"), 1, "once, not on every look");
        let tally = observe(&queue).await.quarantine.unwrap();
        assert_eq!((tally.total, tally.conflicts, tally.by_commit[COMMIT]), (3, 1, 1));
    });
}

#[test]
fn a_dead_receiver_is_not_asked_more_often_because_something_waits_in_quarantine() {
    paused(async {
        let log = Log::catch();
        let host = host_with(5);
        let dead = Rc::new(Cell::new(false));
        let attempts = Rc::new(Cell::new(0));
        let (is_dead, counts) = (Rc::clone(&dead), Rc::clone(&attempts));
        let ask = ScriptedGate::start(move |commit| {
            counts.set(counts.get() + 1);
            if is_dead.get() {
                return Err(Box::new(transient(Scope::Network)));
            }
            Ok(Verdict::Refused(refused(412, "commit-not-in-window", Some(&commit))))
        });
        let (is_dead, counts) = (Rc::clone(&dead), Rc::clone(&attempts));
        let (_, ship) = notes(move |_| {
            counts.set(counts.get() + 1);
            if is_dead.get() { transient(Scope::Network) } else { refuses() }
        });
        let queue = start_asking(&host, SCAN, ship, ask);
        sleep(Duration::from_mins(2)).await;
        dead.set(true);
        // Once without and once with an episode in episodes/.
        for record in [false, true] {
            if record {
                host.record("new", Some(COMMIT));
            }
            sleep(HOUR).await;
            attempts.set(0);
            sleep(HOUR * 4).await;
            assert!(attempts.get() <= 4 * 60 / 2, "{} attempts in four hours", attempts.get());
        }
        assert_eq!(log.count("receiver unreachable"), 1);
        assert!(observe(&queue).await.on_hold);
        dead.set(false);
        sleep(Duration::from_mins(10)).await;
        assert_eq!((log.count("receiver reachable again"), host.names("quarantine").len()), (1, 6));
    });
}
