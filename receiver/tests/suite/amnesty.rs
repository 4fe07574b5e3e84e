//! Amnesties over real sockets: the episodes that they admit, and the gate's answers about them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Answer, Request, STRANGE_COMMIT, TestReceiver, capture_log, commit, git, times_logged};
use actix::Actor;
use cis490_receiver::actors::file_watch::{FileWatchActor, Reload};
use cis490_receiver::auth::file;
use cis490_receiver::auth::tokens::Token;
use cis490_receiver::gate::amnesty::{Amnesties, Amnesty, Reason};
use cis490_receiver::gate::amnesty_file::{self, AmnestyFile};
use cis490_receiver::gate::window::{ClaimedCommit, Gate, Verdict};
use cis490_receiver::io_thread::IoThread;
use cis490_shared::clock::system_time;
use cis490_shared::ids::{CommitHash, HostId};
use cis490_shared::moment::Moment;
use serde_json::Value;

/// The time in which a change must count: five seconds as `admit` promises, and what a loaded machine may add.
const PROMISED: Duration = Duration::from_secs(5 + 10);

fn commit_of(text: &str) -> CommitHash {
    CommitHash::parse(text).unwrap()
}

fn list_of(receiver: &TestReceiver) -> PathBuf {
    amnesty_file::path_in(receiver.dir.path())
}

fn admit(receiver: &TestReceiver, commit: &str, host: Option<&str>, until: Option<SystemTime>) {
    admit_in(&list_of(receiver), commit, host, until);
}

fn admit_in(list: &Path, commit: &str, host: Option<&str>, until: Option<SystemTime>) {
    let amnesty = Amnesty {
        commit: commit_of(commit),
        host: host.map(|name| HostId::parse(name).unwrap()),
        until: until.map(Moment::of),
        reason: Reason::parse("a local commit of lab-1").unwrap(),
        by: Reason::parse("alice").unwrap(),
        at: Moment::of(system_time()),
    };
    amnesty_file::edit(list, SystemTime::UNIX_EPOCH, |list| list.admit(amnesty)).unwrap();
}

/// Returns the gate's answer about a commit, to a request in the name of a host.
fn verdict(receiver: &TestReceiver, commit: &str, host: Option<&str>) -> Value {
    let mut request = Request::new("GET", &format!("/v1/gate/{commit}"));
    if let Some(host) = host {
        request = request.header("x-lab-host", host);
    }
    receiver.request(&request).json()
}

/// Waits until the gate gives this verdict on a commit, and returns its answer. Fails if that takes longer than
/// promised.
fn wait_for(receiver: &TestReceiver, commit: &str, host: Option<&str>, admitted: bool) -> Value {
    let began = Instant::now();
    loop {
        let answer = verdict(receiver, commit, host);
        if answer["admitted"].as_bool() == Some(admitted) {
            return answer;
        }
        assert!(began.elapsed() < PROMISED, "not within {PROMISED:?}: {answer}");
    }
}

fn strange(receiver: &TestReceiver, host: &str, episode: &str) -> Request {
    receiver
        .put(host, episode, b"body")
        .without("x-cis490-code-commit")
        .header("x-cis490-code-commit", STRANGE_COMMIT)
}

/// Sends a PUT with Expect. Returns whether `100 Continue` came, and the final answer.
fn ask_first(receiver: &TestReceiver, request: &Request) -> (bool, Answer) {
    let mut connection = receiver.connect();
    connection.send(&request.head(Some("100-continue")));
    let first = connection.answer(false);
    if first.status != 100 {
        return (false, first);
    }
    connection.send(&request.body);
    (true, connection.answer(false))
}

