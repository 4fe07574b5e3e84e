//! The rights of senders: every kind of credential against every endpoint, over real sockets.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::endpoints::{self, AGAIN, HOST, NOBODY, OTHER, READER};
use crate::support::{Answer, Request, TestReceiver, capture_log, sha256, times_logged};
use actix::Actor;
use cis490_receiver::actors::file_watch::{FileWatchActor, Reload};
use cis490_receiver::auth::tokens::Token;
use cis490_receiver::auth::{file, last_use};
use cis490_receiver::io_thread::{IoThread, PATIENCE};
use cis490_shared::ids::HostId;

/// A token file outside of the receiver's own directory.
struct TokenFile {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl TokenFile {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        Self { _dir: dir, path }
    }

    fn add(&self, name: &str, byte: u8) -> String {
        let token = Token::of([byte; 32]);
        file::add(&self.path, &HostId::parse(name).unwrap(), &token, "2025-10-09".parse().unwrap()).unwrap();
        format!("Bearer {}", token.expose())
    }

    fn receiver(&self, more: &str) -> TestReceiver {
        let auth = format!("[auth]\ntokens_file = \"{}\"\n{more}", self.path.display());
        TestReceiver::start_with("", &auth)
    }
}

/// Returns the status of every endpoint for a request with these headers.
fn statuses(receiver: &TestReceiver, headers: &[(&str, &str)]) -> Vec<u16> {
    endpoints::statuses(receiver, |request| {
        let with = headers.iter().fold(request.clone(), |request, (name, value)| request.header(name, value));
        receiver.request(&with).status
    })
}

#[test]
fn a_token_lets_its_host_act_for_itself_alone() {
    let file = TokenFile::new();
    let (lab_1, lab_2, alice) = (file.add("lab-1", 1), file.add("lab-2", 2), file.add("alice", 3));
    let receiver = file.receiver("readers = [\"alice\"]\n");
    let bearer = |token: &str| statuses(&receiver, &[("authorization", token)]);
    assert_eq!(statuses(&receiver, &[]), NOBODY);
    assert_eq!(bearer(&lab_1), HOST);
    assert_eq!(bearer(&alice), READER);
    assert_eq!(bearer(&lab_1.replacen("Bearer", "bearer", 1)), AGAIN);
    assert_eq!(bearer(&lab_2), OTHER);
    for wrong in ["", "Bearer", "Bearer ", "Basic bGFiLTE6eA==", &lab_1[7..], &format!("{lab_1}0")] {
        assert_eq!(bearer(wrong), NOBODY, "{wrong}");
    }
    assert_eq!(statuses(&receiver, &[("authorization", &lab_1), ("authorization", &lab_2)]), NOBODY);
    for path in ["/v1/host-health", "/v1/host%2dhealth", "/v1/%68ost-health"] {
        let ask =
            |token: &str| receiver.request(&Request::new("GET", path).header("authorization", token)).status;
        assert_eq!((ask(&lab_1), ask(&alice)), (403, 200), "{path}");
    }
    // Only permitted uploads have been stored.
    let rows: Vec<_> = receiver.rows().iter().map(|row| row["host_id"].clone()).collect();
    assert_eq!(rows, ["lab-1", "lab-2"]);
}

#[test]
fn a_proxy_is_believed_from_where_it_is_and_from_nowhere_else() {
    let file = TokenFile::new();
    let lab_1 = file.add("lab-1", 1);
    let proxy = |from: &str| {
        format!("readers = [\"alice\"]\n[auth.proxy]\nheader = \"X-Client-Host\"\nfrom = [\"{from}\"]\n")
    };
    let receiver = file.receiver(&proxy("127.0.0.1"));
    let named = |name: &str| statuses(&receiver, &[("x-client-host", name)]);
    assert_eq!(named("lab-1"), HOST);
    assert_eq!(named("CN=lab-1,O=lab"), AGAIN);
    assert_eq!(named("CN=alice"), READER);
    for nobody in ["CN=lab-1,CN=lab-2", "lab 1", "../lab-1", ""] {
        assert_eq!(named(nobody), NOBODY, "{nobody}");
    }
    let twice = [("x-client-host", "lab-1"), ("x-client-host", "lab-2")];
    assert_eq!(statuses(&receiver, &twice), NOBODY);
    // The name from the proxy counts, whatever else the client sends.
    let both = [("authorization", lab_1.as_str()), ("x-client-host", "lab-2")];
    assert_eq!(statuses(&receiver, &both), OTHER);
    // If the proxy names no host, the token counts.
    assert_eq!(statuses(&receiver, &[("authorization", &lab_1)]), AGAIN);

    let elsewhere = file.receiver(&proxy("127.0.0.9"));
    assert_eq!(statuses(&elsewhere, &[("x-client-host", "lab-1")]), NOBODY);
    assert_eq!(statuses(&elsewhere, &[("x-client-host", "lab-2"), ("authorization", &lab_1)]), HOST);
}

