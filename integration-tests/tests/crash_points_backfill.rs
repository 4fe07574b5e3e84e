//! Every system call of one backfill, with the process killed there, with an I/O error there, with a full disk there.
//!
//! Whatever happens, afterwards: what the index held before is there byte for byte, a run without a fault completes, and
//! every archive has exactly one row with the right hash (I3); no archive is touched (I2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(clippy::print_stdout, reason = "the counts are what the test is for")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cis490_shared::ids::CommitHash;
use cis490_shared::row::IndexRow;
use integration_tests::archive::{pack, sha256_of, sha256_of_file};
use integration_tests::binaries;
use integration_tests::episodes::Recording;
use integration_tests::process::Process;
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::names;
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
    "getrandom",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
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
    "socketpair",
];

/// Calls of the file system, which a bad disk can fail.
const ON_DISK: &[&str] = &[
    "fdatasync",
    "flock",
    "fsync",
    "ftruncate",
    "getdents64",
    "lseek",
    "newfstatat",
    "openat",
    "pread64",
    "read",
    "statx",
    "write",
];

/// Calls that need room on the disk.
const NEED_ROOM: &[&str] = &["fdatasync", "fsync", "openat", "write"];

/// What every backfill does; a fault at one of these that never fires is a failure of the test.
const ALWAYS: &[&str] = &["fdatasync", "flock", "fsync", "getdents64", "openat", "read", "statx", "write"];

/// More calls of one name than one thread can make here; reaching it means that a point never ends.
const MOST_CALLS: usize = 200;

const HOST: &str = "lab-1";

/// What the index holds before: rows of an older program with an archive that is long gone, spaces and all.
const OLD: &[u8] = b"{\"host_id\": \"lab-0\", \"episode_id\": \"E0\", \"note\": \"kept as it is\"}\n";

/// A store with three archives and no row for any of them.
struct Shelf {
    root: PathBuf,
    stored: BTreeMap<String, Vec<u8>>,
}

impl Shelf {
    fn new(sandbox: &Sandbox) -> Self {
        let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
        let (root, recorded) = (sandbox.dir("store"), sandbox.dir("recorded"));
        fs::create_dir_all(root.join("episodes").join(HOST)).expect("a directory for the host");
        fs::write(root.join("index.jsonl"), OLD).expect("an index");
        let mut shelf = Self { root, stored: BTreeMap::new() };
        for recording in (1..=3).map(|seed| Recording::new(seed, &commit, 10_000)) {
            let (id, bytes) = (recording.id().to_string(), pack(&recording.write_to(&recorded)));
            fs::write(shelf.archive(&id), &bytes).expect("an archive");
            shelf.stored.insert(id, bytes);
        }
        shelf
    }

    fn archive(&self, id: &str) -> PathBuf {
        self.root.join("episodes").join(HOST).join(format!("{id}.tar.zst"))
    }

    fn index(&self) -> Vec<u8> {
        fs::read(self.root.join("index.jsonl")).expect("an index")
    }

    fn command(&self, sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command(binaries::path("cis490-index-backfill"));
        command.arg("--episodes-root").arg(self.root.join("episodes"));
        command
    }

    /// Fails unless the old prefix is unchanged and the archives are what they were.
    fn check_what_was_there(&self, point: &str) {
        assert!(self.index().starts_with(OLD), "{point}: what the index held before has changed");
        for (id, bytes) in &self.stored {
            assert_eq!(sha256_of_file(&self.archive(id)), sha256_of(bytes), "{point}: {id} has changed");
        }
    }

    /// Fails unless each archive has exactly one row that says its hash.
    fn check_rows(&self, point: &str) {
        let index = self.index();
        assert_eq!(index.last(), Some(&b'\n'), "{point}: the last line has no end");
        let rows: Vec<IndexRow> = index[OLD.len()..]
            .split_inclusive(|byte| *byte == b'\n')
            .filter_map(|line| IndexRow::parse(line.trim_ascii_end()).ok())
            .collect();
        let mut ids: Vec<&str> = rows.iter().map(|row| row.episode_id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, self.stored.keys().map(String::as_str).collect::<Vec<_>>(), "{point}: rows");
        for row in &rows {
            assert_eq!(row.sha256, sha256_of(&self.stored[row.episode_id.as_str()]), "{point}");
            assert!(row.backfilled, "{point}: a row that does not say where it comes from");
        }
    }
}

