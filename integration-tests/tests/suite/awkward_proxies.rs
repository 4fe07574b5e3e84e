//! Tests of proxies that make mistakes in HTTP, between the real programs. Every episode arrives exactly once, or stays
//! in place and the log names the cause.
//!
//! Caddy and nginx do not make these mistakes, and are tested in system/proxies/.

use std::collections::BTreeSet;

use cis490_shared::ids::CommitHash;
use integration_tests::awkward_proxy::{Asked, AwkwardProxy, Manner};
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::{Daemon, LabHost};
use integration_tests::until::{PATIENCE, wait_until};

const PAGE: &str = "<html><body><h1>It works, or it does not</h1></body></html>";

/// Shorter than the default of 60 s: 10 s is the minimum that the configuration accepts.
const SHORT_STALL: &str = "stall_timeout_s = 10";

fn recording(seed: u64, bytes: u64) -> Recording {
    let commit = CommitHash::parse(&"5e".repeat(20)).unwrap();
    // A capture does not compress, so the upload is as large as the recording.
    Recording { capture_percent: 90, ..Recording::new(seed, &commit, bytes) }
}

/// Both programs with the proxy between them, and recorded episodes of these sizes.
struct Way<'a> {
    receiver: Receiver<'a>,
    proxy: AwkwardProxy,
    host: LabHost<'a>,
    ids: Vec<String>,
}

impl<'a> Way<'a> {
    fn through(
        sandbox: &'a Sandbox,
        sizes: &[u64],
        choose: impl FnMut(&Asked) -> Manner + Send + 'static,
    ) -> Self {
        let receiver = Receiver::start(sandbox, Options::open());
        let proxy = AwkwardProxy::start(receiver.url(), choose);
        let host = LabHost::new(sandbox, "lab-1", &proxy.url());
        host.configure(&proxy.url(), SHORT_STALL);
        let record = |(seed, bytes): (u64, &u64)| {
            let recording = recording(seed, *bytes);
            recording.write_to(&host.episodes());
            recording.id().to_string()
        };
        let ids = (1..).zip(sizes).map(record).collect();
        Self { receiver, proxy, host, ids }
    }

    /// Waits until everything has arrived, exactly once, and ends the daemon. Returns its log.
    fn arrives(&self, daemon: Daemon) -> String {
        self.host.wait_for("shipped", self.ids.len());
        let log = daemon.log();
        daemon.stop();
        assert_eq!(self.host.names("shipped"), self.ids);
        let rows = self.receiver.rows();
        let stored: BTreeSet<&str> = rows.iter().map(|row| row.episode_id.as_str()).collect();
        assert_eq!((rows.len(), stored.len()), (self.ids.len(), self.ids.len()), "{rows:?}");
        for directory in ["episodes", "outbox", "quarantine"] {
            assert_eq!(self.host.names(directory), [""; 0], "{directory}/");
        }
        log
    }

    /// Waits for an entry of the log, and checks that no episode has moved by then.
    fn says(&self, daemon: &Daemon, level: &str, text: &str) -> String {
        let entry = wait_until(&format!("{level} with `{text}`"), PATIENCE, || {
            let log = daemon.log();
            log.lines().find(|line| line.contains(level) && line.contains(text)).map(str::to_owned)
        });
        assert_eq!(self.host.names("episodes"), self.ids);
        entry
    }
}

const SMALL: [u64; 3] = [50_000; 3];

fn count(log: &str, text: &str) -> usize {
    log.matches(text).count()
}

/// Returns true if the log has nothing that a person should read.
fn is_quiet(log: &str) -> bool {
    count(log, "WARN") + count(log, "ERROR") == 0
}

#[test]
fn a_proxy_that_passes_everything_on_is_not_noticed() {
    let sandbox = Sandbox::new();
    let way = Way::through(&sandbox, &SMALL, |_| Manner::Pass);
    let log = way.arrives(way.host.start());
    assert!(is_quiet(&log), "{log}");
    assert_eq!(way.proxy.count_of("PUT"), 3);
}

#[test]
fn a_proxy_that_takes_the_whole_body_first_is_not_noticed() {
    let sandbox = Sandbox::new();
    let way = Way::through(&sandbox, &[50_000, 4 << 20, 50_000], |_| Manner::Buffer);
    let log = way.arrives(way.host.start());
    assert!(is_quiet(&log), "{log}");
    assert_eq!(way.proxy.count_of("PUT"), 3);
}

