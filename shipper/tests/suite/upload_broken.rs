//! UploadActor, by messages, against a scripted receiver on a raw listener: lost answers, stalls, swallowed headers,
//! and a stop of the shipper during an upload.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileExt;

use cis490_shipper::actors::upload::Ship;
use cis490_shipper::actors::{Drain, Ping};
use cis490_shipper::answers::outcome::{Blocked, Outcome, Scope};
use cis490_shipper::upload::deadlines::Deadlines;

use crate::support::host::{Host, id};
use crate::support::receiver::{Receiver, sha256, stores_everything};
use crate::support::uploads::{
    SHORT, on_put, one_episode, send, ship, ship_within, two_episodes, uploader_at,
};

#[actix::test]
async fn a_swallowed_expect_is_done_without_and_not_tried_again_for_a_while() {
    let host = two_episodes();
    let receiver = on_put(|request, conn| match request.header("expect") {
        // Waits for a body that never comes, as a proxy does that has swallowed the header.
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

/// Starts a receiver that takes the body, then ends the connection, and answers HEAD by `head`.
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
    assert!(
        reason.starts_with("the receiver took no more of the body for 0.3 s; small requests pass"),
        "{reason}"
    );
    assert!(reason.contains("MTU"), "{reason}");
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
    assert!(reason.starts_with("no answer within 0.3 s of the last byte; small requests pass"), "{reason}");
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
    assert!(matches!(outcome, Outcome::AlreadyPresent(_)), "{outcome:?}");
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
    // A thousand of its blocks of 64 MiB contain something, and are read and compressed to the end.
    endless.set_len(1 << 42).unwrap();
    for block in 0..1000 {
        endless.write_all_at(b"x", block << 26).unwrap();
    }
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
