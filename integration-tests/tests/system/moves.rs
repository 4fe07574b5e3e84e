//! Tests of a data directory on a file system with limited renames. Either it has no `RENAME_NOREPLACE`, as on NFS, 9p
//! and many of FUSE, or no directory can be renamed to another directory. Episodes are put away, set aside and released
//! there as anywhere else, and nothing is replaced.

use std::fs;
use std::os::unix::fs::chown;

use cis490_shared::ids::CommitHash;
use integration_tests::clone::GitClone;
use integration_tests::episodes::Recording;
use integration_tests::forgetful::{ForgetfulDisk, Tree};
use integration_tests::mounts::Mount;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use rustix::io::Errno;

#[test]
fn episodes_are_moved_where_a_rename_cannot_be_told_to_replace_nothing() {
    let log = moves_on(ForgetfulDisk::mount_without_noreplace);
    assert!(!log.contains("copying episodes"), "{log}");
}

#[test]
fn episodes_are_moved_where_a_directory_cannot_be_renamed() {
    let log = moves_on(ForgetfulDisk::mount_where_directories_stay);
    assert_eq!(log.matches("copying episodes instead").count(), 1, "{log}");
}

/// Puts an episode away, sets one aside and releases it. Returns the log of the first pass.
fn moves_on(mount: fn(&Sandbox, &Tree) -> ForgetfulDisk) -> String {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 1);
    let elsewhere = clone.clone_to("elsewhere");
    let late = elsewhere.commit("recorded with, and not pushed");
    let receiver = Receiver::start(&sandbox, Options::gated(clone.path()));
    let disk = mount(&sandbox, &Tree::default());
    let lab_host = LabHost::on(&sandbox, "lab-1", receiver.url(), disk.path().join("data"));
    let [good, refused] = [(1, &commits[0]), (2, &late)].map(|(seed, commit)| {
        let recording = Recording::new(seed, commit, 20_000);
        recording.write_to(&lab_host.episodes());
        recording.id().to_string()
    });
    let pass = lab_host.once();
    assert_eq!(pass.code, Some(65), "{}", pass.log);
    assert_eq!(
        (lab_host.names("shipped"), lab_host.names("quarantine")),
        (vec![good], vec![refused.clone()])
    );
    assert!(lab_host.names("episodes").is_empty() && lab_host.names("outbox").is_empty(), "{}", pass.log);

    // An entry in the way of a return is not replaced, even if it is an empty directory.
    fs::create_dir(lab_host.episodes().join(&refused)).unwrap();
    elsewhere.push();
    let release = lab_host.run(&["quarantine", "release", &refused]);
    assert_ne!(release.code, Some(0), "{}", release.log);
    assert_eq!(lab_host.names("quarantine"), [refused.as_str()]);
    fs::remove_dir(lab_host.episodes().join(&refused)).unwrap();
    let release = lab_host.run(&["quarantine", "release", &refused]);
    assert_eq!(release.code, Some(0), "{}", release.log);
    assert_eq!(lab_host.names("episodes"), [refused.as_str()]);
    drop(lab_host);
    drop(receiver);
    drop(disk);
    pass.log
}

/// Records an episode, lets `mount` change its data directory, and runs one pass, which the receiver accepts. Returns
/// the log of the pass.
fn pass_on<'a>(sandbox: &'a Sandbox, mount: impl FnOnce(&'a Sandbox, &LabHost<'a>) -> Vec<Mount>) -> String {
    let receiver = Receiver::start(sandbox, Options::open());
    let lab_host = LabHost::new(sandbox, "lab-1", receiver.url());
    let recording = Recording {
        commit: None,
        ..Recording::new(1, &CommitHash::parse(&"ab".repeat(20)).unwrap(), 20_000)
    };
    let recorded = recording.write_to(&lab_host.episodes());
    let names = |dir: &std::path::Path| integration_tests::shipper::names(dir);
    let before = names(&recorded);
    let mounts = mount(sandbox, &lab_host);
    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{}", pass.log);
    let id = recording.id().to_string();
    assert_eq!(
        (lab_host.names("episodes"), lab_host.names("shipped")),
        (vec![], vec![id.clone()]),
        "{}",
        pass.log
    );
    assert_eq!(names(&lab_host.data().join("shipped").join(&id)), before, "{}", pass.log);
    assert_eq!(receiver.rows().len(), 1);
    drop(mounts);
    pass.log
}

#[test]
fn an_episode_of_the_lower_layer_of_an_overlay_is_put_away() {
    let sandbox = Sandbox::new();
    let log = pass_on(&sandbox, |sandbox, lab_host| {
        // The layers are in memory, because the sandbox itself may be an overlay, which cannot hold them.
        let [lower, layers] = ["lower", "layers"].map(|name| sandbox.dir(name));
        let memory = Mount::new(sandbox, &["-t", "tmpfs", "tmpfs"], &layers);
        let below = Mount::bind(sandbox, lab_host.data(), &lower);
        fs::create_dir(lab_host.data().join("probe")).unwrap();
        let overlay = Mount::overlay(sandbox, &lower, &layers, lab_host.data());
        let [from, to] = ["probe", "renamed"].map(|name| lab_host.data().join(name));
        assert_eq!(rustix::fs::rename(from, to), Err(Errno::XDEV), "nothing would be proved");
        vec![overlay, below, memory]
    });
    assert!(!log.contains("episodes cannot be moved"), "{log}");
}

#[test]
fn an_episode_is_put_away_to_another_mount_and_the_start_says_so() {
    let sandbox = Sandbox::new();
    let log = pass_on(&sandbox, |sandbox, lab_host| {
        let shipped = lab_host.data().join("shipped");
        fs::create_dir_all(&shipped).unwrap();
        vec![Mount::bind(sandbox, &sandbox.dir("elsewhere"), &shipped)]
    });
    assert_eq!(log.matches("copying episodes instead").count(), 1, "{log}");
}

#[test]
fn a_shipper_that_may_not_move_says_so_at_its_start_or_holds_and_goes_on_once_it_may() {
    const USER: u32 = 65_534;
    let sandbox = Sandbox::new();
    let receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url()).run_by(USER);
    let give = |path: &std::path::Path, user| chown(path, Some(user), Some(user)).unwrap();
    let help = "or run the recorder as that user";

    // If the shipper may not create anything, it does not begin.
    give(&lab_host.episodes(), 0);
    let start = lab_host.once();
    assert_eq!(start.code, Some(1), "{}", start.log);
    assert!(start.log.contains("Permission denied") && start.log.contains(help), "{}", start.log);
    give(&lab_host.episodes(), USER);

    // The recorder runs as another user, who owns its directories.
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let recorded =
        Recording { commit: None, ..Recording::new(1, &commit, 20_000) }.write_to(&lab_host.episodes());
    let pass = lab_host.once();
    assert_ne!(pass.code, Some(0), "{}", pass.log);
    assert!(pass.log.contains("Permission denied") && pass.log.contains(help), "{}", pass.log);
    assert_eq!((receiver.rows().len(), lab_host.names("shipped").len()), (1, 0), "{}", pass.log);
    give(&recorded, USER);
    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{}", pass.log);
    assert_eq!((receiver.rows().len(), lab_host.names("shipped").len()), (1, 1), "{}", pass.log);
}