#[test]
fn a_commit_admitted_by_name_gets_in_on_both_ways_and_its_answers_name_no_position() {
    let receiver = TestReceiver::start();
    assert_eq!(receiver.request(&strange(&receiver, "lab-1", "E1")).error(), "commit-not-in-window");
    assert_eq!(ask_first(&receiver, &strange(&receiver, "lab-1", "E1")).1.error(), "commit-not-in-window");
    admit(&receiver, &STRANGE_COMMIT.to_uppercase(), None, None);
    let answer = wait_for(&receiver, STRANGE_COMMIT, None, true);
    assert!(answer["position"].is_null() && answer.get("remediation").is_none(), "{answer}");
    let said = &answer["admitted_by"];
    assert_eq!(said["reason"], "a local commit of lab-1");
    assert!(said["until"].is_null() && said["host"].is_null(), "{answer}");

    let plain = receiver.request(&strange(&receiver, "lab-1", "E1"));
    let (was_continued, expecting) = ask_first(&receiver, &strange(&receiver, "lab-1", "E2"));
    assert!(was_continued);
    for answer in [&plain, &expecting] {
        assert_eq!((answer.status, answer.header("x-cis490-commit-position")), (201, None));
    }
    let again = receiver.request(&strange(&receiver, "lab-1", "E1"));
    assert_eq!((again.status, again.header("x-cis490-commit-position")), (200, None));
    let commits: Vec<Value> = receiver.rows().into_iter().map(|row| row["commit"].clone()).collect();
    assert_eq!(commits, [STRANGE_COMMIT, STRANGE_COMMIT], "the rows are as ever");
    assert_eq!(receiver.rows()[0].as_object().unwrap().len(), 7);
}

#[test]
fn an_amnesty_of_one_host_is_nobody_elses() {
    let receiver = TestReceiver::start();
    admit(&receiver, STRANGE_COMMIT, Some("lab-1"), None);
    let answer = wait_for(&receiver, STRANGE_COMMIT, Some("lab-1"), true);
    assert_eq!(answer["admitted_by"]["host"], "lab-1");
    for other in [None, Some("lab-2"), Some("../x")] {
        let answer = verdict(&receiver, STRANGE_COMMIT, other);
        assert_eq!(answer["admitted"], false, "{other:?}");
        assert!(answer["remediation"].is_string() && answer.get("admitted_by").is_none(), "{answer}");
    }
    assert_eq!(receiver.request(&strange(&receiver, "lab-2", "E1")).status, 412);
    assert_eq!(ask_first(&receiver, &strange(&receiver, "lab-2", "E1")).1.status, 412);
    assert_eq!(receiver.request(&strange(&receiver, "lab-1", "E1")).status, 201);
}

#[test]
fn a_host_that_proves_its_name_needs_no_header_and_cannot_borrow_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    let bearer = [("lab-1", 1), ("lab-2", 2), ("alice", 3)].map(|(name, byte)| {
        let token = Token::of([byte; 32]);
        file::add(&tokens, &HostId::parse(name).unwrap(), &token, "2025-10-09".parse().unwrap()).unwrap();
        format!("Bearer {}", token.expose())
    });
    let auth = format!("[auth]\ntokens_file = \"{}\"\nreaders = [\"alice\"]\n", tokens.display());
    let receiver = TestReceiver::start_with("", &auth);
    admit(&receiver, STRANGE_COMMIT, Some("lab-1"), None);
    let request = Request::new("GET", &format!("/v1/gate/{STRANGE_COMMIT}"));
    let ask = |bearer: &str, host: Option<&str>| {
        let request = request.clone().header("authorization", bearer);
        receiver.request(&host.iter().fold(request, |request, host| request.header("x-lab-host", host)))
    };
    let began = Instant::now();
    while ask(&bearer[0], None).json()["admitted"] != true {
        assert!(began.elapsed() < PROMISED);
    }
    assert_eq!(ask(&bearer[1], None).json()["admitted"], false);
    assert_eq!(ask(&bearer[1], Some("lab-1")).status, 403);
    assert_eq!(ask(&bearer[2], None).json()["admitted"], false, "a reader is no host");
    assert_eq!(ask(&bearer[2], Some("lab-1")).json()["admitted"], true, "and may ask for one");
    let listed = |bearer: &str| {
        receiver.request(&Request::new("GET", "/v1/gate").header("authorization", bearer)).json()["amnesties"]
            .clone()
    };
    assert!(listed(&bearer[0]).is_null(), "who else is admitted, and why, is no host's business");
    assert_eq!(listed(&bearer[2])[0]["host"], "lab-1");
}

