//! Which names in `episodes/` are episodes, and which of them are ready to be shipped (protocol 3.3).
//!
//! It never looks into an episode; that is left to packing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::path::Path;

use cis490_shared::archive::DONE_MARKER;
use cis490_shared::clock::WallTime;
use cis490_shared::ids::EpisodeId;
use serde::{Deserialize, Serialize};

use crate::store::layout::{Dirs, DirsError, failed, is_there};
use crate::store::unshippable::{NotAnEpisode, Unshippable, is_immovable, is_in_the_making};

/// Takes the id of a directory entry. Whether the episode is finished is a question for the disk.
pub fn identify(name: &OsStr, is_directory: bool) -> Result<EpisodeId, NotAnEpisode> {
    let id = EpisodeId::parse(name.to_str().ok_or(NotAnEpisode::NotText)?).map_err(NotAnEpisode::Name)?;
    match is_directory {
        true => Ok(id),
        false => Err(NotAnEpisode::NotADirectory),
    }
}

/// What a scan of `episodes/` found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The oldest ready episodes that are not known yet.
    pub ready: BTreeSet<EpisodeId>,
    /// There are more than were asked for.
    pub more: bool,
    /// Entries that will never be shipped, for people; only the first few.
    pub ignored: Vec<(String, NotAnEpisode)>,
    /// Finished directories that need a person before they can be shipped or moved away.
    pub unshippable: Unshippable,
    /// All directories of episodes, those among them that are known or not finished.
    pub in_episodes: usize,
    /// The oldest of those that are known already.
    oldest_known: Option<EpisodeId>,
}

impl Scan {
    fn take(
        &mut self,
        root: &Path,
        entry: &DirEntry,
        known: &BTreeSet<EpisodeId>,
        limit: usize,
    ) -> Result<(), NotAnEpisode> {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let id = identify(&entry.file_name(), is_directory)?;
        self.in_episodes += 1;
        if known.contains(&id) {
            self.note_move(root, entry);
            if self.oldest_known.as_ref().is_none_or(|oldest| id < *oldest) {
                self.oldest_known = Some(id);
            }
            return Ok(());
        }
        if self.ready.len() >= limit && self.ready.last().is_some_and(|last| *last < id) {
            self.more = true;
        } else if is_there(&entry.path().join(DONE_MARKER))
            .map_err(|error| NotAnEpisode::Unreadable(error.kind()))?
        {
            self.note_move(root, entry);
            self.ready.insert(id);
            if self.ready.len() > limit {
                self.ready.pop_last();
                self.more = true;
            }
        }
        Ok(())
    }
}

impl Scan {
    /// Counts a finished episode that cannot be moved. It is sent all the same: the collector should have it.
    fn note_move(&mut self, root: &Path, entry: &DirEntry) {
        if is_immovable(&entry.path()) {
            self.unshippable.add(root, &entry.file_name(), NotAnEpisode::Unmovable);
        }
    }

    /// Takes note of an entry that is not shipped.
    fn ignore(&mut self, root: &Path, entry: &DirEntry, reason: NotAnEpisode) {
        let name = entry.file_name();
        let is_finished = || is_there(&entry.path().join(DONE_MARKER)).unwrap_or(false);
        let is_unread = matches!(reason, NotAnEpisode::Unreadable(_));
        if is_unread || (!is_in_the_making(reason) && is_finished()) {
            self.unshippable.add(root, &name, reason);
        }
        if self.ignored.len() < MAX_IGNORED {
            self.ignored.push((name.to_string_lossy().escape_debug().to_string(), reason));
        }
    }
}

/// At most this many odd entries are reported by one scan.
const MAX_IGNORED: usize = 100;

/// The episode that has waited longest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Oldest {
    /// The episode.
    pub episode_id: String,
    /// When the recorder finished it, by the time of its marker; `None` if the time is unknown.
    pub since: Option<WallTime>,
}

impl Dirs {
    /// Finds the `limit` oldest ready episodes that are not in `known`.
    ///
    /// Needs memory for `limit` names, however many directories there are, and looks for the marker only in
    /// those that could be among them.
    pub fn scan(&self, known: &BTreeSet<EpisodeId>, limit: usize) -> Result<Scan, DirsError> {
        let root = self.episodes();
        let mut scan = Scan::default();
        for entry in fs::read_dir(&root).map_err(failed("read", &root))? {
            let entry = entry.map_err(failed("read", &root))?;
            if let Err(reason) = scan.take(&root, &entry, known, limit) {
                scan.ignore(&root, &entry, reason);
            }
        }
        Ok(scan)
    }

    /// The oldest finished episode that a scan found or knew already.
    pub fn oldest_of(&self, scan: &Scan) -> Option<Oldest> {
        let id = scan.oldest_known.iter().chain(scan.ready.first()).min()?;
        let marker = fs::symlink_metadata(self.episode(id).join(DONE_MARKER));
        let since = marker.and_then(|marker| marker.modified()).ok().map(WallTime::from);
        Some(Oldest { episode_id: id.to_string(), since })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use cis490_shared::ids::IdError;

    use super::*;

    #[test]
    fn only_a_directory_with_the_name_of_an_episode_is_one() {
        let name = OsStr::new("01JD8Z5V6T7M3K2Q9W8E4R5T6Y");
        assert_eq!(identify(name, true).unwrap().as_str(), "01JD8Z5V6T7M3K2Q9W8E4R5T6Y");
        assert_eq!(identify(name, false), Err(NotAnEpisode::NotADirectory));
        assert_eq!(
            identify(OsStr::new("lost+found"), true),
            Err(NotAnEpisode::Name(IdError::BadCharacter('+')))
        );
        assert_eq!(identify(OsStr::new(".tmp"), true), Err(NotAnEpisode::Name(IdError::BadStart('.'))));
        assert_eq!(identify(OsStr::from_bytes(b"\xff"), true), Err(NotAnEpisode::NotText));
    }
}
