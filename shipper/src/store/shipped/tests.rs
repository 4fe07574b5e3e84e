//! Retention in real directories. A test on a small file system of its own shows that deletion ends when there is room:
//! `integration-tests/tests/system/shipped_room.rs`. Here a share of 100 percent stands for a disk that is always short
//! of room.

use cis490_shared::clock::system_time;
use cis490_shared::durable;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;

const DAY: Duration = Duration::from_hours(24);
static GO_ON: AtomicBool = AtomicBool::new(false);
/// More than any disk has free.
const ALWAYS_SHORT: Rules = Rules { keep: None, free_percent: 100 };

/// Returns a data directory with these episodes in `shipped/`, put there one after the other.
fn shipped(names: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for place in ["shipped", "episodes"] {
        fs::create_dir(root.path().join(place)).unwrap();
    }
    for name in names {
        ship(root.path(), name);
    }
    root
}

/// Puts an episode there, later than all others by the clock of the file system.
fn ship(root: &Path, name: &str) {
    let (from, to) = (root.join("episodes").join(name), root.join("shipped").join(name));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("network.pcap"), vec![7; 10_000]).unwrap();
    durable::rename_noreplace(&from, &to).unwrap();
    let since = |path: &Path| fs::metadata(path).map(|data| (data.ctime(), data.ctime_nsec())).unwrap();
    let put = since(&to);
    // That clock ticks a few hundred times a second.
    let probe = root.join("probe");
    while {
        fs::write(&probe, "").unwrap();
        since(&probe) <= put
    } {}
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("shipped")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns the running time `days` days and an hour after a walk that found the present files.
fn in_days(days: u32) -> Lived {
    let (mut lived, now, wall) = (Lived::of(Path::new("/nowhere")), Instant::now(), system_time());
    let hour = Duration::from_hours(1);
    lived.go_on(now, wall + hour);
    lived.go_on(now + DAY * days + hour, wall + DAY * days + hour);
    lived
}

const FOR_ROOM_ALONE: Option<Lived> = None;