#[test]
fn an_amnesty_ends_by_itself_or_when_it_is_revoked() {
    let receiver = TestReceiver::start();
    let old = "cd".repeat(20);
    admit(&receiver, STRANGE_COMMIT, None, Some(system_time() + Duration::from_hours(1)));
    admit(&receiver, &old, None, Some(system_time() - Duration::from_secs(1)));
    let answer = wait_for(&receiver, STRANGE_COMMIT, None, true);
    assert!(answer["admitted_by"]["until"].as_str().unwrap().ends_with("+00:00"), "{answer}");
    assert_eq!(verdict(&receiver, &old, None)["admitted"], false, "it was over before it was read");
    let listed = receiver.get("/v1/gate").json()["amnesties"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&listed[0]["commit"], &listed[0]["by"]), (&STRANGE_COMMIT.into(), &"alice".into()));
    admit(&receiver, STRANGE_COMMIT, None, Some(system_time() + Duration::from_secs(3)));
    wait_for(&receiver, STRANGE_COMMIT, None, false);
    assert_eq!(receiver.request(&strange(&receiver, "lab-1", "E1")).status, 412);

    admit(&receiver, STRANGE_COMMIT, None, None);
    wait_for(&receiver, STRANGE_COMMIT, None, true);
    amnesty_file::edit(&list_of(&receiver), system_time(), |list| {
        list.revoke(&commit_of(STRANGE_COMMIT), None)
    })
    .unwrap();
    wait_for(&receiver, STRANGE_COMMIT, None, false);
    assert_eq!(ask_first(&receiver, &strange(&receiver, "lab-1", "E1")).1.status, 412);
    assert_eq!(receiver.get("/v1/gate").json()["amnesties"], serde_json::json!([]));
}

#[test]
fn what_is_admitted_by_name_gets_in_while_no_window_was_ever_read() {
    let receiver = TestReceiver::start_with("", "ref = \"refs/heads/does-not-exist\"");
    admit(&receiver, STRANGE_COMMIT, None, None);
    wait_for(&receiver, STRANGE_COMMIT, None, true);
    assert_eq!(receiver.request(&strange(&receiver, "lab-1", "E1")).status, 201);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E2", b"body")).error(), "gate-not-ready");
}

#[test]
fn a_start_reads_the_list_before_anybody_asks_and_does_without_one_that_is_broken() {
    let receiver = TestReceiver::start();
    admit(&receiver, STRANGE_COMMIT, None, None);
    let receiver = receiver.restart();
    assert_eq!(verdict(&receiver, STRANGE_COMMIT, None)["admitted"], true);
    std::fs::write(list_of(&receiver), "{\"admitted\": [").unwrap();
    let receiver = receiver.restart();
    assert_eq!(verdict(&receiver, STRANGE_COMMIT, None)["admitted"], false, "nothing of it is in force");
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 201);
    std::fs::remove_file(list_of(&receiver)).unwrap();
    admit(&receiver, STRANGE_COMMIT, None, None);
    wait_for(&receiver, STRANGE_COMMIT, None, true);
}

#[actix::test]
async fn a_broken_list_leaves_the_last_good_one_in_force_and_is_told_of_once() {
    const BROKEN: &str = "the last good ones stay in force";
    const MENDED: &str = "can be used again";
    capture_log();
    let dir = tempfile::tempdir().unwrap();
    let path = amnesty_file::path_in(dir.path());
    let file = AmnestyFile::at(path.clone());
    let actor = FileWatchActor::new(file, Amnesties::default(), IoThread::start("test"));
    let gate = Gate::new(true, 100).with_amnesties(actor.latest());
    let actor = actor.start();
    let is_admitted = || {
        let claimed = ClaimedCommit::Named(commit_of(STRANGE_COMMIT));
        matches!(gate.check(claimed, None, system_time()), Verdict::UnderAmnesty { .. })
    };
    assert!(actor.send(Reload).await.unwrap(), "no file is no fault");
    assert_eq!(times_logged("commits admitted by name"), 0, "and nothing to tell");

    admit_in(&path, STRANGE_COMMIT, None, None);
    assert!(actor.send(Reload).await.unwrap() && is_admitted());
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, "{").unwrap();
    for _ in 0..3 {
        assert!(!actor.send(Reload).await.unwrap());
        assert!(is_admitted());
    }
    assert_eq!((times_logged(BROKEN), times_logged("put it aside")), (1, 1));
    std::fs::write(&path, good).unwrap();
    assert!(actor.send(Reload).await.unwrap() && is_admitted());
    assert_eq!((times_logged(BROKEN), times_logged(MENDED)), (1, 1));
    std::fs::remove_file(&path).unwrap();
    assert!(actor.send(Reload).await.unwrap() && !is_admitted());
    assert_eq!(times_logged("have changed and are in force"), 3, "to one entry, mended, and to none");
}

