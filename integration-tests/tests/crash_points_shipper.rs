//! Every system call of one pass of the shipper, with the process killed there, and with an I/O error there.
//!
//! Whatever happens, afterwards: the episode is in exactly one of `episodes/` and `shipped/`, and in the latter only
//! if the receiver has it (I6); the next pass ships it, once and whole, and leaves nothing in the outbox (I4). An
//! I/O error is never held against the episode: nothing is quarantined.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(clippy::print_stdout, reason = "the counts are what the test is for")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{assert_holds, sha256_of_file};
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::strace::{Fault, Traced};

/// Calls that wait, schedule or manage memory and descriptors: they change nothing that lasts.
const HARMLESS: &[&str] = &[
    "arch_prctl",
    "brk",
    "clone3",
    "close",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "eventfd2",
    "execve",
    "exit",
    "exit_group",
    "fcntl",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "prctl",
    "prlimit64",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "tgkill",
];

/// Calls of the file system, which a bad disk can fail.
const ON_DISK: &[&str] = &[
    "fchmod",
    "fdatasync",
    "flock",
    "fsync",
    "getdents64",
    "mkdir",
    "newfstatat",
    "openat",
    "pread64",
    "read",
    "renameat2",
    "statx",
    "unlink",
    "write",
];

/// What every pass does; a fault at one of these that never fires is a failure of the test.
const ALWAYS: &[&str] = &[
    "connect",
    "fdatasync",
    "flock",
    "fsync",
    "getdents64",
    "mkdir",
    "openat",
    "read",
    "recvfrom",
    "renameat2",
    "sendto",
    "statx",
    "unlink",
    "write",
];

/// More calls of one name than one thread of a pass can make; reaching it means that a point never ends.
const MOST_CALLS: usize = 120;

fn recording() -> Recording {
    Recording::new(7, &CommitHash::parse(&"ab".repeat(20)).expect("a commit"), 40_000)
}

/// A lab host with one finished episode, each in a sandbox of its own; the receiver knows them apart by name.
fn ready_host<'a>(sandbox: &'a Sandbox, name: &str, receiver: &Receiver<'_>) -> LabHost<'a> {
    let lab_host = LabHost::new(sandbox, name, receiver.url());
    recording().write_to(&lab_host.episodes());
    lab_host
}

/// The calls of one pass that went well.
fn calls_of_a_pass(receiver: &Receiver<'_>) -> BTreeMap<String, usize> {
    let sandbox = Sandbox::new();
    let lab_host = ready_host(&sandbox, "lab-recorded", receiver);
    let pass = Traced::record(&sandbox, &lab_host.command(&["--once"]));
    assert_eq!(pass.code, Some(0), "{}", pass.log);
    let mut calls = pass.trace.calls();
    calls.retain(|name, _| !HARMLESS.contains(&name.as_str()));
    println!("system calls of one pass: {calls:?}");
    for name in ALWAYS {
        assert!(calls.contains_key(*name), "a pass is expected to call {name}");
    }
    calls
}

/// How many rows the index has for a host; none has two episodes here.
fn rows_of(receiver: &Receiver<'_>, host: &str) -> usize {
    receiver.rows().iter().filter(|row| row.host_id.as_str() == host).count()
}

