//! Every move between the directories, and the state after a crash between two moves.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use cis490_shared::archive::{DONE_MARKER, REASON_NAME};
use cis490_shared::clock::WallTime;
use cis490_shared::durable::FileLock;
use cis490_shared::ids::EpisodeId;
use tempfile::TempDir;

use super::layout::{Dirs, DirsError};
use super::moves::MoveOut;
use super::outbox;
use super::quarantine::{MoveBack, Reason};
use super::scan::Scan;
use crate::answers::outcome::Refusal;

fn id(text: &str) -> EpisodeId {
    EpisodeId::parse(text).unwrap()
}

fn open() -> (TempDir, Dirs, FileLock) {
    let root = tempfile::tempdir().unwrap();
    let (dirs, lock) = Dirs::open(&root.path().join("data")).unwrap();
    (root, dirs, lock)
}

fn record(dirs: &Dirs, name: &str) {
    let dir = dirs.episodes().join(name);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("meta.json"), name).unwrap();
    fs::write(dir.join(DONE_MARKER), "").unwrap();
}

fn reason(name: &str) -> Reason {
    let refusal =
        Refusal { status: Some(412), error: "commit-not-in-window".to_owned(), ..Refusal::default() };
    Reason { episode_id: id(name), refusal, refused_at_wall: WallTime::now() }
}

impl Dirs {
    fn retire(&self, id: &EpisodeId) -> Result<(), DirsError> {
        self.put_away(&[MoveOut { id: id.clone(), refused: None }]).remove(0)
    }

    fn quarantine(&self, id: &EpisodeId, reason: &Reason) -> Result<(), DirsError> {
        self.put_away(&[MoveOut { id: id.clone(), refused: Some(reason.clone()) }]).remove(0)
    }
}

fn ready(scan: &Scan) -> Vec<&str> {
    scan.ready.iter().map(EpisodeId::as_str).collect()
}

#[test]
fn a_second_shipper_on_the_same_directory_is_refused() {
    let (root, _dirs, lock) = open();
    let error = Dirs::open(&root.path().join("data")).unwrap_err();
    assert!(error.to_string().contains("another shipper works on this data directory"), "{error}");
    drop(lock);
    Dirs::open(&root.path().join("data")).unwrap();
}

#[test]
fn a_look_counts_everything_and_finds_the_oldest_whatever_is_known_of_it() {
    let (_root, dirs, _lock) = open();
    for name in ["e3", "e1", "e2"] {
        record(&dirs, name);
    }
    fs::create_dir(dirs.episodes().join("e0")).unwrap();
    let oldest = |known: &[&str], limit| {
        let scan = dirs.scan(&known.iter().map(|name| id(name)).collect(), limit).unwrap();
        assert_eq!(scan.in_episodes, 4, "those that are known, left out or not finished are counted");
        let oldest = dirs.oldest_of(&scan).unwrap();
        assert!(oldest.since.is_some());
        oldest.episode_id
    };
    assert_eq!(
        (oldest(&[], 1), oldest(&["e1"], 1), oldest(&["e2"], 2)),
        ("e1".into(), "e1".into(), "e1".into())
    );
}

#[test]
fn a_look_says_whether_a_shipper_works_here() {
    let (root, dirs, lock) = open();
    assert!(dirs.are_in_use().unwrap());
    drop(lock);
    assert!(!dirs.are_in_use().unwrap());
    assert!(!Dirs::beside(&root.path().join("nothing")).are_in_use().unwrap());
}

#[test]
fn only_finished_directories_with_the_name_of_an_episode_are_ready() {
    let (_root, dirs, _lock) = open();
    for name in ["b", "a", "not.one"] {
        record(&dirs, name);
    }
    fs::create_dir(dirs.episodes().join("recording")).unwrap();
    fs::write(dirs.episodes().join("file"), "").unwrap();
    std::os::unix::fs::symlink(dirs.episodes().join("a"), dirs.episodes().join("link")).unwrap();
    let mut scan = dirs.scan(&BTreeSet::new(), 10).unwrap();
    assert_eq!((ready(&scan), scan.more), (vec!["a", "b"], false));
    scan.ignored.sort_by(|a, b| a.0.cmp(&b.0));
    let ignored: Vec<&str> = scan.ignored.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(ignored, ["file", "link", "not.one"]);
    let unshippable: Vec<&str> = scan.unshippable.first.iter().map(|one| one.name.as_str()).collect();
    assert_eq!((scan.unshippable.count, unshippable), (2, vec!["link", "not.one"]), "both are finished");
}

