//! Tests of a loss of power while a backfill writes rows for archives without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{pack, sha256_of};
use integration_tests::binaries;
use integration_tests::episodes::Recording;
use integration_tests::forgetful::{ForgetfulDisk, Tree};
use integration_tests::process::Process;
use integration_tests::sandbox::Sandbox;

use crate::power_loss::{Found, assert_in_order, rows_in, walk};

/// The host's directory, relative to the top of the disk.
const SHELF: &str = "episodes/lab-1";

/// The earlier content of the index: a row of an older program, with spaces, whose archive is long gone.
const OLD: &[u8] = b"{\"host_id\": \"lab-0\", \"episode_id\": \"E0\", \"note\": \"kept as it is\"}\n";

/// Creates a store with three archives and no row for any of them. Returns the store, and the archives by their
/// episodes.
fn shelf(sandbox: &Sandbox) -> (Tree, BTreeMap<String, Vec<u8>>) {
    let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
    let (top, recorded) = (sandbox.dir("store"), sandbox.dir("recorded"));
    fs::create_dir_all(top.join(SHELF)).expect("in the sandbox");
    fs::write(top.join("index.jsonl"), OLD).expect("in the sandbox");
    let archive = |seed| {
        let recording = Recording::new(seed, &commit, 10_000);
        (recording.id().to_string(), pack(&recording.write_to(&recorded)))
    };
    let archives: BTreeMap<String, Vec<u8>> = (1..=3).map(archive).collect();
    for (id, bytes) in &archives {
        fs::write(top.join(SHELF).join(format!("{id}.tar.zst")), bytes).expect("in the sandbox");
    }
    (Tree::read_from(&top), archives)
}

/// Runs a backfill to its end and returns its output.
fn backfill(sandbox: &Sandbox, top: &Path, point: &str) -> String {
    let mut command = sandbox.command(binaries::path("cis490-index-backfill"));
    command.arg("--episodes-root").arg(top.join("episodes"));
    let mut process = Process::start(sandbox, "backfill", command);
    let status = process.wait();
    assert_eq!(status.code(), Some(0), "{point}\n{}", process.log());
    process.log()
}

/// Fails unless the earlier content is unchanged. Returns the episodes of the rows that were added, sorted.
fn check(tree: &Tree, archives: &BTreeMap<String, Vec<u8>>, point: &str) -> Vec<String> {
    for (id, bytes) in archives {
        let archive = tree.file(Path::new(SHELF).join(format!("{id}.tar.zst")));
        assert!(archive == Some(bytes), "{point}: the archive of {id} has changed");
    }
    let index = tree.file("index.jsonl").unwrap_or_default();
    assert!(index.starts_with(OLD), "{point}: what the index held before has changed");
    let (rows, torn) = rows_in(&index[OLD.len()..]);
    assert!(torn <= 1, "{point}: {torn} lines are no rows");
    for row in &rows {
        assert_eq!(row.sha256, sha256_of(&archives[row.episode_id.as_str()]), "{point}: the hash in a row");
    }
    let mut ids: Vec<String> = rows.iter().map(|row| row.episode_id.to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn a_backfill_survives_a_loss_of_power_after_any_of_its_operations() {
    let sandbox = Sandbox::new();
    let (before, archives) = shelf(&sandbox);
    let all: Vec<String> = archives.keys().cloned().collect();
    let disk = ForgetfulDisk::mount(&sandbox, &before);
    backfill(&sandbox, disk.path(), "recorded");

    let history = disk.history();
    let end = OLD.len();
    // The minimum: all rows in one write. There are up to three writes, if the hashes finish one after the other.
    walk("backfill", &history, 0, (8, 5), |Found { tree, position, point }| {
        let found = check(tree, &archives, point);
        assert!(*position < history.len() || found == all, "{point}: it has claimed success");
        let sandbox = Sandbox::new();
        let top = sandbox.path().join("disk");
        tree.write_to(&top);
        backfill(&sandbox, &top, point);
        let after = Tree::read_from(&top);
        assert_eq!(check(&after, &archives, point), all, "{point}: rows");
        let said = backfill(&sandbox, &top, point);
        assert!(
            said.contains("to-backfill: 0") && Tree::read_from(&top) == after,
            "{point}: once more\n{said}"
        );
    });
    assert_in_order(
        &history,
        &[
            ("sync directory episodes/lab-1", ""),
            (&format!("write index.jsonl {end}.."), ""),
            ("sync file index.jsonl", ""),
        ],
    );
}
