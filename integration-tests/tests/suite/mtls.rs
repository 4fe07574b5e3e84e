//! Tests of TLS with certificates on both sides between the real programs, which keep running while the authority
//! changes.

use std::fs;
use std::path::Path;

use cis490_shared::ids::CommitHash;
use integration_tests::certificates::{Authority, Certificate};
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::until::{PATIENCE, wait_until};
use rustix::process::Signal;

/// Replaces a file in one step, as a careful maintainer does.
fn replace(path: &Path, with: &Path) {
    let temp = path.with_extension("new");
    fs::copy(with, &temp).unwrap();
    #[expect(clippy::disallowed_methods, reason = "nothing here need survive")]
    fs::rename(temp, path).unwrap();
}

fn replace_both(old: &Certificate, new: &Certificate) {
    replace(&old.cert, &new.cert);
    replace(&old.key, &new.key);
}

#[test]
fn a_change_of_authority_loses_no_episode_and_needs_no_restart() {
    let sandbox = Sandbox::new();
    let (first, second) = (Authority::new(sandbox.dir("first")), Authority::new(sandbox.dir("second")));
    let (collector, host) = (first.server("127.0.0.1"), first.host("lab-1"));
    let (trusted, believed) = (sandbox.path().join("trusted.pem"), sandbox.path().join("believed.pem"));
    fs::copy(first.ca(), &trusted).unwrap();
    fs::copy(first.ca(), &believed).unwrap();
    let server = format!(
        "tls = {{ cert_file = {:?}, key_file = {:?} }}\n[auth]\nclient_ca_file = {believed:?}\n",
        collector.cert, collector.key,
    );
    let mut receiver = Receiver::start(&sandbox, Options { server, ..Options::open() });
    assert!(receiver.url().starts_with("https://127.0.0.1:"), "{}", receiver.url());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let tls = format!(
        "ca_file = {trusted:?}\nclient_cert_file = {:?}\nclient_key_file = {:?}",
        host.cert, host.key
    );
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let record = |seed| drop(Recording::new(seed, &commit, 20_000).write_to(&lab_host.episodes()));

    // A host without a certificate is told what it lacks, and keeps its episode.
    lab_host.configure_with(receiver.url(), &format!("ca_file = {trusted:?}"), "");
    record(1);
    let run = lab_host.once();
    assert_eq!(run.code, Some(75), "{}", run.log);
    assert!(run.log.contains("receiver.client_cert_file"), "{}", run.log);

    lab_host.configure_with(receiver.url(), &tls, "");
    assert_eq!(lab_host.run(&["--ping"]).code, Some(0));
    let mut daemon = lab_host.start();
    lab_host.wait_for("shipped", 1);

    // The receiver trusts another authority, of which hosts have no certificate yet.
    replace(&believed, &second.ca());
    receiver.process().signal(Signal::HUP);
    wait_until("it is in force", PATIENCE, || receiver.log().contains("in force").then_some(()));
    record(2);
    wait_until("the host is told", PATIENCE, || {
        daemon.log().contains("rejected this host's certificate").then_some(())
    });
    assert_eq!((lab_host.names("shipped").len(), lab_host.names("quarantine").len()), (1, 0));
    // The host gets its new certificate, and then the receiver.
    replace_both(&host, &second.host("lab-1"));
    daemon.signal(Signal::HUP);
    lab_host.wait_for("shipped", 2);
    replace(&trusted, &second.ca());
    replace_both(&collector, &second.server("127.0.0.1"));
    record(3);
    lab_host.wait_for("shipped", 3);

    daemon.stop();
    assert_eq!(receiver.rows().len(), 3);
    receiver.stop();
}
