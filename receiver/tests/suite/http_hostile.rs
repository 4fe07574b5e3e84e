//! Ambiguous heads and endless heads, byte by byte over real sockets.

use crate::support::{Connection, Request, TestReceiver};

const BODY: &[u8] = b"not really an archive, which the receiver does not mind";

/// A request that an attacker wants to have answered as a separate one.
const HIDDEN: &[u8] = b"GET /v1/gate HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sends a head and the bytes after it. Returns the status of the answer, and true if there was no other answer.
fn send(receiver: &TestReceiver, head: &[u8], rest: &[&[u8]]) -> (u16, bool) {
    let mut connection: Connection = receiver.connect();
    connection.send(&[head, &rest.concat()].concat());
    let status = connection.answer(false).status;
    connection.finish();
    (status, connection.rest().is_empty())
}

/// Returns the head of a valid upload, except that only these lines declare the length of the body.
fn upload(receiver: &TestReceiver, lines: &[&str]) -> Vec<u8> {
    let put = receiver.put("lab-1", "E1", BODY).without("content-length");
    let mut head = put.head(None);
    head.truncate(head.len() - 2);
    for line in lines {
        head.extend_from_slice(line.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[test]
fn a_body_of_two_lengths_is_refused_and_nothing_behind_it_is_answered() {
    let receiver = TestReceiver::start();
    let cases: &[&[&str]] = &[
        &["content-length: 55", "transfer-encoding: chunked"],
        &["transfer-encoding: chunked", "content-length: 55"],
        &["transfer-encoding: identity", "content-length: 55"],
        &["content-length: 55", "content-length: 5"],
        &["content-length: 55", "content-length: 55"],
        &["content-length: 55, 55"],
        &["content-length: +55"],
        &["content-length: -55"],
        &["content-length: 0x37"],
        &["content-length: 5 5"],
        &["content-length:"],
        &["content-length: 99999999999999999999"],
        &["transfer-encoding: gzip, chunked"],
        &["transfer-encoding: xchunked"],
        &["transfer-encoding: chunked", "transfer-encoding: chunked"],
        &["transfer-encoding : chunked"],
        &["content-length : 55"],
        &["content-length: 55", " and: more"],
        &["content-length: 55", "host: another"],
        // The HTTP library takes everything that follows as the body.
        &["content-length: 55", "connection: upgrade", "upgrade: websocket"],
    ];
    for lines in cases {
        let head = upload(&receiver, lines);
        assert_eq!(send(&receiver, &head, &[BODY, HIDDEN]), (400, true), "{lines:?}");
        let chunked = b"37\r\nnot really an archive, which the receiver does not mind\r\n0\r\n\r\n";
        assert_eq!(send(&receiver, &head, &[chunked, HIDDEN]), (400, true), "{lines:?} in chunks");
    }
    assert!(receiver.rows().is_empty());
    assert_eq!(receiver.partials(), 0);
    // The same head without a fault is stored, and the bytes after it are a separate request.
    let head = upload(&receiver, &["content-length: 55"]);
    assert_eq!(send(&receiver, &head, &[BODY, HIDDEN]), (201, false));
    // A client may offer another protocol, as curl does.
    let head = upload(&receiver, &["content-length: 55", "connection: upgrade", "upgrade: h2c"]);
    assert_eq!(send(&receiver, &head, &[BODY, HIDDEN]), (200, false));
}

#[test]
fn chunks_of_an_older_version_are_refused() {
    let receiver = TestReceiver::start();
    let head = String::from_utf8(upload(&receiver, &["transfer-encoding: chunked"])).unwrap();
    let head = head.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(send(&receiver, head.as_bytes(), &[b"0\r\n\r\n", HIDDEN]), (400, true));
}

#[test]
fn a_body_without_a_length_is_411_before_it_comes() {
    let receiver = TestReceiver::start();
    for lines in [&["transfer-encoding: chunked"][..], &[]] {
        let mut connection = receiver.connect();
        connection.send(&upload(&receiver, lines));
        let answer = connection.answer(false);
        assert_eq!((answer.status, answer.error().as_str()), (411, "length-required"), "{lines:?}");
    }
}

#[test]
fn a_report_for_which_another_protocol_is_asked_is_refused() {
    let receiver = TestReceiver::start();
    let report = Request::new("PUT", "/v1/host-health/lab-1").body(b"{}");
    let report = report.header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(send(&receiver, &report.head(None), &[b"{}", HIDDEN]), (400, true));
}

#[test]
fn a_head_without_end_is_refused_in_bounded_space() {
    let receiver = TestReceiver::start();
    let ping = |line: &str| format!("GET /v1/health HTTP/1.1\r\nhost: localhost\r\n{line}");
    let one = |bytes: usize| ping(&format!("x: {}\r\n\r\n", "a".repeat(bytes)));
    assert_eq!(send(&receiver, one(100 << 10).as_bytes(), &[]), (200, true));
    // Exactly as much as the receiver reads. Unread bytes would reset the connection, and the answer would be lost.
    let mut long = ping("x: ").into_bytes();
    long.resize(128 << 10, b'a');
    assert_eq!(send(&receiver, &long, &[]), (431, true));
    let many = |count: usize| ping(&format!("{}\r\n", "x: y\r\n".repeat(count)));
    assert_eq!(send(&receiver, many(90).as_bytes(), &[]), (200, true));
    assert_eq!(send(&receiver, many(100).as_bytes(), &[]), (431, true));
    let target = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(70_000));
    assert_eq!(send(&receiver, target.as_bytes(), &[]), (400, true));
}
