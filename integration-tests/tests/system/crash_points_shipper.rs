//! Tests of one pass of the shipper with a fault at every system call: a kill, an I/O error or a full disk.
//!
//! After every fault the episode is in exactly one of `episodes/` and `shipped/`, and in the latter only if the
//! receiver has it (I6). The next pass ships it, once and whole, and leaves nothing in the outbox (I4). A disk error is
//! never held against the episode, so nothing is quarantined. In the end `cis490-verify` reports nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{assert_holds, sha256_of_file};
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::strace::{Fired, Least, Names, Shot, Traced, Walk};
use integration_tests::verify;

/// Number of the next host. Every pass has its own host, so that a single receiver can distinguish all passes.
static HOSTS: AtomicUsize = AtomicUsize::new(1);

fn recording() -> Recording {
    Recording::new(7, &CommitHash::parse(&"ab".repeat(20)).expect("a commit"), 40_000)
}

/// Creates a lab host with one finished episode, in a sandbox of its own. The receiver distinguishes the hosts by name.
fn ready_host<'a>(sandbox: &'a Sandbox, receiver: &Receiver<'_>) -> (LabHost<'a>, Names) {
    let name = format!("lab-{}", HOSTS.fetch_add(1, Ordering::Relaxed));
    let lab_host = LabHost::new(sandbox, &name, receiver.url());
    recording().write_to(&lab_host.episodes());
    (lab_host, Names::of(sandbox.path()).with(&name, "HOST"))
}

/// Returns the number of rows of a host; no host has two episodes here.
fn rows_of(receiver: &Receiver<'_>, host: &str) -> usize {
    receiver.rows().iter().filter(|row| row.host_id.as_str() == host).count()
}

/// Runs one pass with one fault and one without, and checks everything that must hold after each.
fn survives(receiver: &Receiver<'_>, point: &Shot) -> Fired {
    let sandbox = Sandbox::new();
    let (lab_host, names) = ready_host(&sandbox, receiver);
    let (id, host) = (recording().id().to_string(), lab_host.host());
    // A start tests its moves with this directory, which is not an episode; the next start removes it.
    let here = |directory: &str| lab_host.names(directory).iter().filter(|name| *name != ".probe").count();

    let failed = Traced::shoot(&sandbox, &lab_host.command(&["--once"]), point, &names);
    let (log, fired) = (&failed.log, point.fired(&failed.trace, &names));
    let claims_success = failed.code == Some(0);
    assert!(!claims_success || !fired.at_a_sync(), "{point}: a failed sync is a success\n{log}");
    assert_eq!(here("episodes") + here("shipped"), 1, "{point}: the episode is in exactly one place\n{log}");
    assert_eq!(here("quarantine"), 0, "{point}: a fault of the disk is not the episode's\n{log}");
    if here("shipped") == 1 {
        assert_eq!(rows_of(receiver, host), 1, "{point}: put away and not stored\n{log}");
    }

    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{point}: the next pass\n{}", pass.log);
    assert_eq!(lab_host.names("shipped"), [id.as_str()], "{point}\n{}", pass.log);
    for directory in ["episodes", "outbox", "quarantine"] {
        assert_eq!(lab_host.names(directory), [""; 0], "{point}: left in {directory}/\n{}", pass.log);
    }
    let archive = receiver.archive(host, &id);
    assert_holds(&archive, &lab_host.data().join("shipped").join(&id));
    let rows = receiver.rows();
    let ours: Vec<_> = rows.iter().filter(|row| row.host_id.as_str() == host).collect();
    assert_eq!(ours.len(), 1, "{point}: rows");
    assert_eq!(ours[0].sha256, sha256_of_file(&archive), "{point}: the hash in the row");
    fired
}

#[test]
fn a_pass_survives_every_fault_at_every_one_of_its_system_calls() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let walk = Walk::record("pass of the shipper", || {
        let sandbox = Sandbox::new();
        let (lab_host, names) = ready_host(&sandbox, &receiver);
        let pass = Traced::record(&sandbox, &lab_host.command(&["--once"]));
        assert_eq!(pass.code, Some(0), "{}", pass.log);
        (pass.trace, names)
    });
    println!(
        "{}",
        walk.walk(Least { points: 130, eio: 100, enospc: 18 }, |point| survives(&receiver, point))
    );
    verify::assert_clean(&sandbox, &receiver.state().join("episodes"), &"after all faults");
    receiver.stop();
}
