//! UploadActor, by messages, against a scripted receiver on a raw listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr};
use cis490_shared::durable::FileLock;
use cis490_shared::ids::HostId;
use cis490_shipper::actors::upload::{Ship, UploadActor};
use cis490_shipper::actors::{Drain, Ping};
use cis490_shipper::config::ReceiverUrl;
use cis490_shipper::queue::outcome::{Blocked, Outcome, Scope};
use cis490_shipper::upload::client::Target;
use cis490_shipper::upload::progress::Deadlines;
use cis490_shipper::upload::ship::Settings;

use support::host::{COMMIT, Host, id};
use support::receiver::{Conn, Receiver, Request, gate, sha256, stored, stores_everything};

/// Long enough for everything that happens, short for what does not.
const SHORT: Duration = Duration::from_millis(300);

fn uploader_at(host: &Host, url: &str, deadlines: Deadlines) -> (Addr<UploadActor>, FileLock) {
    let (dirs, lock) = host.open();
    let target = Target { url: ReceiverUrl::parse(url).unwrap(), tls: None };
    let host_id = HostId::parse("lab-1").unwrap();
    let settings = Settings { host_id, dirs, target, compression_level: 3, deadlines };
    (UploadActor::new(settings).start(), lock)
}

/// Ships one episode by way of an uploader of its own.
async fn ship(host: &Host, receiver: &Receiver, name: &str) -> Outcome {
    ship_within(host, receiver, name, Deadlines::default()).await
}

async fn ship_within(host: &Host, receiver: &Receiver, name: &str, deadlines: Deadlines) -> Outcome {
    let (uploader, _lock) = uploader_at(host, &receiver.url(), deadlines);
    send(&uploader, name).await
}

async fn send(uploader: &Addr<UploadActor>, name: &str) -> Outcome {
    uploader.send(Ship { episode_id: id(name), rebuild: false }).await.unwrap()
}

fn one_episode() -> Host {
    let host = Host::new();
    host.record("e1", Some(COMMIT));
    host
}

fn two_episodes() -> Host {
    let host = one_episode();
    host.record("e2", Some(COMMIT));
    host
}

/// Answers the gate and HEAD (404) itself, and leaves PUT to the test.
fn on_put(mut put: impl FnMut(&Request, &mut Conn) + Send + 'static) -> Receiver {
    Receiver::start(move |request, conn| match request.method.as_str() {
        "PUT" => put(request, conn),
        _ => stores_everything(request, conn),
    })
}

/// A cell that a script fills and a test reads.
fn cell<T: Default>() -> (Arc<Mutex<T>>, Arc<Mutex<T>>) {
    let cell = Arc::new(Mutex::new(T::default()));
    (Arc::clone(&cell), cell)
}

const REFUSAL: &str = r#"{"type": "urn:cis490:error:commit-not-in-window", "title": "t", "status": 412, "detail": "d",
    "error": "commit-not-in-window", "remediation": "git pull\n", "head_commit": "cdcd", "window": 100}"#;

#[actix::test]
async fn an_upload_carries_the_headers_of_the_protocol_and_its_body_waits_for_100() {
    let host = one_episode();
    let (got, in_script) = cell::<(usize, Vec<u8>)>();
    let receiver = on_put(move |request, conn| {
        let ahead = conn.bytes_ahead();
        let body = conn.take_body(request);
        *in_script.lock().unwrap() = (ahead, body.clone());
        conn.answer(201, "x-cis490-commit-position: 7/100\r\n", &stored(&body));
    });
    let outcome = ship(&host, &receiver, "e1").await;
    let Outcome::Stored(shipped) = outcome else { panic!("{outcome:?}") };
    let (ahead, body) = got.lock().unwrap().clone();
    assert_eq!((shipped.status, shipped.commit.as_deref()), (201, Some(COMMIT)));
    assert_eq!((shipped.size_bytes, ahead), (body.len() as u64, 0));
    assert_eq!(shipped.position.unwrap().to_string(), "7/100");
    assert_eq!(body, fs::read(host.data().join("outbox/e1.tar.zst")).unwrap());

    assert_eq!(receiver.kinds(), [&format!("GET /v1/gate/{COMMIT}"), "PUT /v1/episodes"]);
    let put = &receiver.seen()[1];
    assert_eq!(put.path, "/v1/episodes/lab-1/e1.tar.zst");
    let (length, hash) = (body.len().to_string(), sha256(&body));
    for (name, value) in [
        ("content-length", length.as_str()),
        ("content-type", "application/zstd"),
        ("x-content-sha256", &hash),
        ("x-cis490-code-commit", COMMIT),
        ("x-schema-version", "1"),
        ("x-lab-host", "lab-1"),
        ("x-episode-id", "e1"),
        ("expect", "100-continue"),
        ("host", receiver.url().strip_prefix("http://").unwrap()),
    ] {
        assert_eq!(put.header(name), Some(value), "{name}");
    }
    assert_eq!(put.header("transfer-encoding"), None);
}