#[test]
fn a_scan_holds_the_oldest_names_and_no_more() {
    let (_root, dirs, _lock) = open();
    for n in 0..50 {
        record(&dirs, &format!("e{n:02}"));
    }
    let known = BTreeSet::from([id("e00"), id("e02")]);
    let scan = dirs.scan(&known, 3).unwrap();
    assert_eq!((ready(&scan), scan.more), (vec!["e01", "e03", "e04"], true));
    assert_eq!(dirs.scan(&known, 48).unwrap().ready.len(), 48);
    assert!(!dirs.scan(&known, 48).unwrap().more);
}

#[test]
fn a_shipped_episode_is_moved_whole_and_its_archive_goes() {
    let (root, dirs, _lock) = open();
    record(&dirs, "e1");
    fs::write(dirs.archive(&id("e1")), "zst").unwrap();
    dirs.retire(&id("e1")).unwrap();
    assert!(root.path().join("data/shipped/e1/meta.json").is_file());
    assert_eq!(fs::read_dir(dirs.outbox()).unwrap().count(), 0);
    assert!(!dirs.has_episode(&id("e1")).unwrap());
}

#[test]
fn episodes_that_leave_together_go_each_to_its_place_and_one_that_cannot_stops_no_other() {
    let (root, dirs, _lock) = open();
    for name in ["stored", "refused", "kept"] {
        record(&dirs, name);
        fs::write(dirs.archive(&id(name)), "zst").unwrap();
    }
    let leaving = |name, refused| MoveOut { id: id(name), refused };
    let done = dirs.put_away(&[
        leaving("stored", None),
        leaving("gone", None),
        leaving("gone-too", Some(reason("gone-too"))),
        leaving("refused", Some(reason("refused"))),
    ]);
    let done: Vec<bool> = done.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, false, true]);
    let data = root.path().join("data");
    assert!(data.join("shipped/stored/meta.json").is_file());
    assert!(data.join("quarantine/refused").join(REASON_NAME).is_file());
    assert!(dirs.has_episode(&id("kept")).unwrap() && dirs.archive(&id("kept")).is_file());
    assert_eq!(fs::read_dir(dirs.outbox()).unwrap().count(), 1);
}

#[test]
fn an_episode_that_was_kept_once_is_never_replaced() {
    let (root, dirs, _lock) = open();
    for _ in 0..3 {
        record(&dirs, "e1");
        dirs.retire(&id("e1")).unwrap();
        record(&dirs, "e1");
        dirs.quarantine(&id("e1"), &reason("e1")).unwrap();
    }
    for place in ["shipped", "quarantine"] {
        for name in ["e1", "e1.1", "e1.2"] {
            assert!(
                root.path().join("data").join(place).join(name).join("meta.json").is_file(),
                "{place}/{name}"
            );
        }
    }
}

#[test]
fn a_refused_episode_has_its_reason_beside_it() {
    let (_root, dirs, _lock) = open();
    record(&dirs, "e1");
    fs::write(dirs.archive(&id("e1")), "zst").unwrap();
    dirs.quarantine(&id("e1"), &reason("e1")).unwrap();
    let moved = dirs.quarantine_root().join("e1");
    let read: Reason = serde_json::from_slice(&fs::read(moved.join(REASON_NAME)).unwrap()).unwrap();
    assert_eq!(read.refusal, reason("e1").refusal);
    assert!(moved.join("meta.json").is_file() && moved.join(DONE_MARKER).is_file());
    assert_eq!(fs::read_dir(dirs.outbox()).unwrap().count(), 0);
}

