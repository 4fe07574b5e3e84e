//! Tests that `shipped/` makes room on a small real file system. The oldest episodes are deleted until enough is free,
//! and no more. If none is left, a person gets a warning, and a message when it is over. Mounting needs root, as in
//! `disk_full.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::{Daemon, LabHost};
use integration_tests::small_disk::SmallDisk;
use integration_tests::until::{PATIENCE, wait_until};

const MIB: u64 = 1 << 20;
const DISK: u64 = 100 * MIB;
/// Share of the disk that must be free, in percent: more than the shipped episodes leave.
const FREE_PERCENT: u64 = 60;
const EPISODES: usize = 70;

/// Puts an episode of a MiB into `shipped/`; later ones are younger.
fn keep(lab_host: &LabHost<'_>, number: usize) {
    let dir = lab_host.data().join("shipped").join(name(number));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("network.pcap"), vec![7; 1 << 20]).unwrap();
    // The clock of a file system ticks only a few hundred times a second.
    let since = |path: &Path| fs::metadata(path).map(|data| (data.ctime(), data.ctime_nsec())).unwrap();
    let (put, probe) = (since(&dir), lab_host.data().join("probe"));
    while {
        fs::write(&probe, "").unwrap();
        since(&probe) <= put
    } {}
}

/// Returns a name that sorts the youngest episode first.
fn name(number: usize) -> String {
    format!("e{:03}", EPISODES - number)
}

fn wait_for(daemon: &Daemon, message: &str) {
    wait_until(message, PATIENCE, || daemon.log().contains(message).then_some(()));
}

fn makes_room(make: fn(&Sandbox, &Path, u64) -> SmallDisk) {
    let sandbox = Sandbox::new();
    let data = sandbox.dir("small-data");
    let disk = make(&sandbox, &data, DISK);
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::on(&sandbox, "lab-1", receiver.url(), data);
    let retention = format!("[retention]\nfree_percent = {FREE_PERCENT}");
    lab_host.configure(receiver.url(), &format!("scan_interval_s = 3600\n{retention}"));
    fs::create_dir_all(lab_host.episodes().join("recording")).unwrap();
    for number in 0..EPISODES {
        keep(&lab_host, number);
    }
    let total = rustix::fs::statvfs(lab_host.data()).map(|found| found.f_blocks * found.f_frsize).unwrap();
    let wanted = total / 100 * FREE_PERCENT;
    assert!(disk.free() < wanted, "it is short: {} of {total}", disk.free());

    let daemon = lab_host.start();
    wait_for(&daemon, "shipped episodes deleted, oldest first");
    let left = lab_host.names("shipped");
    // The daemon needs a block or two for its status meanwhile.
    assert!(disk.free() + MIB / 16 >= wanted, "{} of {total} are free", disk.free());
    // An episode takes its MiB, and a block or two for its directory.
    assert!(disk.free() < wanted + 2 * MIB, "no more went than had to: {} of {total} are free", disk.free());
    let mut youngest: Vec<String> = (EPISODES - left.len()..EPISODES).map(name).collect();
    youngest.sort();
    assert_eq!(left, youngest, "the oldest went");
    assert!(!daemon.log().contains("of the data directory"), "nobody needs to hear of it\n{}", daemon.log());

    // Another program takes all but a tenth: all shipped episodes are deleted, which is not enough.
    disk.fill_but(total / 10);
    let full = "the disk of the data directory is nearly full";
    wait_for(&daemon, full);
    assert_eq!(lab_host.names("shipped"), [""; 0]);
    assert_eq!(lab_host.names("episodes"), ["recording"], "what is not acknowledged is never deleted");
    let log = daemon.log();
    let said = log.lines().find(|line| line.contains(full)).unwrap();
    for field in ["WARN", "free_percent=", "free_bytes=", "episodes=1", "shipped=0", "du -xh"] {
        assert!(said.contains(field), "{field} is not in {said}");
    }

    disk.clear();
    wait_for(&daemon, "the disk of the data directory has room again");
    assert_eq!(daemon.log().matches(full).count(), 1);
    daemon.stop();
    receiver.stop();
}

#[test]
fn the_oldest_shipped_episodes_make_room_on_a_memory_file_system() {
    makes_room(SmallDisk::in_memory);
}

#[test]
fn the_oldest_shipped_episodes_make_room_on_an_ext4() {
    makes_room(SmallDisk::ext4);
}