#[test]
fn a_proxy_that_swallows_the_expect_header_is_told_of_once_and_done_without() {
    let sandbox = Sandbox::new();
    let way = Way::through(&sandbox, &SMALL, |_| Manner::SwallowExpect);
    let log = way.arrives(way.host.start());
    assert_eq!(count(&log, "the Expect header is unsupported"), 1, "{log}");
    assert_eq!(count(&log, "ERROR"), 0, "{log}");
}

#[test]
fn a_proxy_that_rejects_the_expect_header_is_told_of_once_and_done_without() {
    let sandbox = Sandbox::new();
    let way =
        Way::through(
            &sandbox,
            &SMALL,
            |asked| {
                if asked.expects { Manner::Say(417, PAGE) } else { Manner::Pass }
            },
        );
    let log = way.arrives(way.host.start());
    assert_eq!(count(&log, "the Expect header is unsupported"), 1, "{log}");
    assert_eq!(count(&log, "ERROR"), 0, "{log}");
}

#[test]
fn a_proxy_whose_server_is_away_for_a_while_is_waited_for() {
    let sandbox = Sandbox::new();
    let way = Way::through(&sandbox, &SMALL, |asked| match asked.number {
        0..4 => Manner::Say(502, PAGE),
        _ => Manner::Pass,
    });
    let log = way.arrives(way.host.start());
    assert_eq!(count(&log, "WARN"), 1, "{log}");
    assert!(log.contains("receiver accepts no uploads now") && log.contains("502"), "{log}");
    assert_eq!((count(&log, "receiver accepts uploads again"), count(&log, "ERROR")), (1, 0), "{log}");
    assert_eq!(way.proxy.count_of("PUT"), 3);
}

#[test]
fn a_page_that_says_200_retires_nothing_and_holds_the_queue() {
    let sandbox = Sandbox::new();
    let way = Way::through(&sandbox, &SMALL, |_| Manner::Say(200, PAGE));
    let daemon = way.host.start();
    let entry = way.says(&daemon, "ERROR", "receiver accepts nothing from this host");
    assert!(entry.contains("receiver.url") && entry.contains("proxies"), "{entry}");
    let before = way.proxy.count();
    wait_until("it was tried again", PATIENCE, || (way.proxy.count() >= before + 6).then_some(()));
    assert_eq!((way.host.names("episodes"), count(&daemon.log(), "ERROR")), (way.ids.clone(), 1));
    way.proxy.from_now_on(|_| Manner::Pass);
    let log = way.arrives(daemon);
    assert_eq!(count(&log, "receiver accepts uploads again"), 1, "{log}");
}

#[test]
fn an_answer_that_is_lost_is_asked_for_and_nothing_is_sent_twice() {
    let sandbox = Sandbox::new();
    let way = Way::through(&sandbox, &SMALL, |asked| match asked.method.as_str() {
        "PUT" => Manner::LoseAnswer,
        _ => Manner::Pass,
    });
    let log = way.arrives(way.host.start());
    assert_eq!((way.proxy.count_of("PUT"), way.proxy.count_of("HEAD")), (3, 3));
    assert!(is_quiet(&log), "{log}");
}

/// Tests a tunnel whose real MTU is smaller than it claims: a small packet passes, and a larger one is lost for ever.
fn only_large_bodies_hang(size: u64, hang: Manner) {
    let sandbox = Sandbox::new();
    let way = Way::through(&sandbox, &[size], move |asked| match asked.length {
        0..1400 => Manner::Pass,
        _ => hang,
    });
    let daemon = way.host.start();
    let entry = way.says(&daemon, "WARN", "MTU");
    assert!(entry.contains(&way.ids[0]) || entry.contains("uploads paused"), "{entry}");
    assert_eq!((way.receiver.rows().len(), way.proxy.count_of("PUT")), (0, 1), "{}", daemon.log());
    way.proxy.from_now_on(|_| Manner::Pass);
    let log = way.arrives(daemon);
    assert_eq!((count(&log, "WARN"), count(&log, "ERROR")), (1, 0), "{log}");
}

#[test]
fn a_tunnel_that_takes_no_more_of_a_large_body_is_told_of_with_its_mtu() {
    // Larger than the buffers of all sockets on the way.
    only_large_bodies_hang(24 << 20, Manner::StandStill(16 << 10));
}

#[test]
fn a_tunnel_that_loses_a_large_body_is_told_of_with_its_mtu() {
    only_large_bodies_hang(200_000, Manner::Swallow);
}
