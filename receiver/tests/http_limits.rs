//! `PUT /v1/episodes/...` against every limit, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod support;

use support::TestReceiver;

const BODY: &[u8] = b"not really an archive, which the receiver does not mind";

#[test]
fn too_large_is_said_before_the_body() {
    let receiver = TestReceiver::start_with("max_upload_bytes = 10", "");
    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E1", BODY).head(None));
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.error().as_str()), (413, "too-large"));
    assert_eq!(answer.json()["limit_bytes"], 10);
}

#[test]
fn what_does_not_fit_on_the_disk_is_507_before_the_body() {
    let receiver = TestReceiver::start_with("max_upload_bytes = 9000000000000000000", "");
    let put = receiver.put("lab-1", "E1", BODY);
    let mut connection = receiver.connect();
    connection
        .send(&put.without("content-length").header("content-length", "8000000000000000000").head(None));
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.error().as_str()), (507, "disk-full"));
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn a_host_that_has_used_its_share_is_507_and_others_are_not() {
    let receiver = TestReceiver::start_with("[store]\nhost_quota_bytes = 60", "");
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", BODY)).status, 201);
    let answer = receiver.request(&receiver.put("lab-1", "E2", BODY));
    assert_eq!((answer.status, answer.error().as_str()), (507, "quota"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(receiver.request(&receiver.put("lab-2", "E2", BODY)).status, 201);
}

#[test]
fn two_uploads_of_one_pair_at_once_are_one_stored_and_one_busy() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    let mut first = receiver.connect();
    first.send(&put.head(Some("100-continue")));
    assert_eq!(first.answer(false).status, 100);
    let second = receiver.request(&put);
    assert_eq!((second.status, second.error().as_str()), (503, "busy"));
    assert!(second.header("retry-after").is_some());
    first.send(BODY);
    assert_eq!(first.answer(false).status, 201);
    assert_eq!(receiver.request(&put).status, 200, "the pair is free again");
}

#[test]
fn more_uploads_than_allowed_are_busy() {
    let receiver = TestReceiver::start_with("max_concurrent_uploads = 1", "");
    let mut first = receiver.connect();
    first.send(&receiver.put("lab-1", "E1", BODY).head(Some("100-continue")));
    assert_eq!(first.answer(false).status, 100);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E2", BODY)).error(), "busy");
    first.send(BODY);
    assert_eq!(first.answer(false).status, 201);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E2", BODY)).status, 201);
}

#[test]
fn a_body_that_stalls_is_given_up_with_408() {
    let receiver = TestReceiver::start_with("body_idle_timeout_s = 1", "");
    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E1", BODY).head(None));
    connection.send(&BODY[..10]);
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.error().as_str()), (408, "stalled"));
    assert_eq!(receiver.partials(), 0);
}
