//! UploadActor, by messages, against a scripted receiver on a raw listener: the requests, and the effect of each
//! answer. Failures on the way are in `upload_broken.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use actix::Actor;
use cis490_shared::archive::pack::{Episode, Packer};
use cis490_shipper::actors::upload::{Ship, UploadActor};
use cis490_shipper::answers::outcome::{Blocked, Outcome, Scope};
use cis490_shipper::upload::deadlines::Deadlines;
use cis490_shipper::upload::slots::{LARGE_BYTES, SizeClass};

use crate::support::host::{COMMIT, Host, id};
use crate::support::receiver::{Receiver, gate, sha256, stored, stores_everything};
use crate::support::uploads::{
    SHORT, cell, on_put, one_episode, send, settings_at, ship, two_episodes, uploader_at,
};

const REFUSAL: &str = r#"{"type": "urn:cis490:error:commit-not-in-window", "title": "t", "status": 412, "detail": "d",
    "error": "commit-not-in-window", "remediation": "git pull\n", "head_commit": "cdcd", "window": 100}"#;

#[actix::test]
async fn a_proxy_that_says_continue_twice_is_not_taken_for_an_answer() {
    let host = one_episode();
    let receiver = on_put(|request, conn| {
        let body = conn.take_body(request);
        conn.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
        conn.answer(201, "", &stored(request, &body));
    });
    let outcome = ship(&host, &receiver, "e1").await;
    assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    assert_eq!(receiver.kinds(), [&format!("GET /v1/gate/{COMMIT}"), "PUT /v1/episodes"]);
}

