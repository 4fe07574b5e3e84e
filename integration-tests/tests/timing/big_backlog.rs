//! Tests of thousands of episodes at once: a receiver that is away, and a commit that is not admitted yet.
//!
//! Neither costs more requests, memory or log entries than a handful of episodes would. When the cause is gone, nobody
//! needs to act on the lab host.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cis490_shared::ids::CommitHash;
use integration_tests::awkward_proxy::{AwkwardProxy, Manner};
use integration_tests::clone::GitClone;
use integration_tests::depth::Depth;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::{Daemon, LabHost};
use integration_tests::until::{PATIENCE, wait_at_most, wait_until};

/// The same limit as in memory.rs.
const LIMIT_KIB: u64 = 64 * 1024;
/// `WatchdogSec=` of the test; the unit has a larger value.
const WATCHDOG: Duration = Duration::from_secs(10);
/// Maximum time for the daemon to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Records minimal episodes, the oldest first, because the usual recording is too slow for thousands.
fn record(host: &LabHost<'_>, first: usize, count: usize, commit: &CommitHash) {
    for number in first..first + count {
        let name = format!("01K742{number:020}");
        let dir = host.episodes().join(&name);
        fs::create_dir(&dir).unwrap();
        let meta = format!(
            r#"{{"episode_id": "{name}", "schema_version": 1, "code_version": {{"commit": "{commit}", "dirty": false}}}}"#
        );
        fs::write(dir.join("meta.json"), meta).unwrap();
        fs::write(dir.join("events.jsonl"), format!("{{\"episode\": {number}}}\n")).unwrap();
        fs::write(dir.join("done.marker"), "").unwrap();
    }
}

/// Returns how many episodes the receiver has acknowledged or is about to acknowledge. It is cheap enough to be called
/// all the time.
fn rows(receiver: &Receiver<'_>) -> usize {
    // All rows of one test have the same length, except for the digits of their sizes.
    let row = 250;
    fs::metadata(receiver.index()).map_or(0, |index| usize::try_from(index.len()).unwrap() / row)
}

/// Checks that everything is stored once and put away, and nothing is anywhere else.
fn has_arrived(host: &LabHost<'_>, receiver: &Receiver<'_>, count: usize) {
    let rows = receiver.rows();
    let stored: BTreeSet<&str> = rows.iter().map(|row| row.episode_id.as_str()).collect();
    assert_eq!((rows.len(), stored.len()), (count, count));
    assert_eq!(host.names("shipped").len(), count);
    for directory in ["episodes", "outbox", "quarantine"] {
        assert_eq!(host.names(directory), [""; 0], "{directory}/");
    }
}

/// Waits until nothing is left in `episodes/`, and returns how long that took.
fn drain(host: &LabHost<'_>, count: usize) -> Duration {
    let begin = Instant::now();
    let limit = PATIENCE + Duration::from_millis(20) * u32::try_from(count).unwrap();
    wait_until("everything is shipped", limit, || is_empty(&host.episodes()).then_some(()));
    begin.elapsed()
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// Checks that the watchdog was fed in time, from the start until now.
fn watchdog_never_trips(daemon: &mut Daemon, since: Instant) {
    let mut times = daemon.process().notice_times("WATCHDOG=1");
    times.push(Instant::now());
    let starts = std::iter::once(since).chain(times.iter().copied());
    let longest = starts.zip(&times).map(|(from, to)| to.duration_since(from)).max().unwrap();
    println!("the watchdog waited {longest:?} at most, {} times", times.len() - 1);
    assert!(longest < WATCHDOG, "the watchdog was not fed for {longest:?}");
}

/// A server at the receiver's address that closes each connection at once, and counts them.
struct Mute {
    address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mute {
    fn at(url: &str) -> Self {
        let listener = TcpListener::bind(url.trim_start_matches("http://")).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, has_ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ended) = (Arc::clone(&connections), Arc::clone(&has_ended));
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = connection.map(|connection| connection.shutdown(Shutdown::Both));
            }
        });
        Self { address, connections, has_ended, thread: Some(thread) }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Runs the test of `count` ready episodes and a receiver that is away for `away` and then comes back, with a stop in
