//! Tests of one backfill with a fault at every system call: a kill, an I/O error or a full disk.
//!
//! After every fault the earlier content of the index is unchanged byte for byte, and a run without a fault completes.
//! Every archive has exactly one row with the right hash (I3), no archive has changed (I2), and `cis490-verify` reports
//! nothing.

use std::collections::BTreeMap;
use std::fmt::Display;
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
use integration_tests::strace::{Fired, Least, Names, Shot, Trace, Traced, Walk};
use integration_tests::verify;

const HOST: &str = "lab-1";

/// Sizes of the recordings in bytes. Each has a thread of its own. Reading the second takes so long that the row of the
/// first does not wait for it. So there are two batches, and every run contains the calls between them.
const SIZES: [u64; 2] = [10_000, 1_000_000];

/// Maximum number of attempts to record a run with a batch for each row.
const MOST_RECORDINGS: usize = 20;

/// A store with archives without a row, and one archive with a row.
struct Shelf {
    root: PathBuf,
    stored: BTreeMap<String, Vec<u8>>,
    /// The earlier content of the index: a row of an older program, with spaces.
    old: Vec<u8>,
}

impl Shelf {
    fn new(sandbox: &Sandbox) -> Self {
        let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
        let (root, recorded) = (sandbox.dir("store"), sandbox.dir("recorded"));
        fs::create_dir_all(root.join("episodes").join(HOST)).expect("a directory for the host");
        let old_archive = b"what an older program stored";
        let old = format!(
            "{{\"host_id\": \"{HOST}\", \"episode_id\": \"E0\", \"sha256\": \"{}\", \"note\": \"as it is\"}}\n",
            sha256_of(old_archive)
        );
        let mut shelf = Self { root, stored: BTreeMap::new(), old: old.into_bytes() };
        fs::write(shelf.root.join("index.jsonl"), &shelf.old).expect("an index");
        fs::write(shelf.archive("E0"), old_archive).expect("an archive");
        for recording in (1..).zip(SIZES).map(|(seed, size)| Recording::new(seed, &commit, size)) {
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
        command.arg("--episodes-root").arg(self.root.join("episodes")).args(["--jobs", "2"]);
        command
    }

    /// Fails unless the old prefix is unchanged and the archives are what they were.
    fn check_what_was_there(&self, point: &dyn Display) {
        assert!(self.index().starts_with(&self.old), "{point}: what the index held before has changed");
        for (id, bytes) in &self.stored {
            assert_eq!(sha256_of_file(&self.archive(id)), sha256_of(bytes), "{point}: {id} has changed");
        }
    }

    /// Fails unless each archive has exactly one row that says its hash.
    fn check_rows(&self, point: &dyn Display) {
        let index = self.index();
        assert_eq!(index.last(), Some(&b'\n'), "{point}: the last line has no end");
        let rows: Vec<IndexRow> = index[self.old.len()..]
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

fn run_unharmed(sandbox: &Sandbox, shelf: &Shelf, point: &dyn Display) -> String {
    let mut process = Process::start(sandbox, "backfill", shelf.command(sandbox));
    let status = process.wait();
    assert_eq!(status.code(), Some(0), "{point}: without a fault\n{}", process.log());
    process.log()
}

/// Runs one backfill with one fault and one without, and checks everything that must hold after each.
fn survives(point: &Shot) -> Fired {
    let sandbox = Sandbox::new();
    let shelf = Shelf::new(&sandbox);
    let names_here = Names::of(sandbox.path());
    let failed = Traced::shoot(&sandbox, &shelf.command(&sandbox), point, &names_here);
    let fired = point.fired(&failed.trace, &names_here);
    shelf.check_what_was_there(point);
    if failed.code == Some(0) {
        assert!(!fired.at_a_sync(), "{point}: a failed sync was called a success");
        shelf.check_rows(&format_args!("{point}: it claimed success"));
    }
    run_unharmed(&sandbox, &shelf, point);
    shelf.check_what_was_there(point);
    shelf.check_rows(point);
    verify::assert_clean(&sandbox, &shelf.root.join("episodes"), point);
    let after = shelf.index();
    let log = run_unharmed(&sandbox, &shelf, point);
    assert!(log.contains("to-backfill: 0") && shelf.index() == after, "{point}: once more\n{log}");
    assert_eq!(names(&shelf.root), ["episodes", "index.jsonl", "index.lock"], "{point}");
    fired
}

/// Records one backfill without a fault.
fn record() -> (Trace, Names) {
    let sandbox = Sandbox::new();
    let shelf = Shelf::new(&sandbox);
    let run = Traced::record(&sandbox, &shelf.command(&sandbox));
    assert_eq!(run.code, Some(0), "{}", run.log);
    shelf.check_rows(&"recorded");
    (run.trace, Names::of(sandbox.path()))
}

#[test]
fn a_backfill_survives_every_fault_at_every_one_of_its_system_calls() {
    let walk = Walk::record("backfill", || {
        // On a busy machine both rows may fall into one batch, and the run then lacks the calls between two batches.
        let mut runs = std::iter::repeat_with(record).take(MOST_RECORDINGS);
        runs.find(|(trace, _)| trace.count("write", "index.jsonl>") == SIZES.len())
            .expect("a run with two batches")
    });
    println!("{}", walk.walk(Least { points: 65, eio: 52, enospc: 12 }, survives));
}
