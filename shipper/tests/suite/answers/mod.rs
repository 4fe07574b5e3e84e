//! The shipper's reaction to every answer of protocol 2.2, as seen from outside. That is the requests that arrive, the
//! final places of the episodes, the log, and the exit code of `--once`.
//!
//! The same table runs twice. Once it runs for an hour with real actors and real sockets, on a clock that stands still
//! while anything is under way. Once it runs with the real program.

mod table;

use std::cell::RefCell;
use std::fmt::Debug;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use cis490_shipper::actors::queue::Observe;
use cis490_shipper::upload::deadlines::Deadlines;
use tokio::time::{Instant, sleep_until};

use crate::support::host::{COMMIT, Host};
use crate::support::log::Log;
use crate::support::program::{configure, run};
use crate::support::queues::{paused, start};
use crate::support::receiver::{Conn, Receiver, Request, gate, stored};
use crate::support::scripted::on_a_clock_that_stands_still_meanwhile;
use crate::support::uploads::uploader_at;
use table::{Body, Does, EARLIER, PROTOCOL, Row, STRANGERS};

const HOUR: Duration = Duration::from_hours(1);
const EPISODES: [&str; 3] = ["e1", "e2", "e3"];

/// The questions that the receiver answers besides the PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// It answers the gate and HEAD.
    Ours,
    /// It answers neither of them.
    Earlier,
}

/// Starts a receiver that answers every PUT alike.
fn answering(row: Row, generation: Generation) -> Receiver {
    let mut is_refused = false;
    Receiver::start(move |request, conn| match (request.method.as_str(), generation) {
        ("PUT", _) => {
            // The gate gives the same answer from then on.
            is_refused |= row.does == Does::QuarantineTheCommit;
            answer(row, request, conn);
        }
        ("HEAD", Generation::Ours) => conn.send("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"),
        ("HEAD", Generation::Earlier) => conn.send("HTTP/1.1 405 X\r\ncontent-length: 0\r\n\r\n"),
        (_, Generation::Ours) => conn.answer(200, "", &gate(&request.path, !is_refused)),
        (_, Generation::Earlier) => conn.answer(404, "", r#"{"detail": "Not Found"}"#),
    })
}

fn answer(row: Row, request: &Request, conn: &mut Conn) {
    let sent = if row.comes_after_the_body() { conn.take_body(request) } else { Vec::new() };
    let status = row.status;
    let body = match row.body {
        Body::Problem(error) | Body::ProblemCut(error) | Body::ProblemTooLong(error) => format!(
            r#"{{"type": "urn:cis490:error:{error}", "title": "A title", "status": {status}, "detail": "a detail",
                "error": "{error}", "remediation": "git pull\n"}}"#
        ),
        Body::Plain => r#"{"detail": "a detail", "remediation": "git pull\n"}"#.to_owned(),
        Body::Html => "<html><body>a proxy's own page</body></html>".to_owned(),
        Body::Empty => String::new(),
        Body::Stored | Body::StoredCut => stored(request, &sent),
        Body::StoredOther(member) => with_other(&stored(request, &sent), member),
        Body::Json(text) => text.to_owned(),
    };
    let retry_after = row.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n"));
    let retry_after = retry_after.unwrap_or_default();
    match row.body {
        Body::StoredCut | Body::ProblemCut(_) => {
            let (said, length) = (&body[..body.len() - 2], body.len());
            conn.send(&format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{said}"));
            conn.close();
        }
        Body::ProblemTooLong(_) => conn.answer(status, &retry_after, &(" ".repeat(300 * 1024) + &body)),
        _ => conn.answer(status, &retry_after, &body),
    }
}

/// Returns the same object with another value in one member.
fn with_other(stored: &str, member: &str) -> String {
    let mut object: serde_json::Value = serde_json::from_str(stored).unwrap();
    object[member] = match member {
        "sha256" => "ab".repeat(32).into(),
        "size_bytes" => 1.into(),
        _ => "another".into(),
    };
    object.to_string()
}

/// Returns a host with three episodes to which a receiver could give this answer.
fn host_for(row: Row) -> Host {
    let host = Host::new();
    let commit = match row.error() {
        Some("commit-missing") => None,
        Some("commit-malformed") => Some("unknown"),
        _ => Some(COMMIT),
    };
    for name in EPISODES {
        host.record(name, commit);
    }
    host
}

/// Complaints about one row.
struct Complaints {
    row: Row,
    found: Vec<String>,
}

impl Complaints {
    fn of(row: Row) -> Self {
        Self { row, found: Vec::new() }
    }

    fn unless<T: Debug>(&mut self, is_right: bool, what: &str, seen: T) {
        if !is_right {
            let Row { status, body, does, .. } = self.row;
            self.found.push(format!("{status} {body:?}, {does:?}: {what}: {seen:?}"));
        }
    }

