//! Tests that short uploads go before long ones at the disk, by the system calls of the real receiver.

use cis490_shared::ids::CommitHash;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::strace::Strace;
use integration_tests::upload::Upload;

const MIB: usize = 1 << 20;

#[test]
fn a_long_upload_is_synced_in_small_steps_only_while_short_ones_are_about() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let put = |receiver: &Receiver<'_>, id: &str, length: usize| {
        assert_eq!(Upload::new("lab-1", id, &commit, &vec![7; length]).put(receiver.url()).status, 201);
    };
    let strace = Strace::record(&sandbox, receiver.process().pid());
    put(&receiver, "alone", 9 * MIB);
    let alone = strace.detach().count("fdatasync", ".partial");
    put(&receiver, "short", 1000);
    let strace = Strace::record(&sandbox, receiver.process().pid());
    put(&receiver, "beside", 9 * MIB);
    let beside = strace.detach().count("fdatasync", ".partial");
    assert_eq!(alone, 1);
    // A read of the socket may reach beyond a step. The sync at the end and that of the commit come on top.
    assert!((6..=11).contains(&beside), "{beside} syncs");
    receiver.stop();
}
