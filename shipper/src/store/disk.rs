//! The free room on the file system of the data directory, the warnings about it, and the deletion of an episode.
//!
//! [`Fullness`] is pure: measurements are passed in. It warns long before recording fails, once per change, and does
//! not flap at a boundary. [`delete`] renames, then removes, so a crash never leaves a partial episode under its real
//! name. [`crate::store::shipped`] and [`crate::store::quarantine`] decide what to delete and when.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cis490_shared::durable;
use serde::Serialize;

/// The prefix of a directory while it is deleted. No episode id begins with a dot.
const DOOMED_PREFIX: &str = ".pruned-";
/// The unit of `st_blocks`, whatever the block size of the file system.
const BLOCK_BYTES: u64 = 512;
/// The default of `retention.free_percent`. If that is 0, nothing is deleted, but a person is told below this share.
pub const DEFAULT_FREE_PERCENT: u8 = 10;

/// Room on the file system of the data directory, for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files that can still be created.
    pub free_inodes: u64,
    /// Files in all; 0 if the file system sets no limit.
    pub total_inodes: u64,
}

impl Disk {
    /// Measures the file system of `path`. The kernel answers from memory on a local disk, but callers should not count
    /// on it. Blocks.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_inodes: found.f_favail,
            total_inodes: found.f_files,
        })
    }

    /// Returns the free share in percent, rounded down: of bytes or of files, whichever is scarcer.
    pub fn free_percent(&self) -> u64 {
        (self.free_millionths() / 10_000).into()
    }

    /// Returns true if less than `percent` of the bytes or of the files are free.
    pub fn is_below(&self, percent: u8) -> bool {
        self.free_millionths() < u32::from(percent) * 10_000
    }

    fn free_millionths(&self) -> u32 {
        let bytes = share(self.free_bytes, self.total_bytes);
        bytes.min(share(self.free_inodes, self.total_inodes))
    }
}

/// Returns the free share in millionths. Without a limit, everything is free.
fn share(free: u64, total: u64) -> u32 {
    let millionths = (u128::from(free) * 1_000_000).checked_div(total.into()).unwrap_or(1_000_000);
    u32::try_from(millionths).unwrap_or(1_000_000).min(1_000_000)
}

/// A change of the free room that a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Less is free than should be.
    Low,
    /// Less than a quarter of that is free: recording fails soon.
    Critical,
    /// Enough is free again.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Fine,
    Low,
    Critical,
}

/// The level of free room that a person was told.
#[derive(Debug)]
pub struct Fullness {
    percent: u8,
    level: Level,
}

/// Free room above the boundary, in millionths, at which the level is fine again.
const MARGIN: u32 = 10_000;

impl Fullness {
    /// Begins with nothing told. Less than `percent` free is low.
    pub fn new(percent: u8) -> Self {
        Self { percent, level: Level::Fine }
    }

    /// Returns true if less is free than should be, as a person was told.
    pub fn is_low(&self) -> bool {
        self.level > Level::Fine
    }

    /// Returns the change to tell a person after a measurement. With `room_is_made`, episodes are being deleted and the
    /// level does not get worse.
    pub fn change(&mut self, disk: &Disk, room_is_made: bool) -> Option<Change> {
        let free = disk.free_millionths();
        let low = u32::from(self.percent) * 10_000;
        let now = match self.level {
            _ if free >= low + MARGIN => Level::Fine,
            // There is no news, because low was told already.
            Level::Critical if free >= low / 2 => Level::Low,
            before => {
                let reached = if free < low / 4 {
                    Level::Critical
                } else if free < low {
                    Level::Low
                } else {
                    Level::Fine
                };
                if room_is_made { before } else { before.max(reached) }
            }
        };
        let before = std::mem::replace(&mut self.level, now);
        match now {
            Level::Fine if before > now => Some(Change::Over),
            Level::Low if before < now => Some(Change::Low),
            Level::Critical if before < now => Some(Change::Critical),
            Level::Fine | Level::Low | Level::Critical => None,
        }
    }
}

/// The number of names in each of the four places of the data directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Episodes that are not shipped yet.
    pub episodes: usize,
    /// Archives that wait to be sent.
    pub outbox: usize,
    /// Episodes that the receiver has acknowledged.
    pub shipped: usize,
    /// Refused episodes.
    pub quarantine: usize,
}

/// The highest count; no reader needs a higher one.
const MOST_COUNTED: usize = 100_000;

impl Holdings {
    /// Counts the names. A place that cannot be read counts as 0. Blocks, for a moment if there are many.
    pub fn of(root: &Path) -> Self {
        let count =
            |name: &str| fs::read_dir(root.join(name)).map_or(0, |names| names.take(MOST_COUNTED).count());
        Self {
            episodes: count("episodes"),
            outbox: count("outbox"),
            shipped: count("shipped"),
            quarantine: count("quarantine"),
        }
    }
}

/// The room that a deletion gives back, as far as the files show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

impl Freed {
    /// Returns the sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, inodes: self.inodes + other.inodes }
    }
}

/// Returns true if this is the name of a deletion that was cut short.
pub fn is_doomed(name: &str) -> bool {
    name.starts_with(DOOMED_PREFIX)
}

/// Deletes the directory `name` in `root`, or finishes a deletion that was cut short. Blocks.
pub fn delete(root: &Path, name: &str) -> io::Result<Freed> {
    let path = root.join(name);
    if is_doomed(name) {
        return delete_to_its_end(&path);
    }
    let doomed = root.join(format!("{DOOMED_PREFIX}{name}"));
    durable::rename_noreplace(&path, &doomed)?;
    delete_to_its_end(&doomed)
}

