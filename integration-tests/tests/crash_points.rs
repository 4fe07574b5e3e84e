//! Every system call of one upload, with the process killed there, with an I/O error there, with a full disk there.
//!
//! Whatever happens, afterwards: what was acknowledged is there with its row (I1), no final name shows anything but
//! whole bytes (I2), archives and rows match (I3), sending again succeeds (I4), nothing partial is left (I5).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(clippy::print_stdout, reason = "the counts are what the test is for")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use cis490_shared::ids::CommitHash;
use integration_tests::archive::sha256_of;
use integration_tests::http::{self, Connection};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::strace::{Fault, Strace};
use integration_tests::upload::Upload;

/// Calls that wait, schedule or manage memory: they change nothing that lasts.
const HARMLESS: &[&str] = &[
    "brk",
    "clone3",
    "epoll_ctl",
    "epoll_wait",
    "exit",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "prctl",
    "restart_syscall",
    "rseq",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "tgkill",
    "timerfd_settime",
];

/// Calls of the file system, which a bad disk can fail.
const ON_DISK: &[&str] = &[
    "access",
    "fallocate",
    "fchmod",
    "fdatasync",
    "flock",
    "fsync",
    "mkdir",
    "openat",
    "renameat2",
    "statfs",
    "statx",
    "write",
];

/// Calls that need room on the disk.
const NEED_ROOM: &[&str] = &["fallocate", "fdatasync", "fsync", "mkdir", "openat", "renameat2", "write"];

/// What every upload does; a fault at one of these that never fires is a failure of the test. Others, such as the
/// reads of an allocator that grows, come and go.
const ALWAYS: &[&str] = &[
    "accept4",
    "fallocate",
    "fdatasync",
    "flock",
    "fsync",
    "mkdir",
    "openat",
    "recvfrom",
    "renameat2",
    "sendto",
    "statx",
    "write",
];

/// More calls of one name than one upload can make; reaching it means that a point never ends.
const MOST_CALLS: usize = 60;

/// A receiver that was failed in its own machinery may never answer; its client gives up after this.
const UNANSWERED: Duration = Duration::from_secs(3);

const HOST: &str = "lab-1";
const EPISODE: &str = "E1";

fn body() -> Vec<u8> {
    (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn upload() -> Upload {
    let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
    Upload::new(HOST, EPISODE, &commit, &body())
}

/// Uploads, whatever comes of it: the status where there is an answer.
fn attempt(receiver: &Receiver<'_>) -> Option<u16> {
    let upload = upload();
    let length = upload.body.len().to_string();
    let mut headers = upload.headers();
    headers.push(("content-length", &length));
    let mut connection = Connection::open(receiver.url()).with_patience(UNANSWERED);
    let head = http::head("PUT", &upload.path, &headers);
    // A receiver that is gone takes no bytes, which the answer shows.
    let _ = connection.send(&head).and_then(|()| connection.send(&upload.body));
    connection.answer("PUT").ok().map(|answer| answer.status)
}

/// The calls of one upload that went well.
fn calls_of_an_upload() -> BTreeMap<String, usize> {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let strace = Strace::record(&sandbox, receiver.process().pid());
    assert_eq!(attempt(&receiver), Some(201));
    let mut calls = strace.detach().calls();
    calls.retain(|name, _| !HARMLESS.contains(&name.as_str()));
    receiver.stop();
    calls
}

/// One upload with one fault, the crash after it, and everything that must hold then. True where the fault came about.
fn survives(call: &str, nth: usize, fault: Fault) -> bool {
    let point = format!("{call} #{nth} {fault}");
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let strace = Strace::inject(&sandbox, receiver.process().pid(), call, nth, fault);
    let answer = attempt(&receiver);
    let has_fired = strace.detach().has_fired();
    receiver.kill();

    let archive = receiver.archive(HOST, EPISODE);
    let is_stored =
        fs::read(&archive).ok().inspect(|bytes| assert_eq!(sha256_of(bytes), sha256_of(&body()), "{point}"));
    let acknowledged = matches!(answer, Some(200 | 201));
    assert!(!acknowledged || is_stored.is_some(), "{point}: acknowledged and not stored");
    if acknowledged {
        assert_eq!(receiver.rows().len(), 1, "{point}: acknowledged and not indexed");
    }

    receiver.restart();
    assert_eq!(receiver.rows().len(), usize::from(is_stored.is_some()), "{point}: rows and archives differ");
    let partials = fs::read_dir(receiver.state().join("episodes/.incoming")).expect("a directory").count();
    assert_eq!(partials, 0, "{point}: partial uploads are left");
    let again = upload().put(receiver.url()).status;
    assert_eq!(again, if is_stored.is_some() { 200 } else { 201 }, "{point}: sent again");
    assert_eq!(receiver.rows().len(), 1, "{point}: rows after sending again");
    assert_eq!(sha256_of(&fs::read(&archive).expect("stored")), sha256_of(&body()), "{point}");
    receiver.stop();
    has_fired
}

/// Goes through all points of one fault; gives back how many of them fired.
fn walk(fault: Fault, names: impl Iterator<Item = String>) -> usize {
    let mut fired = 0;
    for name in names {
        for nth in 1.. {
            assert!(nth < MOST_CALLS, "{name} {fault} goes on for ever");
            if !survives(&name, nth, fault) {
                let is_certain = ALWAYS.contains(&name.as_str());
                assert!(nth > 1 || !is_certain, "{name} {fault} never fired although every upload calls it");
                break;
            }
            fired += 1;
        }
    }
    println!("{fired} faults of the kind {fault} fired and were survived");
    fired
}

#[test]
fn an_upload_survives_being_killed_before_any_of_its_system_calls() {
    let calls = calls_of_an_upload();
    println!("system calls of one upload: {calls:?}");
    for name in ALWAYS {
        assert!(calls.contains_key(*name), "an upload is expected to call {name}");
    }
    assert!(walk(Fault::Kill, calls.into_keys()) >= ALWAYS.len());
}

#[test]
fn an_upload_survives_an_io_error_in_any_of_its_file_system_calls() {
    let calls = calls_of_an_upload();
    let names: Vec<String> = calls.into_keys().filter(|name| ON_DISK.contains(&name.as_str())).collect();
    let least = names.iter().filter(|name| ALWAYS.contains(&name.as_str())).count();
    assert!(walk(Fault::Eio, names.into_iter()) >= least);
}

#[test]
fn an_upload_survives_a_full_disk_at_any_call_that_needs_room() {
    let calls = calls_of_an_upload();
    let names: Vec<String> = calls.into_keys().filter(|name| NEED_ROOM.contains(&name.as_str())).collect();
    assert!(walk(Fault::Enospc, names.into_iter()) >= NEED_ROOM.len());
}