    fn unless_all_are_in(&mut self, host: &Host, place: &str) {
        for directory in ["episodes", "shipped", "quarantine"] {
            let wanted: &[&str] = if directory == place { &EPISODES } else { &[] };
            let names = host.names(directory);
            self.unless(names == wanted, &format!("what is in {directory}/"), names);
        }
        let reason = (place == "quarantine").then(|| host.reason("e1"));
        let has_reason = reason.as_ref().is_none_or(|reason| reason["status"] == self.row.status);
        self.unless(has_reason, "the reason beside the episode", reason);
    }
}

fn puts(receiver: &Receiver) -> usize {
    receiver.seen().iter().filter(|request| request.method == "PUT").count()
}

/// Runs an hour with three episodes. Returns the complaints.
async fn an_hour_of(row: Row, generation: Generation) -> Vec<String> {
    let (mut complaints, expected) = (Complaints::of(row), row.does.seen());
    let log = Log::catch();
    let (host, receiver) = (host_for(row), answering(row, generation));
    let (uploader, lock) = uploader_at(&host, &receiver.url(), Deadlines::default());
    let times = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&times);
    let uploader = on_a_clock_that_stands_still_meanwhile(uploader, move |_| {
        noted.borrow_mut().push(Instant::now());
    });
    drop(lock);
    let begin = Instant::now();
    let queue = start(&host, Some(Duration::from_mins(1)), vec![uploader]);
    sleep_until(begin + HOUR).await;

    complaints.unless_all_are_in(&host, expected.place);
    let arrived = puts(&receiver);
    // A receiver that asks for longer waits gets fewer tries.
    let least = row.retry_after.map_or(*expected.puts_in_an_hour.start(), |_| 3);
    let is_bounded = (least..=*expected.puts_in_an_hour.end()).contains(&arrived);
    complaints.unless(is_bounded, "PUTs in an hour", arrived);
    let (warnings, errors) = (log.with("WARN"), log.with("ERROR"));
    complaints.unless(warnings.len() == expected.warnings, "warnings", &warnings);
    complaints.unless(errors.len() == expected.errors, "errors", &errors);
    let names_status = warnings.iter().chain(&errors).all(|line| line.contains(&row.status.to_string()));
    complaints.unless(
        names_status || row.does == Does::QuarantineTheCommit,
        "the status in the log",
        (&warnings, &errors),
    );
    let seen = queue.send(Observe).await.unwrap();
    complaints.unless(seen.on_hold == expected.is_held, "the queue waits", seen);
    if let Some(asked) = row.retry_after {
        let times = times.borrow();
        // If each episode has its own time, three of them lie between two tries of one.
        let apart = if row.does == Does::Retry { 3 } else { 1 };
        let shortest = times.iter().zip(times.iter().skip(apart)).map(|(a, b)| b.duration_since(*a)).min();
        let is_honoured = shortest.is_some_and(|shortest| shortest >= Duration::from_secs(asked));
        complaints.unless(is_honoured, "the shortest wait", shortest);
    }
    complaints.found
}

fn an_hour_of_each(rows: &'static [Row], generation: Generation) {
    let mut found = Vec::new();
    for row in rows {
        let (told, complaints) = std::sync::mpsc::channel();
        paused(async move { told.send(an_hour_of(*row, generation).await).unwrap() });
        found.extend(complaints.recv().unwrap());
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Runs the real program with `--once` on the same three episodes.
fn once_of_each(rows: &'static [Row], generation: Generation) {
    let mut found = Vec::new();
    for row in rows {
        let (mut complaints, expected) = (Complaints::of(*row), row.does.seen());
        let (host, receiver) = (host_for(*row), answering(*row, generation));
        let config = configure(&host, &format!("url = \"{}\"", receiver.url()));
        let text = fs::read_to_string(&config).unwrap() + "parallel_uploads = 1\n";
        fs::write(&config, text).unwrap();
        let pass = run(&config, &["--once"]);
        complaints.unless(pass.code == Some(expected.exit), "the exit code", &pass);
        let arrived = puts(&receiver);
        complaints.unless(expected.puts_at_once.contains(&arrived), "PUTs of one pass", arrived);
        // An episode that needs a second and a third try waits for the next pass.
        let place = if row.does == Does::Rebuild { "episodes" } else { expected.place };
        complaints.unless_all_are_in(&host, place);
        let errors = pass.stderr.matches("ERROR").count();
        complaints.unless(errors == expected.errors, "errors of one pass", &pass.stderr);
        found.extend(complaints.found);
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn an_hour_of_every_answer_of_the_protocol() {
    an_hour_of_each(PROTOCOL, Generation::Ours);
}

#[test]
fn an_hour_of_answers_that_no_receiver_gives() {
    an_hour_of_each(STRANGERS, Generation::Ours);
}

#[test]
fn an_hour_of_every_answer_of_the_earlier_generation() {
    an_hour_of_each(EARLIER, Generation::Earlier);
}

#[test]
fn one_pass_against_every_answer_of_the_protocol() {
    once_of_each(PROTOCOL, Generation::Ours);
}

#[test]
fn one_pass_against_answers_that_no_receiver_gives() {
    once_of_each(STRANGERS, Generation::Ours);
}

#[test]
fn one_pass_against_every_answer_of_the_earlier_generation() {
    once_of_each(EARLIER, Generation::Earlier);
}
