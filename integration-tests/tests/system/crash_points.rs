//! Tests of one upload with a fault at every system call: a kill, an I/O error or a full disk.
//!
//! After every fault:
//!
//! - an acknowledged episode is there with its row (I1)
//! - a final name shows only whole bytes (I2)
//! - archives and rows match (I3)
//! - sending again succeeds (I4)
//! - nothing partial is left (I5)
//! - `cis490-verify` reports nothing

use std::fs;
use std::path::Path;
use std::time::Duration;

use cis490_shared::ids::CommitHash;
use integration_tests::archive::sha256_of;
use integration_tests::http::{self, Connection};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::names;
use integration_tests::strace::{Fired, Least, Names, Shot, Strace, Walk};
use integration_tests::until::wait_at_most;
use integration_tests::upload::{Upload, row_line};
use integration_tests::verify;

/// Maximum wait for an answer. A receiver whose runtime a fault has broken may never answer.
const UNANSWERED: Duration = Duration::from_secs(3);

/// Maximum wait for the first half on disk. A receiver that cannot create or write its temporary file never has it.
const HALF: Duration = Duration::from_millis(300);

const HOST: &str = "lab-1";
const EPISODE: &str = "E1";

/// Size in bytes of an upload that is gathered before anything is written.
const SMALL: u32 = 20_000;
/// Size in bytes of an upload that is written as it arrives.
const LARGE: u32 = 200_000;

fn upload(bytes: u32) -> Upload {
    let body: Vec<u8> = (0..bytes).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
    Upload::new(HOST, EPISODE, &commit, &body)
}

/// Starts a receiver and wakes a blocking thread of each HTTP worker; there are as many workers as cores. Only threads
/// that exist when strace attaches can be distinguished.
fn start(sandbox: &Sandbox) -> Receiver<'_> {
    let receiver = Receiver::start(sandbox, Options::open());
    wake_threads(&receiver);
    receiver
}

fn wake_threads(receiver: &Receiver<'_>) {
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
        assert_eq!(receiver.get("/v1/host-health").status, 200);
    }
}

/// Returns the number of bytes in unfinished uploads.
fn partial_bytes(receiver: &Receiver<'_>) -> u64 {
    let incoming = receiver.state().join("episodes/.incoming");
    let size = |name: &String| fs::metadata(incoming.join(name)).map_or(0, |partial| partial.len());
    names(&incoming).iter().map(size).sum()
}

/// Uploads in two halves, so that there is a write in the middle. Returns the status, if there is an answer.
///
/// Returns the connection too, so that the trace does not contain its end.
fn attempt(receiver: &Receiver<'_>, upload: &Upload) -> (Option<u16>, Connection) {
    let length = upload.body.len().to_string();
    let mut headers = upload.headers();
    headers.push(("content-length", &length));
    let (first, second) = upload.body.split_at(upload.body.len() / 2);
    let mut connection = Connection::open(receiver.url()).with_patience(UNANSWERED);
    let head = http::head("PUT", &upload.path, &headers);
    // A receiver that is gone takes no bytes; the missing answer shows that.
    let _ = connection.send(&[&head, first].concat());
    if upload.body.len() > SMALL as usize {
        wait_at_most(HALF, || partial_bytes(receiver) >= first.len() as u64);
    }
    let _ = connection.send(second);
    (connection.answer("PUT").ok().map(|answer| answer.status), connection)
}

/// Runs one upload with one fault and a crash after it, and checks everything that must hold then.
fn survives(upload: &Upload, point: &Shot) -> Fired {
    let sandbox = Sandbox::new();
    let names = Names::of(sandbox.path());
    let mut receiver = start(&sandbox);
    let strace = Strace::shoot(&sandbox, receiver.process().pid(), point, &names);
    let (answer, connection) = attempt(&receiver, upload);
    let fired = point.fired(&strace.detach(), &names);
    drop(connection);
    receiver.kill();

    let archive = receiver.archive(HOST, EPISODE);
    let is_stored = fs::read(&archive)
        .ok()
        .inspect(|bytes| assert_eq!(sha256_of(bytes), sha256_of(&upload.body), "{point}"));
    let acknowledged = matches!(answer, Some(200 | 201));
    assert!(!acknowledged || is_stored.is_some(), "{point}: acknowledged and not stored");
    // Without a loss of power the bytes are there in any case. Only the answer shows whether the receiver handled the
    // error.
    assert!(!acknowledged || !fired.at_a_sync(), "{point}: a failed sync was acknowledged");
    if answer.is_some_and(|status| status >= 500) {
        assert_eq!(receiver.rows().len(), 0, "{point}: a row of an upload that failed was not cut off again");
    }
    if acknowledged {
        assert_eq!(receiver.rows().len(), 1, "{point}: acknowledged and not indexed");
    }

    receiver.restart();
    assert_eq!(receiver.rows().len(), usize::from(is_stored.is_some()), "{point}: rows and archives differ");
    assert_in_order(&sandbox, &receiver, point);
    let again = upload.put(receiver.url()).status;
    assert_eq!(again, if is_stored.is_some() { 200 } else { 201 }, "{point}: sent again");
    assert_eq!(receiver.rows().len(), 1, "{point}: rows after sending again");
    assert_eq!(sha256_of(&fs::read(&archive).expect("stored")), sha256_of(&upload.body), "{point}");
    assert_in_order(&sandbox, &receiver, point);
    receiver.stop();
    fired
}