#[actix::test]
async fn an_upload_carries_the_headers_of_the_protocol_and_its_body_waits_for_100() {
    let host = one_episode();
    let (got, in_script) = cell::<(usize, Vec<u8>)>();
    let receiver = on_put(move |request, conn| {
        let ahead = conn.bytes_ahead();
        let body = conn.take_body(request);
        *in_script.lock().unwrap() = (ahead, body.clone());
        conn.answer(201, "x-cis490-commit-position: 7/100\r\n", &stored(request, &body));
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
async fn an_episode_is_packed_while_others_are_sent_and_waits_for_its_turn() {
    let host = one_episode();
    let receiver = Receiver::start(stores_everything);
    let (settings, _lock) = settings_at(&host, &receiver.url(), Deadlines::default());
    let uploader = UploadActor::new(settings.clone()).start();
    // As if another episode were being sent.
    let turn = settings.slots.turn(&SizeClass::Small).await.unwrap();
    let archive = host.data().join("outbox/e1.tar.zst");
    let take_turn = async {
        while !archive.try_exists().unwrap() {
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(SHORT, std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(receiver.kinds(), [format!("GET /v1/gate/{COMMIT}")], "it is not its turn");
        drop(turn);
    };
    let (outcome, ()) = tokio::join!(send(&uploader, "e1"), take_turn);
    assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
}

#[actix::test]
async fn a_large_episode_is_left_alone_while_there_are_as_many_of_those_as_may_be() {
    let host = one_episode();
    std::fs::File::create(host.data().join("episodes/e1/disk.img")).unwrap().set_len(LARGE_BYTES).unwrap();
    let receiver = Receiver::start(stores_everything);
    let (settings, _lock) = settings_at(&host, &receiver.url(), Deadlines::default());
    let other = settings.slots.size_class(LARGE_BYTES);
    let uploader = UploadActor::new(settings).start();
    assert_eq!(send(&uploader, "e1").await, Outcome::Postponed);
    assert!(receiver.kinds().is_empty() && host.names("outbox").is_empty());
    drop(other);
    assert!(matches!(send(&uploader, "e1").await, Outcome::Stored(_)));
}

#[actix::test]
async fn a_refusal_costs_no_byte_of_the_body_and_its_connection_is_not_used_again() {
    let host = one_episode();
    host.add_capture("e1", 8 << 20);
    host.record("e2", Some(&"cd".repeat(20)));
    let (sent, in_script) = cell::<usize>();
    let receiver = on_put(move |request, conn| match request.header("x-episode-id") {
        Some("e1") => {
            // No `Connection: close`: the shipper must close the connection by itself.
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
    // With it, the head would be too long for a proxy on the way.
    host.record("long", Some(&"x".repeat(1025)));
    host.record_with_meta("line", "{\"episode_id\": \"line\", \"code_version\": {\"commit\": \"a\\nb\"}}");
    let receiver = on_put(|request, conn| match request.header("x-cis490-code-commit") {
        Some(_) => conn.answer(400, "", r#"{"error": "commit-malformed"}"#),
        None => stores_everything(request, conn),
    });
    let outcome = ship(&host, &receiver, "odd").await;
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.error.as_str(), refusal.commit.as_deref()), ("commit-malformed", Some("unknown")));
    for name in ["none", "long", "line"] {
        let outcome = ship(&host, &receiver, name).await;
        assert!(matches!(outcome, Outcome::Stored(_)), "{name}: {outcome:?}");
    }
    assert_eq!(receiver.seen()[0].header("x-cis490-code-commit"), Some("unknown"));
    assert_eq!(receiver.kinds(), ["PUT /v1/episodes"; 4], "the gate is asked about commits only");
}

#[actix::test]
async fn an_archive_of_the_episode_in_the_outbox_is_sent_as_it_is_and_packed_anew_only_on_request() {
    let host = one_episode();
    let before = packed_in_another_way(&host, "e1");
    let (bodies, in_script) = cell::<Vec<Vec<u8>>>();
    let receiver = on_put(move |request, conn| {
        let body = conn.take_body(request);
        in_script.lock().unwrap().push(body.clone());
        conn.answer(201, "", &stored(request, &body));
    });
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    for rebuild in [false, true] {
        let outcome = uploader.send(Ship { episode_id: id("e1"), rebuild }).await.unwrap();
        assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    }
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies[0], before);
    assert_ne!(bodies[1], before);
}

#[actix::test]
async fn what_lies_in_the_outbox_and_is_not_the_episode_is_never_sent() {
    for junk in ["", "packed before"] {
        let host = one_episode();
        fs::write(host.data().join("outbox/e1.tar.zst"), junk).unwrap();
        let (bodies, in_script) = cell::<Vec<Vec<u8>>>();
        let receiver = on_put(move |request, conn| {
            let body = conn.take_body(request);
            let answer = stored(request, &body);
            // Before the answer, because the test looks as soon as it has the answer.
            in_script.lock().unwrap().push(body);
            conn.answer(201, "", &answer);
        });
        assert!(matches!(ship(&host, &receiver, "e1").await, Outcome::Stored(_)), "{junk}");
        let fresh = Episode::look_at(&host.data().join("episodes/e1"), &id("e1")).unwrap();
        let (archive, bodies) = (tempfile::NamedTempFile::new().unwrap(), bodies.lock().unwrap());
        fs::write(archive.path(), &bodies[0]).unwrap();
        let file = fs::File::open(archive.path()).unwrap();
        assert!(fresh.packed_in(&file, &|| false).unwrap().is_some(), "{junk}");
    }
}

/// Puts an archive of the episode into the outbox that this version would make differently. Returns its bytes.
fn packed_in_another_way(host: &Host, name: &str) -> Vec<u8> {
    let episode = Episode::look_at(&host.data().join("episodes").join(name), &id(name)).unwrap();
    let mut archive = Vec::new();
    Packer::new(9).pack(&episode, &mut archive, &|| false).unwrap();
    fs::write(host.data().join(format!("outbox/{name}.tar.zst")), &archive).unwrap();
    archive
}

#[actix::test]
async fn an_episode_that_is_stored_already_is_not_refused_for_a_window_that_moved_on() {
    let host = two_episodes();
    let hash = sha256(&packed_in_another_way(&host, "e1"));
    packed_in_another_way(&host, "e2");
    let receiver = Receiver::start(move |request, conn| match request.method.as_str() {
        "HEAD" if request.path.ends_with("/e1.tar.zst") => {
            conn.answer(200, &format!("X-Content-SHA256: {hash}\r\n"), "");
        }
        "HEAD" => conn.answer(404, "", ""),
        _ => conn.answer(200, "", &gate(&request.path, false)),
    });
    let (uploader, _lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    let first = send(&uploader, "e1").await;
    assert!(matches!(first, Outcome::AlreadyPresent(_)), "{first:?}");
    let second = send(&uploader, "e2").await;
    assert!(matches!(second, Outcome::Refused(_)), "{second:?}");
}

#[actix::test]
async fn what_is_written_to_an_episode_after_it_was_packed_is_noticed_before_it_is_put_away() {
    type Late = fn(&std::path::Path);
    let cases: [(Late, bool); 4] = [
        (|_| (), true),
        (|dir| fs::write(dir.join("late.jsonl"), "{}\n").unwrap(), false),
        (|dir| fs::write(dir.join("events.jsonl"), "[]\n").unwrap(), false),
        (
            |dir| fs::set_permissions(dir.join("events.jsonl"), fs::Permissions::from_mode(0o600)).unwrap(),
            true,
        ),
    ];
    for (number, (late, is_whole)) in cases.into_iter().enumerate() {
        let host = one_episode();
        let dir = host.data().join("episodes/e1");
        let receiver = on_put(move |request, conn| {
            let body = conn.take_body(request);
            late(&dir);
            conn.answer(201, "", &stored(request, &body));
        });
        match ship(&host, &receiver, "e1").await {
            Outcome::Stored(_) => assert!(is_whole, "case {number}"),
            Outcome::Refused(refusal) => {
                assert_eq!((refusal.error.as_str(), is_whole), ("local-changed", false), "case {number}");
            }
            other => panic!("case {number}: {other:?}"),
        }
    }
}