fn run_unharmed(sandbox: &Sandbox, shelf: &Shelf, point: &str) -> String {
    let mut process = Process::start(sandbox, "backfill", shelf.command(sandbox));
    let status = process.wait();
    assert_eq!(status.code(), Some(0), "{point}: without a fault\n{}", process.log());
    process.log()
}

/// The calls of one backfill that went well.
fn calls_of_a_backfill() -> BTreeMap<String, usize> {
    let sandbox = Sandbox::new();
    let shelf = Shelf::new(&sandbox);
    let run = Traced::record(&sandbox, &shelf.command(&sandbox));
    assert_eq!(run.code, Some(0), "{}", run.log);
    shelf.check_rows("recorded");
    let mut calls = run.trace.calls();
    calls.retain(|name, _| !HARMLESS.contains(&name.as_str()));
    println!("system calls of one backfill: {calls:?}");
    for name in ALWAYS {
        assert!(calls.contains_key(*name), "a backfill is expected to call {name}");
    }
    calls
}

/// One backfill with one fault, one without, and everything that must hold after each. True where the fault came about.
fn survives(call: &str, nth: usize, fault: Fault) -> bool {
    let point = format!("{call} #{nth} {fault}");
    let sandbox = Sandbox::new();
    let shelf = Shelf::new(&sandbox);
    let failed = Traced::inject(&sandbox, &shelf.command(&sandbox), call, nth, fault);
    shelf.check_what_was_there(&point);
    if failed.code == Some(0) {
        shelf.check_rows(&format!("{point}: it claimed success"));
    }
    run_unharmed(&sandbox, &shelf, &point);
    shelf.check_what_was_there(&point);
    shelf.check_rows(&point);
    let after = shelf.index();
    let log = run_unharmed(&sandbox, &shelf, &point);
    assert!(log.contains("to-backfill: 0") && shelf.index() == after, "{point}: once more\n{log}");
    assert_eq!(names(&shelf.root), ["episodes", "index.jsonl", "index.lock"], "{point}");
    failed.trace.has_fired()
}

/// Goes through all points of one fault; gives back how many of them fired.
fn walk(fault: Fault, names: impl Iterator<Item = String>) -> usize {
    let mut fired = BTreeMap::new();
    for name in names {
        let count = (1..).take_while(|nth| {
            assert!(*nth < MOST_CALLS, "{name} {fault} goes on for ever");
            survives(&name, *nth, fault)
        });
        let count = count.count();
        let is_certain = ALWAYS.contains(&name.as_str());
        assert!(count > 0 || !is_certain, "{name} {fault} never fired although every backfill calls it");
        fired.insert(name, count);
    }
    let sum = fired.values().sum();
    println!("{sum} faults of the kind {fault} fired and were survived: {fired:?}");
    sum
}

#[test]
fn a_backfill_survives_being_killed_before_any_of_its_system_calls() {
    assert!(walk(Fault::Kill, calls_of_a_backfill().into_keys()) >= ALWAYS.len());
}

#[test]
fn a_backfill_survives_an_io_error_in_any_of_its_file_system_calls() {
    let calls = calls_of_a_backfill();
    let names: Vec<String> = calls.into_keys().filter(|name| ON_DISK.contains(&name.as_str())).collect();
    assert!(walk(Fault::Eio, names.into_iter()) >= ALWAYS.len());
}

#[test]
fn a_backfill_survives_a_full_disk_at_any_call_that_needs_room() {
    let calls = calls_of_a_backfill();
    let names: Vec<String> = calls.into_keys().filter(|name| NEED_ROOM.contains(&name.as_str())).collect();
    assert!(walk(Fault::Enospc, names.into_iter()) >= NEED_ROOM.len());
}
