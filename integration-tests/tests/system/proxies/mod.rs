//! Tests of the receiver behind the real Caddy and the real nginx, with the examples of `etc/`.
//!
//! The tests assert the measured behaviour of each proxy at a refused body, even if it could be better. A newer version
//! that does better should be noticed, and recorded in docs/operators.md.

mod curl;
mod front;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{sha256_of, sha256_of_file};
use integration_tests::certificates::{Authority, Certificate};
use integration_tests::clone::GitClone;
use integration_tests::episodes::Recording;
use integration_tests::proxy::Proxy;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run};
use integration_tests::shipper::LabHost;
use integration_tests::until::{PATIENCE, wait_until};

use curl::{Curl, Seen};
use front::{Front, Kind, Upstream};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Maximum size in bytes of two handshakes and a few heads: an upload without its body.
const HEADS_ONLY: u64 = 64 * KIB;

/// A receiver on a Unix socket behind a proxy, with a window that holds only the newest commit.
struct Ground<'a> {
    sandbox: &'a Sandbox,
    clone: GitClone<'a>,
    stale: CommitHash,
    fresh: CommitHash,
    receiver: Receiver<'a>,
    socket: PathBuf,
    authority: Authority,
    lab_1: Certificate,
    front: Front,
}

impl<'a> Ground<'a> {
    fn new(sandbox: &'a Sandbox, kind: Kind) -> Self {
        Self::trusting(sandbox, kind, "unix")
    }

    /// Like `new`, but the receiver trusts the header from another place, from which the proxy connects.
    fn trusting(sandbox: &'a Sandbox, kind: Kind, from: &str) -> Self {
        let (clone, commits) = GitClone::with_commits(sandbox, "cis490", 2);
        let socket = sandbox.path().join("receiver.sock");
        let options = Options {
            window: 1,
            socket: Some(socket.clone()),
            server: format!("[auth]\nproxy = {{ header = \"X-Client-Host\", from = [\"{from}\"] }}"),
            ..Options::gated(clone.path())
        };
        let receiver = Receiver::start(sandbox, options);
        let authority = Authority::new(sandbox.dir("certificates"));
        let upstream = match from {
            "unix" => Upstream::Socket(&socket),
            _ => Upstream::Address(receiver.url().trim_start_matches("http://")),
        };
        let front = Front::start(sandbox, kind, &authority, &upstream);
        let lab_1 = authority.host("lab-1");
        let [stale, fresh] = commits.try_into().unwrap();
        Self { sandbox, clone, stale, fresh, receiver, socket, authority, lab_1, front }
    }

    /// Creates a PUT with curl as lab-1.
    fn put(&self, target: (&str, &str), commit: &CommitHash, body: (&Path, &str)) -> Curl<'a> {
        let curl = Curl::put(self.sandbox, &self.front.url(), target, commit, body);
        curl.shows(&self.authority, Some(&self.lab_1))
    }

    /// Creates a small body and returns its path and hash.
    fn small(&self) -> (PathBuf, String) {
        let path = self.sandbox.path().join("small");
        fs::write(&path, b"a small episode").unwrap();
        (path, sha256_of(b"a small episode").to_string())
    }

    /// Creates a body of zeros that takes no disk space. Returns its path and a hash that is never checked.
    fn large(&self, length: u64) -> (PathBuf, String) {
        let path = self.sandbox.path().join("large");
        File::create(&path).unwrap().set_len(length).unwrap();
        (path, "0".repeat(64))
    }

    /// Creates a lab host that shows a certificate and sends to `url`, the proxy.
    fn lab_host(&self, host: &str, url: &str, certificate: Option<&Certificate>) -> LabHost<'a> {
        let lab_host = LabHost::new(self.sandbox, host, url);
        let ca = self.authority.ca();
        let mut files = vec![("ca_file", &ca)];
        files.extend(
            certificate
                .iter()
                .flat_map(|own| [("client_cert_file", &own.cert), ("client_key_file", &own.key)]),
        );
        let lines: Vec<_> =
            files.iter().map(|(key, path)| format!("{key} = \"{}\"", path.display())).collect();
        lab_host.configure_with(url, &lines.join("\n"), "compression_level = 1");
        lab_host
    }

    /// Returns true if the gate admits a commit. The request goes through the proxy.
    fn admits(&self, commit: &CommitHash) -> bool {
        let url = format!("{}/v1/gate/{commit}", self.front.url());
        let seen = Curl::new(self.sandbox, &url).shows(&self.authority, Some(&self.lab_1)).run();
        assert_eq!(seen.status, 200, "{seen:?}");
        seen.body["admitted"].as_bool().unwrap()
    }

    /// Stops both programs in the order of a machine's shutdown.
    fn stop(self) {
        let Self { mut receiver, front, .. } = self;
        front.stop();
        receiver.stop();
    }
}

