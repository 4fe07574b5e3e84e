//! Tests of a stop by the service manager: uploads in progress are completed, and new ones are refused.

use cis490_shared::ids::CommitHash;
use integration_tests::archive::sha256_of_file;
use integration_tests::http::Connection;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::until::{PATIENCE, wait_until};
use integration_tests::upload::Upload;
use rustix::process::Signal;

fn upload(episode: &str, body: &[u8]) -> Upload {
    let commit = CommitHash::parse(&"5e".repeat(20)).unwrap();
    let length = body.len().to_string();
    Upload::new("lab-1", episode, &commit, body).with("content-length", &length)
}

#[test]
fn an_upload_under_way_is_stored_and_a_new_one_is_not_taken() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let body = vec![7; 1_000_000];
    let (under_way, late) = (upload("under-way", &body), upload("late", b"late"));

    let mut first = Connection::open(receiver.url());
    first.send_head("PUT", &under_way.path, &under_way.headers());
    first.send(&body[..300_000]).unwrap();
    let incoming = receiver.state().join("episodes/.incoming");
    let begun = || std::fs::read_dir(&incoming).unwrap().next().map(drop);
    wait_until("the upload has begun", PATIENCE, begun);
    // An accepted connection with half of a request.
    let mut second = Connection::open(receiver.url());
    second.send(format!("PUT {} HTTP/1.1\r\nhost: x\r\n", late.path).as_bytes()).unwrap();

    receiver.process().signal(Signal::TERM);
    receiver.process().wait_for_notice("that it stops", |line| (line == "STOPPING=1").then_some(()));
    let rest: Vec<String> =
        late.headers().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    // Both are right: to close the connection before the request has begun, or to answer with a time to come again.
    if second.send(format!("{}\r\nlate", rest.concat()).as_bytes()).is_ok()
        && let Ok(answer) = second.answer("PUT")
    {
        assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("shutting-down")));
        assert!(answer.header("retry-after").is_some());
    }

    first.send(&body[300_000..]).unwrap();
    assert_eq!(first.answer("PUT").unwrap().status, 201);
    assert_eq!(receiver.process().wait().code(), Some(0), "{}", receiver.log());
    let [row] = receiver.rows().try_into().unwrap();
    assert_eq!(row.sha256, sha256_of_file(&receiver.archive("lab-1", "under-way")));
}
