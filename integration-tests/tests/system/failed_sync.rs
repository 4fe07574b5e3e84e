//! Tests of the steps after a failed sync: the program treats its data as lost, and never syncs the same descriptor
//! again.
//!
//! A kernel may mark the pages of a failed write-back clean. Then the next sync of the descriptor succeeds, although
//! the data is not on the disk. The crash-point tests show that no failed sync is acknowledged.

use cis490_shared::ids::CommitHash;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run};
use integration_tests::shipper::LabHost;
use integration_tests::strace::{Fault, Strace, Trace};
use integration_tests::upload::Upload;

fn commit() -> CommitHash {
    CommitHash::parse(&"ab".repeat(20)).unwrap()
}

/// Returns the calls on the traced paths after the failed sync: name and arguments.
fn after_the_fault(trace: &Trace) -> Vec<(String, String)> {
    let calls = trace.lines().into_iter();
    let after = calls.skip_while(|(_, _, result)| !result.ends_with("(INJECTED)")).skip(1);
    after.map(|(name, arguments, _)| (name, arguments)).collect()
}

#[test]
fn an_index_whose_sync_failed_is_opened_anew_before_it_is_written_and_synced_again() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let (index, pid) = (receiver.index(), receiver.process().pid());
    let put = |receiver: &Receiver<'_>| {
        Upload::new("lab-1", "E1", &commit(), b"an archive").put(receiver.url()).status
    };
    let strace = Strace::inject_on(&sandbox, pid, &index, ("fdatasync", 1), Fault::Eio);
    assert_eq!([put(&receiver), put(&receiver)], [500, 200]);
    let calls = after_the_fault(&strace.detach());
    let first = |name: &str| calls.iter().position(|(call, _)| call == name);
    let (opened, written, synced) = (first("openat"), first("write"), first("fdatasync"));
    assert!(opened.is_some() && opened < written && written < synced, "{calls:?}");
    assert_eq!(receiver.rows().len(), 1);
    receiver.stop();
}

/// Maximum number of attempts: more than the blocking pool has threads after this few uploads.
const TRIES: usize = 20;

#[test]
fn a_hosts_directory_whose_sync_failed_is_synced_before_its_next_upload_counts() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let (episodes, pid) = (receiver.state().join("episodes"), receiver.process().pid());
    let put = || Upload::new("lab-1", "E1", &commit(), b"an archive").put(receiver.url()).status;
    let strace = Strace::inject_on(&sandbox, pid, &episodes, ("fsync", 1), Fault::Eio);
    assert_eq!(put(), 500);
    // Each thread that makes this call meets the fault once.
    assert!((0..TRIES).any(|_| put() == 201), "it is never stored");
    let calls = strace.detach().lines();
    assert!(calls.iter().any(|(name, _, result)| name == "fsync" && result == "0"), "{calls:?}");
    receiver.stop();
}

#[test]
fn an_episode_leaves_for_good_only_when_the_place_where_another_went_is_on_the_disk() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    // One episode is refused for its empty meta.json, and the other is shipped after it.
    let [refused, good] = [1, 2].map(|seed| Recording::new(seed, &commit(), 20_000));
    let recorded = refused.write_to(&sandbox.dir("recorded"));
    std::fs::write(recorded.join("meta.json"), "").unwrap();

    let daemon = lab_host.start();
    let quarantine = lab_host.data().join("quarantine");
    // Both destinations are synced before the first move of a run, so the second sync is that of the move itself.
    let strace = Strace::inject_on(&sandbox, daemon.pid(), &quarantine, ("fsync", 2), Fault::Eio);
    run(sandbox.command("mv").arg(&recorded).arg(lab_host.episodes()));
    lab_host.wait_for("quarantine", 1);
    good.write_to(&lab_host.episodes());
    lab_host.wait_for("shipped", 1);
    let calls = after_the_fault(&strace.detach());
    assert!(calls.iter().any(|(name, _)| name == "fsync"), "quarantine/ was left in doubt: {calls:?}");
    daemon.stop();
    receiver.stop();
}