#[test]
fn a_stranger_is_refused_before_he_sends_a_byte_of_a_body() {
    let file = TokenFile::new();
    let (lab_1, lab_2) = (file.add("lab-1", 1), file.add("lab-2", 2));
    let receiver = file.receiver("");
    let expecting = |token: Option<&str>| {
        let request = receiver.put("lab-1", "E1", b"body").header("expect", "100-continue");
        let request = token.iter().fold(request, |request, token| request.header("authorization", token));
        let mut connection = receiver.connect();
        connection.send(&request.head(None));
        connection.answer(false)
    };
    let refused: Answer = expecting(None);
    assert_eq!((refused.status, refused.json()["error"].as_str()), (401, Some("unauthenticated")));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    let refused = expecting(Some(&lab_2));
    assert_eq!((refused.status, refused.json()["error"].as_str()), (403, Some("host-not-allowed")));
    assert_eq!(receiver.partials(), 0);
    assert_eq!(expecting(Some(&lab_1)).status, 100);
}

#[test]
fn tokens_come_and_go_without_a_restart_and_a_broken_file_changes_nothing() {
    let file = TokenFile::new();
    let (lab_1, lab_2) = (file.add("lab-1", 1), Token::of([2; 32]));
    let receiver = file.receiver("");
    let status = |token: &str| {
        receiver.request(&Request::new("POST", "/v1/ping").header("authorization", token).body(b"")).status
    };
    let comes_to = |token: &str, expected: u16| {
        let end = Instant::now() + Duration::from_secs(20);
        while status(token) != expected {
            assert!(Instant::now() < end, "it is not {expected}");
        }
    };
    let lab_2 = format!("Bearer {}", lab_2.expose());
    assert_eq!((status(&lab_1), status(&lab_2)), (200, 401));
    file.add("lab-2", 2);
    comes_to(&lab_2, 200);
    file::remove(&file.path, &HostId::parse("lab-1").unwrap(), None).unwrap();
    comes_to(&lab_1, 401);
    let good = std::fs::read_to_string(&file.path).unwrap();
    std::fs::write(&file.path, "lab-2 = nothing\n").unwrap();
    let third = format!("Bearer {}", Token::of([3; 32]).expose());
    std::fs::write(&file.path, format!("{good}lab-3 = {}\n", sha256(&third.as_bytes()[7..]))).unwrap();
    comes_to(&third, 200);
    assert_eq!(status(&lab_2), 200);
}

#[test]
fn a_start_without_a_token_file_waits_for_the_first_token_and_shows_when_it_is_used() {
    let file = TokenFile::new();
    let receiver = file.receiver("");
    let ping = |token: &str| Request::new("POST", "/v1/ping").header("authorization", token).body(b"");
    let unknown = format!("Bearer {}", Token::of([1; 32]).expose());
    assert_eq!(receiver.request(&ping(&unknown)).status, 401);
    let lab_1 = file.add("lab-1", 1);
    let path = last_use::path_in(receiver.dir.path());
    let end = Instant::now() + Duration::from_secs(20);
    while receiver.request(&ping(&lab_1)).status != 200 || last_use::read(&path).is_empty() {
        assert!(Instant::now() < end, "it does not count, or its use is not written");
    }
    let used: Vec<_> = last_use::read(&path).into_keys().collect();
    assert_eq!(used, [Token::of([1; 32]).id()]);
}

#[actix::test]
async fn a_token_file_without_tokens_is_told_of_once() {
    capture_log();
    let file = TokenFile::new();
    let thread = IoThread::start("test");
    let watch = file::TokenFile::at(file.path.clone());
    let watch = FileWatchActor::open(watch, thread).unwrap().unwrap().start();
    for _ in 0..3 {
        assert!(watch.send(Reload).await.unwrap(), "no file is no error");
    }
    assert_eq!((times_logged("WARN"), times_logged("token add HOST")), (1, 1));
    file.add("lab-1", 1);
    assert!(watch.send(Reload).await.unwrap());
    assert_eq!(times_logged("WARN"), 1);
}

#[actix::test]
async fn tokens_that_do_not_answer_are_told_of_once_and_read_when_they_do() {
    capture_log();
    let file = TokenFile::new();
    file.add("lab-1", 1);
    let thread = IoThread::start("test");
    let watch = file::TokenFile::at(file.path.clone());
    let credentials = FileWatchActor::open(watch, thread.clone()).unwrap().unwrap();
    let tokens = credentials.latest();
    // Every read waits behind this one, as it would in the kernel for a dead mount.
    let (disk_is_back, waits) = std::sync::mpsc::channel::<()>();
    let hanging = thread.run(move || waits.recv());
    file::remove(&file.path, &HostId::parse("lab-1").unwrap(), None).unwrap();
    tokio::time::pause();
    let credentials = credentials.start();
    tokio::time::sleep(4 * PATIENCE).await;
    assert!(!credentials.send(Reload).await.unwrap());
    assert_eq!((times_logged("stay in force"), tokens.now().names().len()), (1, 1));
    // A paused clock jumps ahead whenever all tasks wait, so the thread would seem to hang again.
    tokio::time::resume();
    disk_is_back.send(()).unwrap();
    hanging.await.unwrap().unwrap();
    while !credentials.send(Reload).await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert_eq!((times_logged("can be used again"), tokens.now().names().len()), (1, 0));
}