#[actix::test]
async fn a_refusal_costs_no_byte_of_the_body_and_its_connection_is_not_used_again() {
    let host = one_episode();
    host.add_capture("e1", 8 << 20);
    host.record("e2", Some(&"cd".repeat(20)));
    let (sent, in_script) = cell::<usize>();
    let receiver = on_put(move |request, conn| match request.header("x-episode-id") {
        Some("e1") => {
            // No `Connection: close`: the shipper must see to it by itself.
            conn.answer(412, "", REFUSAL);
            *in_script.lock().unwrap() = conn.count_until_closed();
        }
        _ => stores_everything(request, conn),
    });
    let deadlines = Deadlines { small: SHORT, ..Deadlines::default() };
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), deadlines);
    let outcome = send(&uploader, "e1").await;
    let next = send(&uploader, "e2").await;
    assert!(matches!(next, Outcome::Stored(_)), "{next:?}");
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.status, refusal.error.as_str()), (Some(412), "commit-not-in-window"));
    assert_eq!((refusal.commit.as_deref(), refusal.head_commit.as_deref()), (Some(COMMIT), Some("cdcd")));
    assert_eq!((refusal.remediation.as_deref(), refusal.window), (Some("git pull\n"), Some(100)));
    drop(receiver);
    assert_eq!(*sent.lock().unwrap(), 0);
}

#[actix::test]
async fn incident_02_nothing_is_packed_for_a_commit_that_the_gate_refuses_and_it_is_asked_once() {
    let host = Host::new();
    for n in 0..20 {
        host.record(&format!("e{n}"), Some(COMMIT));
    }
    let receiver = Receiver::start(|request, conn| conn.answer(200, "", &gate(&request.path, false)));
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    for n in 0..20 {
        let outcome = send(&uploader, &format!("e{n}")).await;
        let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
        assert_eq!((refusal.status, refusal.error.as_str()), (Some(412), "commit-not-in-window"));
        assert_eq!(refusal.remediation.as_deref(), Some("git pull\n"));
    }
    assert_eq!(receiver.kinds(), [format!("GET /v1/gate/{COMMIT}")]);
    assert!(host.names("outbox").is_empty());
}