/// One pass with one fault, a pass without, and everything that must hold after each. True where the fault came about.
///
/// With `path`, relative to the data directory, only calls on that path count.
fn survives(receiver: &Receiver<'_>, path: Option<&str>, call: &str, nth: usize, fault: Fault) -> bool {
    static HOSTS: AtomicUsize = AtomicUsize::new(1);
    let point = format!("{call} #{nth} {fault} {}", path.unwrap_or_default());
    let host = format!("lab-{}", HOSTS.fetch_add(1, Ordering::Relaxed));
    let sandbox = Sandbox::new();
    let lab_host = ready_host(&sandbox, &host, receiver);
    let id = recording().id().to_string();
    let here = |directory: &str| lab_host.names(directory).len();

    let command = lab_host.command(&["--once"]);
    let failed = match path {
        None => Traced::inject(&sandbox, &command, call, nth, fault),
        Some(path) => Traced::inject_at(&sandbox, &command, &lab_host.data().join(path), (call, nth, fault)),
    };
    let log = &failed.log;
    assert_eq!(here("episodes") + here("shipped"), 1, "{point}: the episode is in exactly one place\n{log}");
    assert_eq!(here("quarantine"), 0, "{point}: a fault of the disk is not the episode's\n{log}");
    if here("shipped") == 1 {
        assert_eq!(rows_of(receiver, &host), 1, "{point}: put away and not stored\n{log}");
    }

    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{point}: the next pass\n{}", pass.log);
    assert_eq!(lab_host.names("shipped"), [id.as_str()], "{point}\n{}", pass.log);
    for directory in ["episodes", "outbox", "quarantine"] {
        assert_eq!(lab_host.names(directory), [""; 0], "{point}: left in {directory}/\n{}", pass.log);
    }
    let archive = receiver.archive(&host, &id);
    assert_holds(&archive, &lab_host.data().join("shipped").join(&id));
    let rows = receiver.rows();
    let ours: Vec<_> = rows.iter().filter(|row| row.host_id.as_str() == host).collect();
    assert_eq!(ours.len(), 1, "{point}: rows");
    assert_eq!(ours[0].sha256, sha256_of_file(&archive), "{point}: the hash in the row");
    failed.trace.has_fired()
}

/// Goes through all points of one fault; gives back how many of them fired.
fn walk(receiver: &Receiver<'_>, fault: Fault, names: impl Iterator<Item = String>) -> usize {
    let mut fired = BTreeMap::new();
    for name in names {
        let count = (1..).take_while(|nth| {
            assert!(*nth < MOST_CALLS, "{name} {fault} goes on for ever");
            survives(receiver, None, &name, *nth, fault)
        });
        let count = count.count();
        let is_certain = ALWAYS.contains(&name.as_str());
        assert!(count > 0 || !is_certain, "{name} {fault} never fired although every pass calls it");
        fired.insert(name, count);
    }
    let sum = fired.values().sum();
    println!("{sum} faults of the kind {fault} fired and were survived: {fired:?}");
    sum
}

/// Goes through the calls on one path after the other: strace counts per thread, and of two threads that make calls of
/// one name it is always the first that meets its end. Putting the episode away is the work of the second.
fn walk_paths(receiver: &Receiver<'_>, fault: Fault) {
    let id = recording().id();
    let paths = ["episodes", "outbox", "shipped"].map(str::to_owned).into_iter();
    let paths =
        paths.chain([format!("outbox/{id}.tar.zst"), format!("episodes/{id}"), format!("shipped/{id}")]);
    let mut fired = BTreeMap::new();
    for path in paths {
        for call in ["fsync", "getdents64", "openat", "renameat2", "statx", "unlink"] {
            let count = (1..).take_while(|nth| {
                assert!(*nth < MOST_CALLS, "{call} {fault} goes on for ever");
                survives(receiver, Some(&path), call, *nth, fault)
            });
            *fired.entry(call).or_insert(0) += count.count();
        }
    }
    println!("{} more by their paths: {fired:?}", fired.values().sum::<usize>());
    for call in ["fsync", "openat", "renameat2", "unlink"] {
        assert!(fired[call] > 0, "{call} {fault} never fired on a path of the episode");
    }
}

#[test]
fn a_pass_survives_being_killed_before_any_of_its_system_calls() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let calls = calls_of_a_pass(&receiver);
    assert!(walk(&receiver, Fault::Kill, calls.into_keys()) >= ALWAYS.len());
    walk_paths(&receiver, Fault::Kill);
    receiver.stop();
}

#[test]
fn a_pass_survives_an_io_error_in_any_of_its_file_system_calls() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let calls = calls_of_a_pass(&receiver);
    let names: Vec<String> = calls.into_keys().filter(|name| ON_DISK.contains(&name.as_str())).collect();
    let least = names.iter().filter(|name| ALWAYS.contains(&name.as_str())).count();
    assert!(walk(&receiver, Fault::Eio, names.into_iter()) >= least);
    walk_paths(&receiver, Fault::Eio);
    receiver.stop();
}