#[test]
fn what_returns_is_whole_and_in_the_place_of_nothing() {
    let (root, dirs, _lock) = open();
    for name in ["e1", "e2", "e3"] {
        record(&dirs, name);
        dirs.quarantine(&id(name), &reason(name)).unwrap();
    }
    record(&dirs, "e2");
    let returning = |id_of: &str, name: &str| MoveBack { id: id(id_of), name: name.to_owned() };
    // As after a run that was killed during a release, and with a person beside the daemon.
    let marker = root.path().join("data/.returning");
    fs::write(&marker, "").unwrap();
    let beside = Dirs::beside(&root.path().join("data"));
    let done = beside.release(&[returning("e1", "e1"), returning("e2", "e2"), returning("e4", "e4")]);
    let done: Vec<bool> = done.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, false], "one of that id is recorded, and one is not there");
    assert_eq!(ready(&dirs.scan(&BTreeSet::new(), 10).unwrap()), ["e1", "e2"]);
    assert!(dirs.episode(&id("e1")).join(REASON_NAME).is_file(), "what it was refused for can still be read");
    assert!(!dirs.episode(&id("e2")).join(REASON_NAME).try_exists().unwrap());
    assert!(dirs.quarantine_root().join("e2/meta.json").is_file());
    assert!(!marker.try_exists().unwrap());
    dirs.quarantine(&id("e2"), &reason("e2")).unwrap();
    assert!(dirs.release(&[returning("e2", "e2.1")])[0].is_ok());
    assert!(dirs.has_episode(&id("e2")).unwrap());
}

#[test]
fn incident_06_a_crash_after_the_move_leaves_only_what_the_sweep_removes() {
    let (_root, dirs, _lock) = open();
    for name in ["moved", "waiting", "flying"] {
        record(&dirs, name);
        fs::write(dirs.archive(&id(name)), "zst").unwrap();
    }
    fs::write(dirs.partial(&id("torn")), "half").unwrap();
    fs::write(dirs.partial(&id("flying")), "half").unwrap();
    // The steps of `put_away`, up to the crash.
    cis490_shared::durable::move_noreplace(&dirs.episode(&id("moved")), &dirs.root.join("shipped/moved"))
        .unwrap();
    assert_eq!(outbox::sweep(&dirs, &BTreeSet::from([id("flying")])).unwrap(), 2);
    let mut left: Vec<String> = fs::read_dir(dirs.outbox())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["flying.tar.zst", "flying.tar.zst.partial", "waiting.tar.zst"]);
    assert_eq!(
        outbox::sweep(&dirs, &BTreeSet::from([id("flying")])).unwrap(),
        0,
        "a second sweep finds nothing"
    );
}

#[test]
fn directories_of_an_earlier_run_are_taken_as_they_are() {
    let (root, dirs, lock) = open();
    let mode =
        |name: &str| fs::metadata(root.path().join("data").join(name)).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(dirs.outbox(), fs::Permissions::from_mode(0o770)).unwrap();
    drop(lock);
    Dirs::open(&root.path().join("data")).unwrap();
    assert_eq!(mode("outbox"), 0o770);
}

#[test]
fn a_start_tries_the_moves_names_the_place_that_fails_and_leaves_nothing() {
    let (root, dirs, _lock) = open();
    let data = root.path().join("data");
    let left = || {
        ["episodes", "outbox", "shipped", "quarantine"]
            .iter()
            .filter(|place| data.join(place).join(".probe").try_exists().unwrap())
            .count()
    };
    fs::create_dir(data.join("shipped/.probe")).unwrap();
    assert!(dirs.probe_moves().unwrap().is_none());
    assert_eq!(left(), 0);
    fs::remove_dir(data.join("quarantine")).unwrap();
    let error = dirs.probe_moves().unwrap_err();
    assert!(
        error.to_string().contains("move a directory to `") && error.to_string().contains("/quarantine`")
    );
    assert_eq!((left(), error.is_about_permission()), (0, false));
}

#[test]
fn a_scan_takes_the_oldest_in_whatever_order_the_directory_lists_them() {
    let (_root, dirs, _lock) = open();
    let names: Vec<String> = (0..64).map(|n| format!("e{n:02}")).collect();
    // Neither the order of creation nor that of names is the order in which a directory is listed.
    names.iter().rev().for_each(|name| record(&dirs, name));
    let scan = dirs.scan(&BTreeSet::new(), 3).unwrap();
    assert_eq!(scan.ready, ["e00", "e01", "e02"].map(id).into());
    assert!(scan.more && scan.in_episodes == 64);
    let known = names[10..60].iter().map(|name| id(name)).collect();
    let scan = dirs.scan(&known, 64).unwrap();
    assert_eq!((scan.ready.len(), dirs.oldest_of(&scan).unwrap().episode_id.as_str()), (14, "e00"));
    for name in &names[..10] {
        fs::remove_dir_all(dirs.episodes().join(name)).unwrap();
    }
    let scan = dirs.scan(&known, 64).unwrap();
    assert_eq!(dirs.oldest_of(&scan).unwrap().episode_id, "e10");
}