/// Starts a relay in front of the proxy that only counts bytes.
fn relay(front: &Front) -> (Proxy, String) {
    let relay = Proxy::start(&front.address(), 0);
    relay.calm();
    let port = relay.url().rsplit(':').next().unwrap().parse().unwrap();
    (relay, front::url(port))
}

fn reason(lab_host: &LabHost<'_>) -> serde_json::Value {
    let [id] = lab_host.names("quarantine").try_into().unwrap();
    let path = lab_host.data().join(format!("quarantine/{id}/quarantine_reason.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Defines the tests of each claim for both proxies.
macro_rules! of_both {
    ($($claim:ident)*) => {
        mod caddy { $(#[test] fn $claim() { super::$claim(super::Kind::Caddy); })* }
        mod nginx { $(#[test] fn $claim() { super::$claim(super::Kind::Nginx); })* }
    };
}

of_both! {
    an_episode_of_200_mib_arrives_whole
    a_body_passes_while_it_is_sent
    a_refused_commit_is_412_for_curl_and_the_limit_is_the_receivers
    a_refused_commit_costs_the_shipper_nothing_and_a_refused_put_is_412
    a_certificate_is_good_for_its_own_host_and_no_header_changes_that
    without_a_certificate_of_the_authority_nothing_gets_through
    the_header_counts_only_from_where_the_proxy_is
}

fn an_episode_of_200_mib_arrives_whole(kind: Kind) {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox, kind);
    let lab_host = ground.lab_host("lab-1", &ground.front.url(), Some(&ground.lab_1));
    assert_eq!(lab_host.run(&["--ping"]).code, Some(0));
    // The episode is all capture, which hardly compresses.
    let recording = Recording { capture_percent: 100, ..Recording::new(1, &ground.fresh, 200 * MIB) };
    recording.write_to(&lab_host.episodes());
    let run = lab_host.once();
    assert_eq!(run.code, Some(0), "{}", run.log);
    let [row] = ground.receiver.rows().try_into().unwrap();
    let stored = ground.receiver.archive("lab-1", recording.id().as_str());
    assert_eq!(row.sha256, sha256_of_file(&stored));
    assert!(row.size_bytes > 199 * MIB, "{row:?}");
    assert_eq!((lab_host.names("shipped").len(), lab_host.names("quarantine").len()), (1, 0));
    ground.stop();
}

fn a_body_passes_while_it_is_sent(kind: Kind) {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox, kind);
    // The body is larger than the receiver gathers before it begins, and the first part fits into a pipe.
    let body = vec![7; 512 << 10];
    let (first, second) = body.split_at(48 << 10);
    let pipe = sandbox.path().join("pipe");
    run(sandbox.command("mkfifo").arg(&pipe));
    // A pipe that is open at both ends can be filled before a program reads from it.
    let both_ends = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut writing = OpenOptions::new().write(true).open(&pipe).unwrap();
    let curl = ground
        .put(("lab-1", "e1"), &ground.fresh, (&pipe, &sha256_of(&body).to_string()))
        .header(&format!("Content-Length: {}", body.len()))
        .header("Transfer-Encoding:")
        .start();
    writing.write_all(first).unwrap();
    let incoming = ground.receiver.state().join("episodes/.incoming");
    wait_until("the receiver has begun although most of the body is missing", PATIENCE, || {
        fs::read_dir(&incoming).unwrap().flatten().next()
    });
    // From now on curl is the only reader, so if it ended, writing would fail and not block.
    drop(both_ends);
    writing.write_all(second).unwrap();
    drop(writing);
    let seen = curl.seen();
    assert_eq!((seen.status, seen.sent), (201, body.len() as u64), "{seen:?}");
    assert_eq!(fs::read(ground.receiver.archive("lab-1", "e1")).unwrap(), body);
    ground.stop();
}

fn a_refused_commit_is_412_for_curl_and_the_limit_is_the_receivers(kind: Kind) {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox, kind);
    for (length, commit, error) in [
        (8 * GIB, &ground.stale, (412, "commit-not-in-window")),
        (8 * GIB + 1, &ground.fresh, (413, "too-large")),
    ] {
        let (path, hash) = ground.large(length);
        let seen = ground.put(("lab-1", "e1"), commit, (&path, &hash)).run();
        assert_eq!((seen.error(), seen.version.as_str()), (error, "1.1"), "{seen:?}");
        assert_costs(kind, &seen, length);
        // The earlier generation of the shipper sends no Expect. Caddy gives a client without Expect half a second to
        // read the answer and then cuts the connection, so the result would be a matter of luck.
        if kind == Kind::Nginx {
            let seen = ground.put(("lab-1", "e1"), commit, (&path, &hash)).header("Expect:").run();
            assert_eq!(seen.error(), error, "{seen:?}");
            assert!(seen.sent < length / 2, "{seen:?}");
        }
    }
    assert!(ground.receiver.rows().is_empty());
    ground.stop();
}

/// Checks how much a refusal costs a client that expects 100-continue.
fn assert_costs(kind: Kind, seen: &Seen, length: u64) {
    match kind {
        Kind::Caddy => assert_eq!((seen.was_asked, seen.sent), (false, 0)),
        // nginx sends 100 by itself before it asks the receiver, and the bytes that are on their way by then are lost.
        Kind::Nginx => assert!(seen.was_asked && seen.sent < length / 2, "{seen:?}"),
    }
}

fn a_refused_commit_costs_the_shipper_nothing_and_a_refused_put_is_412(kind: Kind) {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox, kind);
    let (relay, url) = relay(&ground.front);

    let known = ground.lab_host("lab-1", &url, Some(&ground.lab_1));
    Recording::new(1, &ground.stale, 20 * MIB).write_to(&known.episodes());
    let run = known.once();
    assert_eq!(run.code, Some(65), "{}", run.log);
    assert_eq!(reason(&known)["status"], 412);
    assert!(relay.carried() < HEADS_ONLY, "{} bytes for a commit that the gate refuses", relay.carried());

    // The window moves on right after the gate was asked, so that only the PUT is refused.
    let surprised = ground.lab_host("lab-2", &url, Some(&ground.authority.host("lab-2")));
    let daemon = surprised.start();
    Recording::new(2, &ground.fresh, 20 * KIB).write_to(&surprised.episodes());
    surprised.wait_for("shipped", 1);
    ground.clone.commit("one more");
    wait_until("the window has moved on", PATIENCE, || (!ground.admits(&ground.fresh)).then_some(()));
    let before = relay.carried();
    let late = Recording { capture_percent: 100, ..Recording::new(3, &ground.fresh, 20 * MIB) };
    late.write_to(&surprised.episodes());
    surprised.wait_for("quarantine", 1);
    let reason = reason(&surprised);
    assert_eq!((&reason["status"], &reason["error"]), (&412.into(), &"commit-not-in-window".into()));
    let detail = reason["detail"].as_str().unwrap();
    assert!(detail.starts_with("the episode was recorded by"), "this is no answer to a PUT: {detail}");
    let cost = relay.carried() - before;
    match kind {
        Kind::Caddy => assert!(cost < HEADS_ONLY, "{cost} bytes for a refused PUT"),
        // The number of bytes depends on timing.
        Kind::Nginx => assert!(cost > MIB, "nginx has learned to wait: {cost} bytes for a refused PUT"),
    }
    daemon.stop();
    ground.stop();
}

fn a_certificate_is_good_for_its_own_host_and_no_header_changes_that(kind: Kind) {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox, kind);
    let (path, hash) = ground.small();
    let put = |host: &str, episode: &str, forged: &[&str]| {
        let curl = ground.put((host, episode), &ground.fresh, (&path, &hash));
        forged.iter().fold(curl, |curl, header| curl.header(header)).run()
    };
    let refused = put("lab-2", "e1", &[]);
    assert_eq!(refused.error(), (403, "host-not-allowed"), "{refused:?}");
    for (number, forged) in [
        &["X-Client-Host: lab-2"][..],
        &["x-client-host: CN=lab-2"],
        &["X-Client-Host: lab-2", "X-Client-Host: CN=lab-2"],
        &["X_Client_Host: lab-2"],
        // A header named in `Connection` is for the next hop alone, and a proxy may drop it.
        &["X-Client-Host: lab-2", "Connection: X-Client-Host"],
        &["Connection: X-Client-Host"],
    ]
    .into_iter()
    .enumerate()
    {
        let refused = put("lab-2", "e1", forged);
        assert_eq!(refused.error(), (403, "host-not-allowed"), "{forged:?}: {refused:?}");
        let stored = put("lab-1", &format!("e{number}"), forged);
        assert_eq!(stored.status, 201, "{forged:?}: {stored:?}");
    }
    let impostor = ground.lab_host("lab-2", &ground.front.url(), Some(&ground.lab_1));
    Recording::new(1, &ground.fresh, 20 * KIB).write_to(&impostor.episodes());
    assert_eq!(impostor.run(&["--ping"]).code, Some(69));
    let run = impostor.once();
    assert_eq!(run.code, Some(75), "{}", run.log);
    assert_eq!((impostor.names("episodes").len(), impostor.names("quarantine").len()), (1, 0));
    assert!(ground.receiver.rows().iter().all(|row| row.host_id.as_str() == "lab-1"));
    ground.stop();
}

fn without_a_certificate_of_the_authority_nothing_gets_through(kind: Kind) {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox, kind);
    let (path, hash) = ground.small();
    let stranger = Authority::new(sandbox.dir("strangers")).host("lab-1");
    for certificate in [None, Some(&stranger)] {
        let put = Curl::put(&sandbox, &ground.front.url(), ("lab-1", "e1"), &ground.fresh, (&path, &hash));
        let seen = put.shows(&ground.authority, certificate).run();
        // Caddy aborts the handshake; nginx completes it and refuses in HTTP.
        let status = if kind == Kind::Caddy { 0 } else { 400 };
        assert_eq!((seen.status, seen.sent, seen.body.is_null()), (status, 0, true), "{seen:?}");

        let lab_host = ground.lab_host("lab-1", &ground.front.url(), certificate);
        Recording::new(1, &ground.fresh, 20 * KIB).write_to(&lab_host.episodes());
        assert_eq!(lab_host.run(&["--ping"]).code, Some(69));
        let run = lab_host.once();
        assert_eq!(run.code, Some(75), "{}", run.log);
        assert_eq!((lab_host.names("episodes").len(), lab_host.names("quarantine").len()), (1, 0));
    }
    assert!(ground.receiver.rows().is_empty());
    ground.stop();
}

fn the_header_counts_only_from_where_the_proxy_is(kind: Kind) {
    for from in ["unix", "127.0.0.1"] {
        let sandbox = Sandbox::new();
        let ground = Ground::trusting(&sandbox, kind, from);
        let (path, hash) = ground.small();
        let through = ground.put(("lab-1", "e1"), &ground.fresh, (&path, &hash)).run();
        assert_eq!(through.status, 201, "{from}: {through:?}");
        // Past the proxy, from its own place and from elsewhere.
        let socket = ground.socket.to_str().unwrap();
        let (as_the_proxy, from_elsewhere) = match from {
            "unix" => (&["--unix-socket", socket][..], &[][..]),
            _ => (&[][..], &["--interface", "127.0.0.2"][..]),
        };
        let put = |way| {
            let curl =
                Curl::put(&sandbox, ground.receiver.url(), ("lab-2", "e2"), &ground.fresh, (&path, &hash));
            curl.header("X-Client-Host: lab-2").with(way).run()
        };
        let refused = put(from_elsewhere);
        assert_eq!((refused.error(), refused.sent), ((401, "unauthenticated"), 0), "{from}: {refused:?}");
        let stored = put(as_the_proxy);
        assert_eq!(stored.status, 201, "{from}: nothing else was wrong with it: {stored:?}");
        ground.stop();
    }
}
