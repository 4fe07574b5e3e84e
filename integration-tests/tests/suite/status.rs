//! Tests of `cis490-shipper status` with real programs: during an upload, while the receiver is away, after a refusal,
//! and after the end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cis490_shared::ids::CommitHash;
use integration_tests::clone::GitClone;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::until::{PATIENCE, wait_until};
use serde_json::{Value, json};

/// A relay to the receiver on which each connection stalls after a few bytes until the relay is opened.
struct Ford {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
}

impl Ford {
    /// Number of bytes that pass a closed ford: small requests and the beginning of an upload.
    const CLOSED_AFTER: usize = 1 << 20;

    /// Starts a ford in front of the receiver. Its threads end with the sockets of the two programs, and the accepting
    /// thread ends with the test.
    fn before(receiver: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ford = Self { address: listener.local_addr().unwrap(), is_open: Arc::default() };
        let (receiver, is_open) =
            (receiver.trim_start_matches("http://").to_owned(), Arc::clone(&ford.is_open));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&receiver) else { continue };
                let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || io::copy(&mut back_from, &mut back_to));
                let is_open = Arc::clone(&is_open);
                thread::spawn(move || pass(client, server, &is_open));
            }
        });
        ford
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, is_open: &AtomicBool) {
    let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        passed += length;
        if passed > Ford::CLOSED_AFTER {
            wait_until("the ford is open", PATIENCE, || is_open.load(Ordering::Relaxed).then_some(()));
        }
        if server.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

fn printed(lab_host: &LabHost<'_>, arguments: &[&str]) -> String {
    let output = lab_host.command(arguments).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn status(lab_host: &LabHost<'_>) -> Value {
    serde_json::from_str(&printed(lab_host, &["status", "--json"])).unwrap()
}

/// Waits until the status satisfies `is_so`.
fn status_when(lab_host: &LabHost<'_>, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, PATIENCE, || Some(status(lab_host)).filter(&is_so))
}

fn record(lab_host: &LabHost<'_>, seed: u64, commit: &CommitHash, bytes: u64) -> String {
    let recording = Recording::new(seed, commit, bytes);
    recording.write_to(&lab_host.episodes());
    recording.id().to_string()
}

#[test]
fn what_a_person_sees_is_what_is_the_case() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 1);
    let mut receiver = Receiver::start(&sandbox, Options::gated(clone.path()));
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let before = status(&lab_host);
    assert_eq!((&before["running"], &before["state"]), (&json!(false), &json!("stopped")));

    let daemon = lab_host.start();
    let idle = status_when(&lab_host, "the first status", |status| status["state"] == "idle");
    assert_eq!(
        (&idle["running"], &idle["problem"], &idle["pid"]),
        (&json!(true), &Value::Null, &json!(daemon.pid()))
    );
    let first = record(&lab_host, 1, &commits[0], 50_000);
    let shipped = status_when(&lab_host, "a success", |status| status["shipped"] == 1);
    assert_eq!(
        (&shipped["last_success"]["episode_id"], &shipped["commit_position"]),
        (&json!(first), &json!("1/100"))
    );
    assert!(shipped["clock_skew_s"].as_i64().unwrap().abs() <= 2, "one clock agrees with itself: {shipped}");

    refused(&lab_host);
    receiver.stop();
    away(&lab_host, &commits[0]);
    receiver.restart();
    status_when(&lab_host, "the end of the hold", |status| {
        status["hold"].is_null() && status["state"] == "idle"
    });

    daemon.stop();
    let after = status(&lab_host);
    assert_eq!(
        (&after["running"], &after["state"], &after["shipped"]),
        (&json!(false), &json!("stopped"), &json!(2))
    );
    assert!(printed(&lab_host, &["status"]).starts_with("the shipper is not running since 20"));
}

#[test]
fn an_upload_is_seen_while_it_is_under_way() {
    let sandbox = Sandbox::new();
    let receiver = Receiver::start(&sandbox, Options::open());
    let ford = Ford::before(receiver.url());
    let lab_host = LabHost::new(&sandbox, "lab-1", &format!("http://{}", ford.address));
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let id = record(&lab_host, 1, &commit, 64 << 20);
    let daemon = lab_host.start();
    let shipping = status_when(&lab_host, "an upload under way", |status| {
        status["under_way"][0]["sent_bytes"].as_u64().unwrap_or(0) > 0
    });
    let upload = &shipping["under_way"][0];
    assert_eq!((&upload["episode_id"], &shipping["state"]), (&json!(id), &json!("shipping")));
    let bytes = |key: &str| upload[key].as_u64().unwrap();
    assert!(bytes("sent_bytes") < bytes("total_bytes"), "{upload}");
    assert_eq!(
        (&shipping["backlog"]["in_flight"], &shipping["backlog"]["in_episodes"]),
        (&json!(1), &json!(1))
    );
    let line = format!("under way    {id}, ");
    assert!(printed(&lab_host, &["status"]).contains(&line));

    ford.is_open.store(true, Ordering::Relaxed);
    let done = status_when(&lab_host, "the end of the upload", |status| status["shipped"] == 1);
    assert_eq!((&done["under_way"], &done["backlog"]["in_episodes"]), (&json!([]), &json!(0)));
    assert!(done["rate"]["last_minute"]["bytes_per_s"].as_u64().unwrap() > 0, "{done}");
    daemon.stop();
}

/// Checks a refusal for a commit that nobody has pushed: the status shows the lines to paste until it is admitted.
fn refused(lab_host: &LabHost<'_>) {
    let unknown = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let id = record(lab_host, 3, &unknown, 50_000);
    let refused =
        status_when(lab_host, "a refusal", |status| status["last_refusal"]["episode_id"] == id.as_str());
    let refusal = &refused["last_refusal"];
    assert_eq!(
        (&refusal["error"], &refusal["commit"]),
        (&json!("commit-not-in-window"), &json!(unknown.to_string()))
    );
    let text = printed(lab_host, &["status"]);
    let paste = refusal["remediation"].as_str().unwrap().trim_end();
    assert!(paste.lines().count() > 1 && text.contains(&format!("\n\n{paste}\n\n")), "{text}");
}

fn away(lab_host: &LabHost<'_>, commit: &CommitHash) {
    let waiting = record(lab_host, 4, commit, 50_000);
    let held =
        status_when(lab_host, "a hold", |status| !status["hold"].is_null() && !status["next_try"].is_null());
    assert_eq!((&held["hold"]["cause"], &held["state"]), (&json!("unreachable"), &json!("waiting")));
    assert_eq!(
        (&held["oldest_unshipped"]["episode_id"], &held["backlog"]["in_episodes"]),
        (&json!(waiting), &json!(1))
    );
}
