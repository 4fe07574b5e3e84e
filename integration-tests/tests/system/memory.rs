//! Tests that memory is flat: it does not depend on the size of an episode (invariant I8).
//!
//! An episode of many times the limit passes through both programs, and the kernel reports their maximum memory.

use integration_tests::clone::GitClone;
use integration_tests::depth::Depth;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::until::{PATIENCE, wait_until};

/// Limit of a process. Sixteen processes of this size fit into the smallest collector, a Raspberry Pi with one GiB.
const LIMIT_KIB: u64 = 64 * 1024;

/// Returns the size of the episode in bytes, which is also that of its archive. It is four times the limit, and many
/// times that for a night.
fn episode_bytes() -> u64 {
    Depth::chosen().pick(256 << 20, 256 << 20, 4 << 30)
}

#[test]
fn an_episode_of_many_times_that_size_passes_through_both_programs_in_64_mib_each() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 1);
    let receiver = Receiver::start(&sandbox, Options::gated(clone.path()));
    let size = episode_bytes();
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    // A capture does not compress, so the upload is as large as the recording.
    let recording = Recording { capture_percent: 100, ..Recording::new(1, &commits[0], size) };
    recording.write_to(&lab_host.episodes());

    let daemon = lab_host.start();
    let arrived = wait_until("the episode is shipped", 5 * PATIENCE, || lab_host.names("shipped").pop());
    assert_eq!(arrived, recording.id().as_str());
    let (receiver_kib, shipper_kib) = (receiver.peak_rss_kib(), daemon.peak_rss_kib());
    daemon.stop();
    let [row] = receiver.rows().try_into().unwrap();
    assert!(row.size_bytes > size / 100 * 99, "{row:?}");
    println!("peak resident set: receiver {receiver_kib} KiB, shipper {shipper_kib} KiB");
    assert!(receiver_kib < LIMIT_KIB, "the receiver held {receiver_kib} KiB");
    assert!(shipper_kib < LIMIT_KIB, "the shipper held {shipper_kib} KiB");
}
