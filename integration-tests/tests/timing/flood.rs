//! Tests that a host which floods the receiver over many connections hardly affects another host (I9).

use cis490_shared::ids::CommitHash;
use integration_tests::good_host::{GoodHost, percentile};
use integration_tests::http::{self, Connection};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::until::{PATIENCE, wait_until};
use integration_tests::upload::Upload;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const CONNECTIONS: usize = 64;
const EPISODES: usize = 100;
const FLOOD_BYTES: usize = 64 << 10;
/// Maximum number of uploads of the flood that may be stored for one of the other host, which sends one at a time.
const SHARE: usize = 10;
/// Maximum ratio of the other host's median latency to its quiet latency. A few uploads of the flood share the disk
/// with it, and the flood's own threads share the machine.
const BOUND: f64 = 5.0;
/// Maximum number of rounds, because the machine itself causes noise.
const ROUNDS: usize = 3;

/// The counters of a flood.
#[derive(Default)]
struct Flood {
    run: usize,
    is_over: AtomicBool,
    numbers: AtomicUsize,
    stored: AtomicUsize,
    busy: AtomicUsize,
}

impl Flood {
    /// Runs one of its connections, which comes again at once after a refusal.
    fn send(&self, url: &str) {
        let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
        let sample = Upload::new("flood", "E", &commit, &vec![7; FLOOD_BYTES]);
        let length = FLOOD_BYTES.to_string();
        let mut headers = sample.headers();
        headers.push(("content-length", &length));
        let mut connection = Connection::open(url);
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let head =
                http::head("PUT", &format!("/v1/episodes/flood/F{}-{number}.tar.zst", self.run), &headers);
            let sent = connection.send(&[&head[..], &sample.body].concat());
            match sent.and_then(|()| connection.answer("PUT")).map(|answer| answer.status) {
                Ok(201) => drop(self.stored.fetch_add(1, Ordering::Relaxed)),
                refused => {
                    // A refused upload is answered 503, or 200 if it was begun twice.
                    assert!(matches!(refused, Ok(503 | 200) | Err(_)), "{refused:?}");
                    self.busy.fetch_add(1, Ordering::Relaxed);
                    connection = Connection::open(url);
                }
            }
        }
    }
}

/// Returns the ratio of the good host's latency to its quiet latency. Its share, and that it is never refused, are
/// checked in each round.
fn round(run: usize, receiver: &Receiver<'_>, good: &mut GoodHost) -> f64 {
    let quiet = percentile(50, &good.ship(EPISODES));
    let flood = Flood { run, ..Flood::default() };
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let began = Instant::now();
    let beside = std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| flood.send(receiver.url()));
        }
        wait_until("the flood is at its height", PATIENCE, || (count(&flood.busy) > 0).then_some(()));
        let before = count(&flood.stored);
        let beside = percentile(50, &good.ship(EPISODES));
        flood.is_over.store(true, Ordering::Relaxed);
        let stored = count(&flood.stored) - before;
        let (refused, seconds) = (count(&flood.busy), began.elapsed().as_secs());
        println!("meanwhile {stored} of the flood were stored, and {refused} refused");
        // Each of its connections is refused once a second at most.
        assert!(
            refused as u64 <= CONNECTIONS as u64 * (seconds + 1),
            "{refused} were refused in {seconds} s"
        );
        assert!(stored > 0, "whoever floods is slowed, not stopped");
        assert!(stored < SHARE * EPISODES, "{stored} of the flood for {EPISODES} of the other");
        beside
    });
    let ratio = beside.as_secs_f64() / quiet.as_secs_f64();
    println!("median of {EPISODES} episodes: quiet {quiet:?}, beside the flood {beside:?}, {ratio:.2} times");
    ratio
}

#[test]
fn a_host_that_floods_over_many_connections_does_not_slow_or_refuse_another() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let mut good = GoodHost::new("lab-1", receiver.url());
    good.ship(20);
    let ratios: Vec<f64> =
        (0..ROUNDS).map(|run| round(run, &receiver, &mut good)).take_while(|ratio| *ratio > BOUND).collect();
    assert!(ratios.len() < ROUNDS, "more than {BOUND} times its quiet median in each round: {ratios:?}");
    receiver.stop();
}