#[test]
fn what_was_put_there_long_ago_goes_and_the_age_counts_from_that_moment() {
    let root = shipped(&["e1", "e2"]);
    let rules = Rules { keep: Some(30 * DAY), free_percent: 0 };
    let round = |age| super::round(root.path(), rules, age, &GO_ON).unwrap();
    assert_eq!(round(Some(in_days(29))).for_age, 0);
    assert_eq!(round(FOR_ROOM_ALONE).for_age, 0, "it was not asked for");
    // The recording itself may have any age.
    let file = fs::File::open(root.path().join("shipped/e1/network.pcap")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(round(Some(in_days(29))).for_age, 0);
    let last = round(Some(in_days(31)));
    assert_eq!((last.for_age, last.for_space, last.more), (2, 0, false));
    assert!((20_000..100_000).contains(&last.freed.bytes) && last.freed.inodes == 4, "{last:?}");
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_clock_that_jumps_deletes_nothing_by_age() {
    let root = shipped(&["e1"]);
    let rules = Rules { keep: Some(DAY), free_percent: 0 };
    for wall in [SystemTime::UNIX_EPOCH, system_time() + 20_000 * DAY] {
        let (mut lived, now) = (Lived::of(Path::new("/nowhere")), Instant::now());
        lived.go_on(now, system_time());
        lived.go_on(now + Duration::from_hours(1), wall);
        let age = Some(lived);
        assert_eq!(round(root.path(), rules, age, &GO_ON).unwrap().for_age, 0);
    }
}

#[test]
fn for_room_the_oldest_go_first_a_bounded_number_in_a_round() {
    // The order by name is not the order by age, and the number behind a name is a copy.
    let root = shipped(&["e5", "e1", "e4.1", "e2", "e3"]);
    let round = || round_of(2, root.path(), ALWAYS_SHORT, FOR_ROOM_ALONE, &GO_ON).unwrap();
    let first = round();
    assert_eq!((first.for_space, first.for_age, first.more, first.room_is_made), (2, 0, true, true));
    assert_eq!(names(root.path()), ["e2", "e3", "e4.1"]);
    assert!(round().more);
    assert_eq!(names(root.path()), ["e3"]);
    let last = round();
    assert_eq!((last.for_space, last.more, last.room_is_made), (1, false, false), "and it is still short");
    let idle = round();
    assert_eq!((idle.for_space, idle.more, idle.room_is_made), (0, false, false));
}

#[test]
fn nothing_goes_while_there_is_room_or_when_both_rules_are_off() {
    let root = shipped(&["e1"]);
    for rules in [Rules::default(), Rules { free_percent: 0, keep: None }] {
        let round = round(root.path(), rules, Some(in_days(1000)), &GO_ON).unwrap();
        assert_eq!((round.for_age, round.for_space, round.room_is_made), (0, 0, false));
    }
    // A share of 0 percent stands for a disk that certainly has room.
    assert_eq!(names(root.path()), ["e1"]);
}

#[test]
fn what_is_owed_by_the_file_system_counts_as_free() {
    let before = Disk { free_bytes: 50, total_bytes: 1000, free_inodes: 0, total_inodes: 0 };
    let rules = Rules { keep: None, free_percent: 10 };
    let after = |free_bytes, bytes| Round {
        disk: Disk { free_bytes, ..before },
        for_age: 0,
        for_space: 1,
        freed: Freed { bytes, inodes: 1 },
        more: false,
        room_is_made: false,
        failure: None,
    };
    assert!(after(50, 49).is_short(&before, rules), "neither is enough");
    assert!(!after(50, 50).is_short(&before, rules), "it shows later");
    assert!(!after(100, 10).is_short(&before, rules), "it shows already");
}

#[test]
fn what_is_not_ours_stays_and_so_does_everything_outside_of_shipped() {
    let root = shipped(&["e1"]);
    let place = root.path().join("shipped");
    fs::create_dir(place.join("lost+found")).unwrap();
    fs::create_dir(place.join("e2.keep")).unwrap();
    fs::write(place.join("README"), "x").unwrap();
    std::os::unix::fs::symlink(root.path().join("episodes"), place.join("e9")).unwrap();
    fs::create_dir(root.path().join("episodes/e7")).unwrap();
    let round = round(root.path(), ALWAYS_SHORT, Some(in_days(1000)), &GO_ON).unwrap();
    assert_eq!((round.for_space, round.failure.is_none()), (1, true));
    assert_eq!(names(root.path()), ["README", "e2.keep", "e9", "lost+found"]);
    assert!(root.path().join("episodes/e7").is_dir());
}

#[test]
fn a_deletion_that_a_crash_cut_short_is_ended_and_counts_as_no_episode() {
    let root = shipped(&[".pruned-e1"]);
    let rules = Rules { keep: Some(DAY), free_percent: 0 };
    let round = round(root.path(), rules, Some(in_days(0)), &GO_ON).unwrap();
    assert_eq!((round.for_age, round.for_space), (0, 0));
    assert!(round.freed.bytes >= 10_000);
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn what_cannot_be_deleted_is_told_and_is_not_tried_again_at_once() {
    let root = shipped(&["e1", "e2"]);
    // Its other name is taken by a file; the sweep of that file fails as well.
    fs::write(root.path().join("shipped/.pruned-e1"), "x").unwrap();
    let round = round_of(1, root.path(), ALWAYS_SHORT, Some(in_days(0)), &GO_ON).unwrap();
    let (path, _) = round.failure.unwrap();
    assert_eq!(path, root.path().join("shipped/.pruned-e1"));
    assert_eq!((round.for_space, round.more, round.room_is_made), (0, false, false));
    assert!(
        round_of(2, root.path(), ALWAYS_SHORT, Some(in_days(0)), &GO_ON).unwrap().for_space == 1,
        "e2 goes"
    );
}

#[test]
fn an_end_that_is_asked_for_comes_before_the_next_deletion() {
    let root = shipped(&["e1", "e2"]);
    let round = round(root.path(), ALWAYS_SHORT, Some(in_days(0)), &AtomicBool::new(true)).unwrap();
    assert_eq!((round.for_space, round.more), (0, false));
    assert_eq!(names(root.path()).len(), 2);
}

#[test]
fn a_place_that_cannot_be_read_is_an_error() {
    let root = shipped(&[]);
    fs::remove_dir(root.path().join("shipped")).unwrap();
    assert!(round(root.path(), ALWAYS_SHORT, Some(in_days(0)), &GO_ON).is_err());
    assert!(round(root.path(), Rules::default(), Some(in_days(0)), &GO_ON).is_ok(), "nobody looks there");
}
