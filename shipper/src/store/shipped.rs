//! How long shipped episodes are kept: by age, and until the disk needs the room.
//!
//! Only episodes in `shipped/` are deleted here, so the receiver has them (I6). The oldest go first, by the time of
//! their move there. A round does a bounded amount of work and holds a bounded number of names, however many episodes
//! there are. [`crate::store::disk`] decides when a person is told of a full disk.

use std::collections::BinaryHeap;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use cis490_shared::ids::EpisodeId;

use crate::store::age::Lived;
use crate::store::disk::{self, Disk, Freed};

/// The most episodes that a round deletes.
const ROUND: usize = 256;

/// The rules of retention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// How long a shipped episode is kept. `None` if age is no reason to delete it.
    pub keep: Option<Duration>,
    /// The share of the file system to keep free, in percent. 0 deletes nothing to make room.
    pub free_percent: u8,
}

/// The result of a round.
#[derive(Debug)]
pub struct Round {
    /// The disk after the round.
    pub disk: Disk,
    /// Episodes deleted for their age.
    pub for_age: usize,
    /// Episodes deleted to make room.
    pub for_space: usize,
    /// The room that the deletions gave back.
    pub freed: Freed,
    /// Whether another round would find more to delete.
    pub more: bool,
    /// Whether room is being made: the deletions suffice once the file system shows them, or more can be deleted.
    pub room_is_made: bool,
    /// The first deletion that failed.
    pub failure: Option<(PathBuf, io::Error)>,
}

/// Measures the disk below `root`, and deletes episodes from its `shipped/` by the rules. These are episodes that are
/// too old by `age`, if it is given, and the oldest ones while there is too little room. Ends early once `stop` is set.
/// Blocks.
pub fn round(root: &Path, rules: Rules, age: Option<Lived>, stop: &AtomicBool) -> io::Result<Round> {
    round_of(ROUND, root, rules, age, stop)
}

fn round_of(
    most: usize,
    root: &Path,
    rules: Rules,
    age: Option<Lived>,
    stop: &AtomicBool,
) -> io::Result<Round> {
    let disk = Disk::of(root)?;
    let mut round = Round {
        disk,
        for_age: 0,
        for_space: 0,
        freed: Freed::default(),
        more: false,
        room_is_made: false,
        failure: None,
    };
    let by_age = rules.keep.zip(age);
    if by_age.is_some() || disk.is_below(rules.free_percent) {
        let shipped = root.join("shipped");
        let (oldest, more) = round.oldest(most, &shipped, stop)?;
        round.more = more;
        for one in oldest {
            let is_expired = by_age.as_ref().is_some_and(|(keep, lived)| lived.age(one.since) > *keep);
            let is_short = round.is_short(&disk, rules);
            if stop.load(Ordering::Relaxed) || !(is_expired || is_short) {
                round.more = false;
                break;
            }
            if round.delete(&shipped, &one.name) {
                *if is_expired { &mut round.for_age } else { &mut round.for_space } += 1;
                round.disk = Disk::of(root)?;
            }
        }
        // An episode that cannot be deleted is not tried again at once.
        let deleted = round.for_age + round.for_space > 0;
        round.more &= deleted;
        round.room_is_made = deleted && (round.more || !round.is_short(&disk, rules));
    }
    Ok(round)
}

impl Round {
    /// Returns true if the disk lacks room, both as measured and with all deletions counted as free. Some file systems
    /// show a deletion only after a while, and nothing more may go meanwhile.
    fn is_short(&self, before: &Disk, rules: Rules) -> bool {
        let owed = Disk {
            free_bytes: before.free_bytes.saturating_add(self.freed.bytes),
            free_inodes: before.free_inodes.saturating_add(self.freed.inodes),
            ..*before
        };
        self.disk.is_below(rules.free_percent) && owed.is_below(rules.free_percent)
    }

    /// Returns the oldest episodes, oldest first, and whether there are more. Finishes deletions that were cut short.
    fn oldest(&mut self, most: usize, shipped: &Path, stop: &AtomicBool) -> io::Result<(Vec<Kept>, bool)> {
        let (mut oldest, mut more) = (BinaryHeap::new(), false);
        for entry in fs::read_dir(shipped)? {
            if stop.load(Ordering::Relaxed) {
                return Ok((Vec::new(), false));
            }
            let entry = entry?;
            match entry.file_name().to_str() {
                Some(name) if disk::is_doomed(name) => {
                    self.delete(shipped, name);
                }
                Some(name) if is_of_an_episode(name) => oldest.extend(Kept::of(&entry, name)),
                // The shipper did not put it there.
                _ => {}
            }
            if oldest.len() > most {
                oldest.pop();
                more = true;
            }
        }
        Ok((oldest.into_sorted_vec(), more))
    }

    fn delete(&mut self, shipped: &Path, name: &str) -> bool {
        match disk::delete(shipped, name) {
            Ok(freed) => {
                self.freed = self.freed.and(freed);
                true
            }
            Err(error) => {
                self.failure.get_or_insert((shipped.join(name), error));
                false
            }
        }
    }
}

/// A shipped episode.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// The time of its move there: a rename changes the ctime of a directory, and nothing changes it after that.
    since: SystemTime,
    name: String,
}

impl Kept {
    /// Returns the episode. `None` if the entry is no directory, or is gone by now.
    fn of(entry: &DirEntry, name: &str) -> Option<Self> {
        let data = entry.metadata().ok().filter(fs::Metadata::is_dir)?;
        let seconds = u64::try_from(data.ctime()).unwrap_or_default();
        let nanoseconds = u32::try_from(data.ctime_nsec()).unwrap_or_default();
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))?;
        Some(Self { since, name: name.to_owned() })
    }
}

/// Returns true if an episode is kept under this name: its id, followed by a number if it is not the first.
fn is_of_an_episode(name: &str) -> bool {
    let (id, copy) = name.split_once('.').unwrap_or((name, "1"));
    EpisodeId::parse(id).is_ok() && copy.parse::<u32>().is_ok()
}

#[cfg(test)]
mod tests;
