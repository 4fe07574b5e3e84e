//! Tests of clients that open connections and uploads, and then send as little as they can for as long as possible.
//!
//! A good host is not affected (I9), and the receiver removes the clients by itself. No client falls silent or closes
//! its connection before it is removed.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use cis490_shared::ids::CommitHash;
use integration_tests::good_host::{GoodHost, percentile};
use integration_tests::http;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::until::{PATIENCE, wait_at_most, wait_until};
use integration_tests::upload::Upload;

/// Number of connections that never complete a request.
const STALLED: usize = 500;
/// Number of uploads that arrive byte by byte. Each has a host of its own, so that all are admitted.
const DRIBBLING: usize = 50;
/// Interval between two bytes of a client: so short that no idle limit applies, and far too long to complete a body.
const TICK: Duration = Duration::from_millis(100);

const EPISODES: usize = 200;
/// Maximum ratio of a good host's latency to its quiet latency.
const BOUND: f64 = 3.0;
/// Maximum number of rounds. The machine itself causes noise, which can hide the result of one comparison of single
/// latencies.
const ROUNDS: usize = 3;

/// The behaviour of a client: the bytes that it sends at once, and whether it then sends byte by byte.
#[derive(Clone)]
struct Manner {
    at_once: Vec<u8>,
    dribbles: bool,
}

impl Manner {
    /// Returns one of the ways to stall, in turn.
    fn stalling(number: usize) -> Self {
        let request = http::head("GET", "/v1/health", &[]);
        let mut endless = http::head("GET", "/v1/health", &[("x", "y")]);
        endless.truncate(endless.len() - b"\r\n\r\n".len());
        let (at_once, dribbles) = match number % 5 {
            0 => (Vec::new(), false),
            1 => (endless, false),
            2 => (endless, true),
            3 => (request, false),
            _ => ([request, endless].concat(), true),
        };
        Self { at_once, dribbles }
    }

    fn dribbling(number: usize) -> Self {
        let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
        let upload = Upload::new(&format!("evil-{number}"), "E1", &commit, b"something else");
        let mut headers = upload.headers();
        headers.push(("content-length", "1048576"));
        Self { at_once: http::head("PUT", &upload.path, &headers), dribbles: true }
    }
}

struct Client {
    manner: Manner,
    stream: TcpStream,
}

impl Client {
    fn connect(url: &str, manner: Manner) -> Self {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream.write_all(&manner.at_once).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { manner, stream }
    }

    /// Continues its behaviour. Returns false once the receiver has closed the connection.
    fn go_on(&mut self) -> bool {
        let is_open = |result: std::io::Result<usize>| match result {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        is_open(self.stream.read(&mut [0; 1024]))
            && (!self.manner.dribbles || is_open(self.stream.write(b"x")))
    }
}

/// All clients. A client that is removed comes again, until the attack is called off.
struct Attack {
    is_called_off: Arc<AtomicBool>,
    clients: JoinHandle<()>,
}

impl Attack {
    fn begin(url: &str) -> Self {
        let (url, is_called_off) = (url.to_owned(), Arc::new(AtomicBool::new(false)));
        let called_off = Arc::clone(&is_called_off);
        let clients = std::thread::spawn(move || {
            let manners = (0..STALLED).map(Manner::stalling).chain((0..DRIBBLING).map(Manner::dribbling));
            let mut clients: Vec<_> = manners.map(|manner| Client::connect(&url, manner)).collect();
            let (_never_told, tick) = mpsc::channel::<()>();
            while !clients.is_empty() {
                let _ = tick.recv_timeout(TICK);
                let comes_again = !called_off.load(Ordering::Relaxed);
                clients.retain_mut(|client| {
                    let is_in = client.go_on();
                    if !is_in && comes_again {
                        *client = Client::connect(&url, client.manner.clone());
                    }
                    is_in || comes_again
                });
            }
        });
        Self { is_called_off, clients }
    }

    /// Waits until the receiver has removed all clients, each of which continues its behaviour until then.
    fn call_off(self) {
        self.is_called_off.store(true, Ordering::Relaxed);
        wait_until("everybody is thrown out", 2 * PATIENCE, || self.clients.is_finished().then_some(()));
        self.clients.join().unwrap();
    }
}

fn uploads_in_flight(receiver: &Receiver<'_>) -> u64 {
    receiver.get("/v1/health").json()["uploads"]["in_flight"].as_u64().unwrap()
}

fn descriptors(receiver: &mut Receiver<'_>) -> usize {
    fs::read_dir(format!("/proc/{}/fd", receiver.process().pid())).unwrap().count()
}

/// Returns the number of open descriptors without any client: the minimum within half a second, in which connections
/// are closed.
fn descriptors_at_rest(receiver: &mut Receiver<'_>) -> usize {
    let mut fewest = usize::MAX;
    wait_at_most(Duration::from_millis(500), || {
        fewest = fewest.min(descriptors(receiver));
        false
    });
    fewest
}

fn temps(receiver: &Receiver<'_>) -> usize {
    fs::read_dir(receiver.state().join("episodes/.incoming")).unwrap().count()
}

/// Returns the ratio of the good host's 99th percentile to its quiet one. Everything else is checked in each round.
fn round(receiver: &mut Receiver<'_>, good: &mut GoodHost) -> f64 {
    let baseline = descriptors_at_rest(receiver);
    let quiet = percentile(99, &good.ship(EPISODES));
    let attack = Attack::begin(receiver.url());
    let all = DRIBBLING as u64;
    wait_until("all uploads dribble", PATIENCE, || (uploads_in_flight(receiver) == all).then_some(()));
    let open = descriptors(receiver);
    assert!(open >= baseline + STALLED + DRIBBLING, "{open} descriptors, {baseline} before");
    let beside = percentile(99, &good.ship(EPISODES));
    attack.call_off();
    wait_until("everything is closed and swept", PATIENCE, || {
        (descriptors(receiver) <= baseline && temps(receiver) == 0).then_some(())
    });
    assert_eq!(uploads_in_flight(receiver), 0);
    let ratio = beside.as_secs_f64() / quiet.as_secs_f64();
    println!("p99 of {EPISODES} episodes: quiet {quiet:?}, beside the attack {beside:?}, {ratio:.2} times");
    ratio
}

#[test]
fn stalled_connections_and_dribbling_uploads_do_not_slow_a_good_host_and_are_got_rid_of() {
    let sandbox = Sandbox::new();
    let options = Options { server: "body_idle_timeout_s = 5".to_owned(), ..Options::open() };
    let mut receiver = Receiver::start(&sandbox, options);
    let mut good = GoodHost::new("lab-1", receiver.url());
    good.ship(20);
    let ratios: Vec<f64> =
        (0..ROUNDS).map(|_| round(&mut receiver, &mut good)).take_while(|ratio| *ratio > BOUND).collect();
    assert!(ratios.len() < ROUNDS, "more than {BOUND} times its quiet p99 in each round: {ratios:?}");
    assert_eq!(receiver.rows().len(), good.sent());
    receiver.stop();
}