#[actix::test]
async fn a_list_that_does_not_answer_is_told_of_once_and_read_when_it_does() {
    capture_log();
    let dir = tempfile::tempdir().unwrap();
    let thread = IoThread::start("test");
    let (disk_is_back, waits) = std::sync::mpsc::channel::<()>();
    let hanging = thread.run(move || waits.recv());
    let file = AmnestyFile::at(amnesty_file::path_in(dir.path()));
    tokio::time::pause();
    let actor = FileWatchActor::new(file, Amnesties::default(), thread).start();
    tokio::time::sleep(4 * cis490_receiver::io_thread::PATIENCE).await;
    assert!(!actor.send(Reload).await.unwrap());
    assert_eq!(times_logged("does not answer"), 1);
    // A paused clock jumps ahead whenever all tasks wait, so the thread would seem to hang again.
    tokio::time::resume();
    disk_is_back.send(()).unwrap();
    hanging.await.unwrap().unwrap();
    while !actor.send(Reload).await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert_eq!(times_logged("can be used again"), 1);
}

#[test]
fn a_commit_in_the_window_is_not_under_an_amnesty_and_is_told_when_it_will_need_one() {
    let receiver = TestReceiver::start_with("", "window = 10");
    admit(&receiver, &receiver.head, None, None);
    for number in 0..9 {
        commit(&receiver.clone, &number.to_string());
    }
    let newest = git(&receiver.clone, &["rev-parse", "HEAD"]);
    wait_for(&receiver, &newest, None, true);
    let began = Instant::now();
    while receiver.get("/v1/gate").json()["amnesties"] == serde_json::json!([]) {
        assert!(began.elapsed() < PROMISED);
    }
    let oldest = verdict(&receiver, &receiver.head, None);
    assert_eq!((oldest["position"].as_u64(), oldest.get("admitted_by")), (Some(10), None));
    assert!(
        oldest["remediation"].as_str().unwrap().contains("git pull"),
        "it is the next to be refused: {oldest}"
    );
    let next = verdict(&receiver, &git(&receiver.clone, &["rev-parse", "HEAD~8"]), None);
    assert_eq!((next["position"].as_u64(), next.get("remediation")), (Some(9), None));
    let stored = receiver.request(&receiver.put("lab-1", "E1", b"body"));
    assert_eq!((stored.status, stored.header("x-cis490-commit-position")), (201, Some("10/10")));
    assert!(receiver.get("/v1/health").json()["gate"].get("amnesties").is_none(), "anybody may read that");
}

#[test]
fn a_gate_that_is_off_needs_no_amnesty() {
    let receiver = TestReceiver::start_with("", "enabled = false\nwindow = 1");
    admit(&receiver, STRANGE_COMMIT, None, None);
    let answer = verdict(&receiver, STRANGE_COMMIT, None);
    assert_eq!((answer["admitted"].as_bool(), answer.get("admitted_by")), (Some(true), None));
    let of_the_window = verdict(&receiver, &receiver.head, None);
    assert!(of_the_window.get("remediation").is_none(), "nobody will be refused: {of_the_window}");
    assert_eq!(receiver.get("/v1/gate").json()["amnesties"], serde_json::json!([]));
}