/// the middle.
fn a_receiver_that_is_away(count: usize, away: Duration) {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let commit = CommitHash::parse(&"5e".repeat(20)).unwrap();
    let measure = LabHost::new(&sandbox, "lab-2", receiver.url());
    record(&measure, 0, count / 10, &commit);
    let daemon = measure.start();
    let of_a_tenth = drain(&measure, count / 10);
    daemon.stop();

    receiver.stop();
    let mute = Mute::at(receiver.url());
    let host = LabHost::new(&sandbox, "lab-1", receiver.url());
    record(&host, 0, count, &commit);
    let mut daemon = host.start_watched(WATCHDOG);
    let start = Instant::now();
    // Two steps of the back-off take less than a second. Then each takes twice as long as the last, and at least half
    // of that.
    let steps = usize::try_from(4 + (2 * away.as_secs()).ilog2()).unwrap();
    let too_many = wait_at_most(away, || mute.count() > steps);
    assert!(!too_many, "{} attempts in {:?}, {steps} steps", mute.count(), start.elapsed());
    assert!(mute.count() >= 3, "{} attempts", mute.count());
    assert_eq!((host.names("episodes").len(), host.names("outbox").len()), (count, 0));
    assert_eq!(daemon.log().matches("WARN").count(), 1, "{}", daemon.log());
    println!("{} connections in {away:?}", mute.count());
    drop(mute);
    receiver.restart();

    let before = rows(&receiver);
    let limit = 2 * away + 2 * PATIENCE + 5 * of_a_tenth;
    wait_until("a third has arrived", limit, || (rows(&receiver) > before + count / 3).then_some(()));
    watchdog_never_trips(&mut daemon, start);
    let peak = daemon.peak_rss_kib();
    let stopping = Instant::now();
    daemon.stop();
    println!("peak resident set {peak} KiB; stopped within {:?}", stopping.elapsed());
    assert!(stopping.elapsed() < STOP_LIMIT, "stopped within {:?}", stopping.elapsed());
    assert!(peak < LIMIT_KIB, "the shipper held {peak} KiB");
    let (left, shipped) = (host.names("episodes"), host.names("shipped"));
    assert_eq!((left.len() + shipped.len(), host.names("quarantine").len()), (count, 0), "nothing is lost");
    assert!(!left.is_empty(), "the stop came in the middle");

    let mut daemon = host.start_watched(WATCHDOG);
    let start = Instant::now();
    let took = drain(&host, left.len());
    watchdog_never_trips(&mut daemon, start);
    let peak = daemon.peak_rss_kib();
    assert!(peak < LIMIT_KIB, "the shipper held {peak} KiB");
    daemon.stop();
    let each = |took: Duration, count: usize| took / u32::try_from(count).unwrap();
    let (alone, behind) = (each(of_a_tenth, count / 10), each(took, left.len()));
    println!("{alone:?} per episode with the receiver up from the start, {behind:?} after it was away");
    assert!(behind < 3 * alone, "{behind:?} per episode, {alone:?} without a backlog");
    let rows = receiver.rows().into_iter().filter(|row| row.host_id.as_str() == "lab-1").count();
    assert_eq!((rows, host.names("shipped").len()), (count, count));
}

#[test]
fn thousands_of_episodes_wait_for_a_receiver_that_is_away_and_all_arrive() {
    let (count, away) = Depth::chosen().pick((500, 10), (1_500, 12), (10_000, 40));
    a_receiver_that_is_away(count, Duration::from_secs(away));
}

/// Runs the test of `count` episodes of a commit that the maintainer pushes only after `looked_at`.
fn a_commit_that_is_pushed_late(count: usize, looked_at: Duration) {
    let sandbox = Sandbox::new();
    let (clone, _) = GitClone::with_commits(&sandbox, "cis490", 2);
    let elsewhere = clone.clone_to("elsewhere");
    let commit = elsewhere.commit("recorded with, and not pushed");
    let receiver = Receiver::start(&sandbox, Options::gated(clone.path()));
    let proxy = AwkwardProxy::start(receiver.url(), |_| Manner::Pass);
    let host = LabHost::new(&sandbox, "lab-1", &proxy.url());
    record(&host, 0, count, &commit);
    let outbox = || fs::metadata(host.data().join("outbox")).unwrap().modified().unwrap();

    let mut daemon = host.start_watched(WATCHDOG);
    let (start, untouched) = (Instant::now(), outbox());
    wait_until("all are in quarantine", 5 * PATIENCE, || is_empty(&host.episodes()).then_some(()));
    let (quarantined_in, cpu) = (start.elapsed(), daemon.process().cpu_time());
    // From here on there is nothing to do, and the daemon must do nothing.
    let too_many = wait_at_most(looked_at.saturating_sub(start.elapsed()), || proxy.count() > 10);
    assert!(!too_many, "{:?} in {:?}", proxy.asked(), start.elapsed());
    let idle = daemon.process().cpu_time().saturating_sub(cpu);
    println!(
        "{} requests in {:?}; {count} put aside in {quarantined_in:?} with {cpu:?} of processor time, {idle:?} after that",
        proxy.count(),
        start.elapsed()
    );
    let log = daemon.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(log.contains("git pull origin main") && errors[0].contains(commit.as_str()), "{errors:?}");
    assert_eq!((proxy.count_of("PUT"), outbox()), (0, untouched), "something was packed");
    assert_eq!((host.names("quarantine").len(), receiver.rows().len()), (count, 0));
    // The daemon uses next to nothing while it waits. Before that it moves directories a few times for each episode, in
    // a debug build.
    assert!(idle < looked_at / 20, "{idle:?} of processor time while there was nothing to do");
    assert!(cpu < Duration::from_millis(12) * u32::try_from(count).unwrap(), "{cpu:?} for {count} episodes");

    elsewhere.push();
    let limit = 3 * PATIENCE + Duration::from_millis(40) * u32::try_from(count).unwrap();
    wait_until("all have arrived", limit, || {
        let is_put_away = is_empty(&host.data().join("quarantine")) && is_empty(&host.episodes());
        (is_put_away && rows(&receiver) > count / 2).then_some(())
    });
    watchdog_never_trips(&mut daemon, start);
    let peak = daemon.peak_rss_kib();
    assert!(peak < LIMIT_KIB, "the shipper held {peak} KiB");
    daemon.stop();
    has_arrived(&host, &receiver, count);
}

#[test]
fn incident_05_thousands_of_refused_episodes_cost_no_requests_and_arrive_once_admitted() {
    let (count, looked_at) = Depth::chosen().pick((300, 10), (600, 15), (5_000, 60));
    a_commit_that_is_pushed_late(count, Duration::from_secs(looked_at));
}