#[actix::test]
async fn incident_02_a_refusal_by_an_earlier_receiver_is_remembered_as_well() {
    let host = two_episodes();
    let receiver = Receiver::start(|request, conn| match request.method.as_str() {
        "PUT" => {
            conn.take_body(request);
            conn.answer(412, "", r#"{"detail": "stale", "remediation": "git pull"}"#);
        }
        _ => conn.answer(404, "", r#"{"detail": "Not Found"}"#),
    });
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    for name in ["e1", "e2"] {
        let outcome = send(&uploader, name).await;
        let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
        assert_eq!(
            (refusal.error.as_str(), refusal.remediation.as_deref()),
            ("commit-not-in-window", Some("git pull"))
        );
    }
    assert_eq!(receiver.kinds(), [&format!("GET /v1/gate/{COMMIT}"), "PUT /v1/episodes"]);
    assert_eq!(host.names("outbox"), ["e1.tar.zst"]);
}

#[actix::test]
async fn a_swallowed_expect_is_done_without_and_not_tried_again_for_a_while() {
    let host = two_episodes();
    let receiver = on_put(|request, conn| match request.header("expect") {
        // Reads on for a body that never comes, as a proxy does that swallowed the header.
        Some(_) => assert_eq!(conn.count_until_closed(), 0),
        None => stores_everything(request, conn),
    });
    sent_with_and_without_expect(&host, &receiver).await;
}

#[actix::test]
async fn an_expect_that_is_rejected_is_done_without_as_well() {
    let receiver = on_put(|request, conn| match request.header("expect") {
        Some(_) => conn.answer(417, "", ""),
        None => stores_everything(request, conn),
    });
    sent_with_and_without_expect(&two_episodes(), &receiver).await;
}

async fn sent_with_and_without_expect(host: &Host, receiver: &Receiver) {
    let deadlines = Deadlines { continue_wait: SHORT, ..Deadlines::default() };
    let (uploader, _lock) = uploader_at(host, &receiver.url(), deadlines);
    for name in ["e1", "e2"] {
        let outcome = send(&uploader, name).await;
        assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    }
    let puts = receiver.seen().into_iter().filter(|request| request.method == "PUT");
    let expects: Vec<bool> = puts.map(|request| request.header("expect").is_some()).collect();
    assert_eq!(expects, [true, false, false]);
}

/// A receiver that takes the body and then ends the connection, and answers HEAD as told.
fn loses_its_answer(head: impl Fn(&[u8]) -> String + Send + 'static) -> Receiver {
    let mut body = Vec::new();
    Receiver::start(move |request, conn| match request.method.as_str() {
        "PUT" => {
            body = conn.take_body(request);
            conn.close();
        }
        "HEAD" => conn.send(&head(&body)),
        _ => stores_everything(request, conn),
    })
}

#[actix::test]
async fn a_lost_answer_is_asked_for_before_anything_is_sent_again() {
    let yes =
        |hash: String| format!("HTTP/1.1 200 X\r\nx-content-sha256: {hash}\r\ncontent-length: 99\r\n\r\n");
    let receiver = loses_its_answer(move |body| yes(sha256(body)));
    let outcome = ship(&one_episode(), &receiver, "e1").await;
    assert!(matches!(&outcome, Outcome::AlreadyPresent(shipped) if shipped.status == 200), "{outcome:?}");
    assert_eq!(receiver.kinds()[1..], ["PUT /v1/episodes", "HEAD /v1/episodes"]);

    let receiver = loses_its_answer(move |_| yes("00".repeat(32)));
    let outcome = ship(&one_episode(), &receiver, "e1").await;
    let Outcome::Conflict(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.error.as_str(), refusal.stored_sha256), ("conflict", Some("00".repeat(32))));

    for status in [404, 405] {
        let receiver = loses_its_answer(move |_| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"));
        let outcome = ship(&one_episode(), &receiver, "e1").await;
        assert!(matches!(outcome, Outcome::Transient { scope: Scope::Episode, .. }), "{status}: {outcome:?}");
        assert_eq!(receiver.kinds()[1..], ["PUT /v1/episodes", "HEAD /v1/episodes"]);
    }

    let receiver = loses_its_answer(|_| "HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n".to_owned());
    let outcome = ship(&one_episode(), &receiver, "e1").await;
    assert!(matches!(outcome, Outcome::HostBlocked(Blocked { status: 401, .. })), "{outcome:?}");
}

#[actix::test]
async fn a_connection_that_breaks_before_the_body_is_replaced_once() {
    let mut puts = 0;
    let receiver = on_put(move |request, conn| {
        puts += 1;
        if puts == 1 { conn.close() } else { stores_everything(request, conn) }
    });
    let outcome = ship(&one_episode(), &receiver, "e1").await;
    assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    assert_eq!(receiver.kinds()[1..], ["PUT /v1/episodes", "HEAD /v1/episodes", "PUT /v1/episodes"]);

    let receiver = on_put(|_, conn| conn.close());
    let outcome = ship(&one_episode(), &receiver, "e1").await;
    assert!(matches!(outcome, Outcome::Transient { scope: Scope::Episode, .. }), "{outcome:?}");
    assert_eq!(receiver.kinds().len(), 5, "gate, and twice PUT with HEAD");
}

#[actix::test]
async fn a_receiver_that_takes_no_more_of_the_body_is_given_up() {
    let host = one_episode();
    // More than the socket buffers of both sides.
    host.add_capture("e1", 24 << 20);
    let receiver = on_put(|_, conn| {
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        conn.leave_unread();
    });
    let deadlines = Deadlines { stall: SHORT, ..Deadlines::default() };
    let outcome = ship_within(&host, &receiver, "e1", deadlines).await;
    let Outcome::Transient { scope: Scope::Episode, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, "the receiver took no more of the body for 0.3 s");
}

#[actix::test]
async fn an_answer_that_never_comes_is_given_up() {
    let receiver = on_put(|request, conn| {
        conn.take_body(request);
        conn.count_until_closed();
    });
    let deadlines = Deadlines { answer: SHORT, ..Deadlines::default() };
    let outcome = ship_within(&one_episode(), &receiver, "e1", deadlines).await;
    let Outcome::Transient { scope: Scope::Episode, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, "no answer within 0.3 s of the last byte");
}

#[actix::test]
async fn an_earlier_receiver_without_gate_and_head_is_simply_sent_to() {
    for status in [404, 405] {
        let receiver = Receiver::start(move |request, conn| match request.method.as_str() {
            "PUT" => {
                conn.take_body(request);
                conn.answer(200, "", r#"{"status": "already-present"}"#);
            }
            _ => conn.answer(status, "", r#"{"detail": "Not Found"}"#),
        });
        let outcome = ship(&one_episode(), &receiver, "e1").await;
        assert!(
            matches!(&outcome, Outcome::AlreadyPresent(shipped) if shipped.position.is_none()),
            "{outcome:?}"
        );
    }
}

#[actix::test]
async fn nobody_there_is_found_out_before_anything_is_packed() {
    let host = one_episode();
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    let (uploader, _lock) = uploader_at(&host, &url, Deadlines::default());
    let outcome = send(&uploader, "e1").await;
    let Outcome::Transient { scope: Scope::Network, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("cannot connect: Connection refused"), "{reason}");
    assert!(host.names("outbox").is_empty());
}

#[actix::test]
async fn what_the_receiver_says_about_itself_stops_the_queue_before_anything_is_packed() {
    let answers =
        |status, headers: &'static str| Receiver::start(move |_, conn| conn.answer(status, headers, "{}"));
    let host = one_episode();
    let outcome = ship(&host, &answers(401, ""), "e1").await;
    assert!(matches!(outcome, Outcome::HostBlocked(Blocked { status: 401, .. })), "{outcome:?}");
    let outcome = ship(&host, &answers(503, "retry-after: 7\r\n"), "e1").await;
    let Outcome::Transient { scope: Scope::Receiver, retry_after, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
    assert!(host.names("outbox").is_empty());
}

#[actix::test]
async fn an_episode_that_cannot_be_one_is_refused_here_and_nothing_is_sent() {
    let host = Host::new();
    host.record_with_meta("empty", "");
    host.record_with_meta("other", r#"{"episode_id": "somebody"}"#);
    host.record_with_meta("torn", "{\"episode_id\": ");
    let linked = host.record("linked", Some(COMMIT));
    std::os::unix::fs::symlink("/etc/hostname", linked.join("link")).unwrap();
    fs::remove_file(host.record("bare", None).join("meta.json")).unwrap();
    let receiver = Receiver::start(stores_everything);
    for (name, error) in [
        ("empty", "local-bad-meta"),
        ("other", "local-other-episode"),
        ("torn", "local-bad-meta"),
        ("linked", "local-not-a-file"),
        ("bare", "local-no-meta"),
    ] {
        let outcome = ship(&host, &receiver, name).await;
        let Outcome::Refused(refusal) = outcome else { panic!("{name}: {outcome:?}") };
        assert_eq!((refusal.status, refusal.error.as_str()), (None, error), "{name}");
    }
    assert_eq!(ship(&host, &receiver, "taken-away").await, Outcome::Gone);
    assert!(receiver.kinds().is_empty());
}

#[actix::test]
async fn the_receiver_judges_a_commit_that_is_none() {
    let host = Host::new();
    host.record("odd", Some("unknown"));
    host.record("none", None);
    host.record_with_meta("line", "{\"episode_id\": \"line\", \"code_version\": {\"commit\": \"a\\nb\"}}");
    let receiver = on_put(|request, conn| match request.header("x-cis490-code-commit") {
        Some(_) => conn.answer(400, "", r#"{"error": "commit-malformed"}"#),
        None => stores_everything(request, conn),
    });
    let outcome = ship(&host, &receiver, "odd").await;
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.error.as_str(), refusal.commit.as_deref()), ("commit-malformed", Some("unknown")));
    for name in ["none", "line"] {
        let outcome = ship(&host, &receiver, name).await;
        assert!(matches!(outcome, Outcome::Stored(_)), "{name}: {outcome:?}");
    }
    assert_eq!(receiver.seen()[0].header("x-cis490-code-commit"), Some("unknown"));
    assert_eq!(receiver.kinds(), ["PUT /v1/episodes"; 3], "the gate is asked about commits only");
}

#[actix::test]
async fn a_success_without_a_receivers_body_needs_the_proof_of_a_head() {
    let says_ok = |head: bool| {
        let mut hash = String::new();
        Receiver::start(move |request, conn| match request.method.as_str() {
            "PUT" => {
                hash = sha256(&conn.take_body(request));
                conn.answer(200, "", "<html>it works</html>");
            }
            "HEAD" if head => conn.send(&format!("HTTP/1.1 200 X\r\nx-content-sha256: {hash}\r\n\r\n")),
            "HEAD" => conn.send("HTTP/1.1 200 X\r\ncontent-length: 21\r\n\r\n"),
            _ => conn.answer(404, "", "{}"),
        })
    };
    let outcome = ship(&one_episode(), &says_ok(false), "e1").await;
    assert!(matches!(outcome, Outcome::HostBlocked(Blocked { status: 200, .. })), "{outcome:?}");
    let outcome = ship(&one_episode(), &says_ok(true), "e1").await;
    assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
}

#[actix::test]
async fn an_archive_that_changed_under_way_is_dropped_so_that_it_is_packed_anew() {
    for (change, left) in [(true, 0), (false, 1)] {
        let host = one_episode();
        let archive = host.data().join("outbox/e1.tar.zst");
        let receiver = on_put(move |request, conn| {
            conn.take_body(request);
            if change {
                let length = fs::metadata(&archive).unwrap().len();
                let file = fs::File::options().write(true).open(&archive).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, b"rot", length / 2).unwrap();
            }
            conn.answer(400, "", r#"{"error": "digest-mismatch"}"#);
        });
        let outcome = ship(&host, &receiver, "e1").await;
        assert!(
            matches!(&outcome, Outcome::Mismatch(refusal) if refusal.error == "digest-mismatch"),
            "{outcome:?}"
        );
        assert_eq!(host.names("outbox").len(), left);
    }
}

#[actix::test]
async fn an_archive_in_the_outbox_is_sent_as_it_is_and_packed_anew_only_on_request() {
    let host = one_episode();
    fs::write(host.data().join("outbox/e1.tar.zst"), "packed before").unwrap();
    let (bodies, in_script) = cell::<Vec<Vec<u8>>>();
    let receiver = on_put(move |request, conn| {
        let body = conn.take_body(request);
        in_script.lock().unwrap().push(body.clone());
        conn.answer(201, "", &stored(&body));
    });
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    for rebuild in [false, true] {
        let outcome = uploader.send(Ship { episode_id: id("e1"), rebuild }).await.unwrap();
        assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    }
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies[0], b"packed before");
    assert_ne!(bodies[1], b"packed before");
}

#[actix::test]
async fn a_drain_drops_the_upload_in_flight_and_keeps_its_archive_while_pings_are_answered() {
    let host = one_episode();
    let (begun, wait) = tokio::sync::oneshot::channel();
    let mut begun = Some(begun);
    let receiver = on_put(move |_, conn| {
        begun.take().unwrap().send(()).unwrap();
        conn.count_until_closed();
    });
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    let shipping = uploader.send(Ship { episode_id: id("e1"), rebuild: false });
    let draining = async {
        wait.await.unwrap();
        uploader.send(Ping).await.unwrap();
        uploader.send(Drain).await.unwrap();
    };
    let (outcome, ()) = futures_util::future::join(shipping, draining).await;
    assert_eq!(outcome.unwrap(), Outcome::Stopped);
    assert_eq!(host.names("outbox"), ["e1.tar.zst"]);
    assert_eq!(send(&uploader, "e1").await, Outcome::Stopped, "nothing new is begun");
}

#[actix::test]
async fn a_drain_ends_the_packing_of_an_episode_of_any_size() {
    let host = one_episode();
    let endless = fs::File::create(host.data().join("episodes/e1/network.pcap")).unwrap();
    endless.set_len(1 << 42).unwrap();
    let receiver = Receiver::start(stores_everything);
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    let shipping = uploader.send(Ship { episode_id: id("e1"), rebuild: false });
    let draining = async {
        while host.names("outbox").is_empty() {
            tokio::task::yield_now().await;
        }
        uploader.send(Drain).await.unwrap();
    };
    let (outcome, ()) = futures_util::future::join(shipping, draining).await;
    assert_eq!(outcome.unwrap(), Outcome::Stopped);
    assert_eq!(host.names("outbox"), Vec::<String>::new(), "the packing has ended when the drain has");
}