fn delete_to_its_end(doomed: &Path) -> io::Result<Freed> {
    let freed = size_of_tree(doomed)?;
    fs::remove_dir_all(doomed)?;
    Ok(freed)
}

/// Returns the room that a directory takes on disk. A file with a second name elsewhere gives nothing back.
fn size_of_tree(dir: &Path) -> io::Result<Freed> {
    let mut freed = size_of(&fs::symlink_metadata(dir)?);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let data = entry.metadata()?;
        freed = freed.and(match data.is_dir() {
            true => size_of_tree(&entry.path())?,
            false if data.nlink() > 1 => Freed::default(),
            false => size_of(&data),
        });
    }
    Ok(freed)
}

fn size_of(data: &fs::Metadata) -> Freed {
    Freed { bytes: data.blocks() * BLOCK_BYTES, inodes: 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a disk with `thousandths` of its bytes free, and all of its inodes.
    fn disk(thousandths: u64) -> Disk {
        Disk { free_bytes: thousandths, total_bytes: 1000, free_inodes: 5, total_inodes: 5 }
    }

    #[test]
    fn the_scarcer_of_bytes_and_inodes_counts_and_inodes_without_a_bound_do_not() {
        assert_eq!(
            (disk(99).free_percent(), disk(99).is_below(10), disk(100).is_below(10)),
            (9, true, false)
        );
        let no_files = Disk { free_inodes: 3, total_inodes: 100, ..disk(500) };
        assert_eq!((no_files.free_percent(), no_files.is_below(10)), (3, true));
        let boundless = Disk { free_inodes: 0, total_inodes: 0, ..disk(500) };
        assert_eq!((boundless.free_percent(), boundless.is_below(50)), (50, false));
        let huge = Disk { free_bytes: u64::MAX / 2, total_bytes: u64::MAX, ..disk(0) };
        assert_eq!(huge.free_percent(), 49);
        assert!(!Disk { total_bytes: 0, free_bytes: 0, ..disk(0) }.is_below(100), "no size is no full disk");
    }

    #[test]
    fn a_real_disk_has_room_and_a_directory_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::of(dir.path()).unwrap();
        assert!(disk.total_bytes >= disk.free_bytes && disk.total_bytes > 0, "{disk:?}");
        assert!(Disk::of(&dir.path().join("gone")).is_err());
    }

    #[test]
    fn each_change_is_said_once_and_nothing_flaps_at_a_boundary() {
        let mut fullness = Fullness::new(10);
        let steps = [
            (500, None),
            (100, None),
            (99, Some(Change::Low)),
            (101, None),
            (99, None),
            (109, None),
            (25, None),
            (24, Some(Change::Critical)),
            (26, None),
            (24, None),
            (49, None),
            // From here on it is low again, which was told already.
            (50, None),
            (30, None),
            (24, Some(Change::Critical)),
            (60, None),
            (110, Some(Change::Over)),
            (300, None),
            (20, Some(Change::Critical)),
            (200, Some(Change::Over)),
        ];
        for (step, (free, said)) in steps.into_iter().enumerate() {
            assert_eq!(fullness.change(&disk(free), false), said, "step {step}, {free} of 1000 free");
        }
    }

    #[test]
    fn nothing_is_said_while_room_is_being_made() {
        let mut fullness = Fullness::new(10);
        assert_eq!(fullness.change(&disk(1), true), None);
        assert_eq!(fullness.change(&disk(99), false), Some(Change::Low));
        assert_eq!(fullness.change(&disk(1), true), None);
        assert_eq!(fullness.change(&disk(110), true), Some(Change::Over), "a relief is a relief");
    }

    #[test]
    fn what_lies_in_the_four_places_is_counted() {
        let root = tempfile::tempdir().unwrap();
        for name in ["episodes/e1", "episodes/e2", "shipped/e3"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        assert_eq!(Holdings::of(root.path()), Holdings { episodes: 2, shipped: 1, ..Holdings::default() });
    }

    proptest! {
        #[test]
        fn a_level_is_said_again_only_after_another_was_reached(steps in prop::collection::vec(0..200_u64, 1..300)) {
            let (mut fullness, mut last) = (Fullness::new(10), Change::Over);
            for free in steps {
                if let Some(change) = fullness.change(&disk(free), false) {
                    let holds = match change {
                        Change::Low => free < 100 && last == Change::Over,
                        Change::Critical => free < 25,
                        Change::Over => free >= 110 && last != Change::Over,
                    };
                    prop_assert!(holds, "{:?} after {:?} with {} free", change, last, free);
                    last = change;
                } else {
                    prop_assert!(free >= 25 || last == Change::Critical, "an emergency that nobody hears of");
                }
            }
        }
    }

    #[test]
    fn what_goes_is_counted_and_a_second_name_of_a_file_gives_nothing_back() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("e1/sub");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("network.pcap"), vec![7; 100_000]).unwrap();
        fs::write(root.path().join("kept"), vec![7; 100_000]).unwrap();
        fs::hard_link(root.path().join("kept"), dir.join("linked")).unwrap();
        let freed = delete(root.path(), "e1").unwrap();
        assert!((100_000..150_000).contains(&freed.bytes), "{freed:?}");
        assert_eq!(freed.inodes, 3);
        let left: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"]);
    }

    #[test]
    fn an_episode_goes_under_its_other_name_and_a_deletion_that_was_cut_short_is_ended() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".pruned-e1/sub")).unwrap();
        fs::create_dir(root.path().join("e1")).unwrap();
        // The other name is taken, so the whole episode stays as it is.
        assert_eq!(delete(root.path(), "e1").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(is_doomed(".pruned-e1") && !is_doomed("e1"));
        delete(root.path(), ".pruned-e1").unwrap();
        delete(root.path(), "e1").unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