fn assert_in_order(sandbox: &Sandbox, receiver: &Receiver<'_>, point: &Shot) {
    let episodes: &Path = &receiver.state().join("episodes");
    assert_eq!(names(&episodes.join(".incoming")), [""; 0], "{point}: partial uploads are left");
    verify::assert_clean(sandbox, episodes, point);
}

/// Records an upload, and visits all of its points.
fn walk(name: &'static str, upload: &Upload, least: Least) {
    let walk = Walk::record(name, || {
        let sandbox = Sandbox::new();
        let mut receiver = start(&sandbox);
        let strace = Strace::record(&sandbox, receiver.process().pid());
        let (answer, connection) = attempt(&receiver, upload);
        assert_eq!(answer, Some(201));
        let trace = strace.detach();
        drop(connection);
        receiver.stop();
        (trace, Names::of(sandbox.path()))
    });
    println!("{}", walk.walk(least, |point| survives(upload, point)));
}

/// Starts a receiver whose archive of the episode has lost its end, while the row names the whole.
fn start_damaged<'a>(sandbox: &'a Sandbox, upload: &Upload) -> Receiver<'a> {
    let state = sandbox.dir("collector");
    let archive = state.join(format!("episodes/{HOST}/{EPISODE}.tar.zst"));
    fs::create_dir_all(archive.parent().expect("a directory")).expect("in the sandbox");
    fs::write(archive, damaged(upload)).expect("in the sandbox");
    let index = row_line(HOST, EPISODE, &upload.body);
    let receiver = Receiver::start(sandbox, Options { state: Some(state), index, ..Options::open() });
    wake_threads(&receiver);
    receiver
}

fn damaged(upload: &Upload) -> &[u8] {
    &upload.body[..upload.body.len() / 3]
}

/// Runs one upload that heals an archive, with one fault and a crash after it, and checks everything that must hold
/// then.
fn heals(upload: &Upload, point: &Shot) -> Fired {
    let sandbox = Sandbox::new();
    let names_of = Names::of(sandbox.path());
    let mut receiver = start_damaged(&sandbox, upload);
    let strace = Strace::shoot(&sandbox, receiver.process().pid(), point, &names_of);
    let (answer, connection) = attempt(&receiver, upload);
    let fired = point.fired(&strace.detach(), &names_of);
    drop(connection);
    receiver.kill();

    let archive = receiver.archive(HOST, EPISODE);
    let is_healed = || fs::read(&archive).is_ok_and(|bytes| bytes == upload.body);
    let aside = receiver.state().join(format!("episodes/.damaged/{HOST}/{EPISODE}.tar.zst.1"));
    let is_kept =
        || [&archive, &aside].iter().any(|path| fs::read(path).is_ok_and(|bytes| *bytes == *damaged(upload)));
    assert!(is_kept(), "{point}: what was damaged is gone");
    let acknowledged = matches!(answer, Some(200 | 201));
    assert!(!acknowledged || is_healed(), "{point}: acknowledged and not healed");
    assert!(!acknowledged || !fired.at_a_sync(), "{point}: a failed sync was acknowledged");

    receiver.restart();
    let again = upload.put(receiver.url()).status;
    assert!(matches!(again, 200 | 201), "{point}: sent again: {again}");
    assert!(is_healed() && is_kept(), "{point}: after sending again");
    assert_eq!(receiver.rows().len(), 1, "{point}: rows");
    assert_eq!(
        names(&receiver.state().join("episodes/.incoming")),
        [""; 0],
        "{point}: partial uploads are left"
    );
    receiver.stop();
    fired
}

#[test]
fn an_upload_that_heals_survives_every_fault_at_every_one_of_its_system_calls() {
    let upload = upload(LARGE);
    let walk = Walk::record("healing upload", || {
        let sandbox = Sandbox::new();
        let mut receiver = start_damaged(&sandbox, &upload);
        let strace = Strace::record(&sandbox, receiver.process().pid());
        let (answer, connection) = attempt(&receiver, &upload);
        assert_eq!(answer, Some(201));
        let trace = strace.detach();
        drop(connection);
        receiver.stop();
        (trace, Names::of(sandbox.path()))
    });
    println!("{}", walk.walk(Least { points: 35, eio: 22, enospc: 12 }, |point| heals(&upload, point)));
}

#[test]
fn an_upload_survives_every_fault_at_every_one_of_its_system_calls() {
    walk("upload", &upload(LARGE), Least { points: 31, eio: 20, enospc: 12 });
}

#[test]
fn a_small_upload_survives_every_fault_at_every_one_of_its_system_calls() {
    walk("small upload", &upload(SMALL), Least { points: 25, eio: 18, enospc: 10 });
}
