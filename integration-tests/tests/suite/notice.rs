//! Tests that an episode is shipped when it is finished, not when the next scan is due.
//!
//! The scan interval is an hour here. A start scans `episodes/` once, and again if it finds a finished episode while it
//! begins to watch. So a scan cannot have found all of several episodes that are recorded one after the other.

use std::fs;
use std::path::Path;

use cis490_shared::durable;
use cis490_shared::ids::CommitHash;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::until::{PATIENCE, wait_until};

fn recording(seed: u64) -> Recording {
    Recording::new(seed, &CommitHash::parse(&"ab".repeat(20)).unwrap(), 40_000)
}

/// Returns the number of directories that a process watches; 0 before it has begun to.
fn watches(pid: u32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = descriptors.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.map(|text| text.matches("inotify wd:").count()).sum()
}

/// Removes the marker, so that the recording is not finished. Returns a function that restores it.
fn unfinished(dir: &Path) -> impl Fn() {
    let marker = dir.join("done.marker");
    fs::remove_file(&marker).unwrap();
    move || fs::write(&marker, "").unwrap()
}

#[test]
fn what_is_finished_is_shipped_at_once_though_no_scan_is_due_for_an_hour() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    lab_host.configure(receiver.url(), "scan_interval_s = 3600");
    recording(1).write_to(&lab_host.episodes());
    // A recording that was in progress when the shipper was restarted.
    let before = lab_host.episodes().join(recording(2).id().as_str());
    let finish = {
        recording(2).write_to(&lab_host.episodes());
        unfinished(&before)
    };
    let daemon = lab_host.start();
    lab_host.wait_for("shipped", 1);
    wait_until("it watches episodes/ and the recording", PATIENCE, || {
        (watches(daemon.pid()) == 2).then_some(())
    });

    finish();
    lab_host.wait_for("shipped", 2);
    for seed in 3..=7 {
        recording(seed).write_to(&lab_host.episodes());
        lab_host.wait_for("shipped", usize::try_from(seed).unwrap());
    }
    // The episode arrives with its marker, as if an operator had released it from quarantine.
    let elsewhere = lab_host.data().join("quarantine");
    let moved = recording(8).write_to(&elsewhere);
    durable::rename_noreplace(&moved, &lab_host.episodes().join(recording(8).id().as_str())).unwrap();
    lab_host.wait_for("shipped", 8);

    assert_eq!(receiver.rows().len(), 8);
    // Episodes that have left are no longer watched; the kernel is told after the episode is shipped.
    wait_until("only episodes/ is watched", PATIENCE, || (watches(daemon.pid()) == 1).then_some(()));
    let log = daemon.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    daemon.stop();
    receiver.stop();
}

#[test]
fn episodes_that_goes_away_is_told_once_and_the_shipper_goes_on() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let daemon = lab_host.start();
    wait_until("it watches episodes/", PATIENCE, || (watches(daemon.pid()) == 1).then_some(()));
    let aside = lab_host.data().join("aside");
    durable::rename_noreplace(&lab_host.episodes(), &aside).unwrap();
    wait_until("it says so", PATIENCE, || {
        daemon.log().contains("cannot watch episodes/, relying on the scan").then_some(())
    });
    durable::rename_noreplace(&aside, &lab_host.episodes()).unwrap();
    // The scan, every second here, finds the episode now.
    recording(1).write_to(&lab_host.episodes());
    lab_host.wait_for("shipped", 1);
    assert_eq!(daemon.log().matches("cannot watch episodes/, relying on the scan").count(), 1);
    daemon.stop();
    receiver.stop();
}
