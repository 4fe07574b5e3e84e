//! Every path below the data directory, and every move between its four places (protocol 3.4).
//!
//! Where an episode is says what state it is in; nothing else does. All functions here block. Every move is
//! durable before it counts (`moves.rs`), and the archive goes last: a crash in between leaves an archive without
//! an episode, which [`crate::queue::sweep`] removes (invariants I4, I6, I7). It never looks into an episode.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cis490_shared::archive::DONE_MARKER;
use cis490_shared::durable::{self, FileLock};
use cis490_shared::ids::EpisodeId;
use cis490_shared::step::Step;
use cis490_shared::wire::path::ARCHIVE_SUFFIX;

use crate::queue::episode::{self, NotAnEpisode};
use crate::queue::shared_sync::SharedSync;

mod look;
mod moves;
mod probe;

pub use look::Oldest;
pub use moves::{Leaving, Returning};

/// What the name of an archive ends in while it is written.
pub const PARTIAL_SUFFIX: &str = ".partial";

const LOCK_NAME: &str = ".shipper.lock";
/// Whoever looks whether the lock is held may be in the way for a moment, and another shipper for longer than this.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
const DIRECTORY_MODE: u32 = 0o750;

/// What cannot be done below the data directory.
#[derive(Debug, thiserror::Error)]
pub enum DirsError {
    /// The file system says no.
    #[error("cannot {deed} `{}`: {source}", path.display())]
    Io {
        /// What was to be done, as a verb.
        deed: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It has left `episodes/`: an earlier try moved it and could not sync that, or somebody took it away.
    #[error("`{}` is no longer there", .0.display())]
    Gone(PathBuf),
    /// Another shipper works here.
    #[error("`{}` is locked: another shipper works on this data directory", .0.display())]
    Locked(PathBuf),
    /// An episode cannot be moved from one of the directories to another.
    #[error("`{}` and `{}` are on different file systems: an episode is moved between them", .0.display(), .1.display())]
    Apart(PathBuf, PathBuf),
}

impl DirsError {
    /// The same once more, for another episode that it concerns.
    fn again(&self) -> Self {
        match self {
            Self::Io { deed, path, source } => {
                let same =
                    source.raw_os_error().map_or_else(|| source.kind().into(), io::Error::from_raw_os_error);
                Self::Io { deed, path: path.clone(), source: same }
            }
            Self::Gone(path) => Self::Gone(path.clone()),
            Self::Locked(path) => Self::Locked(path.clone()),
            Self::Apart(one, other) => Self::Apart(one.clone(), other.clone()),
        }
    }

    /// Whether the shipper lacks a right that only a person can give.
    pub fn is_about_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// What a person on this host can do about it.
    pub fn remedy(&self) -> &'static str {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } => match source.kind() {
                PermissionDenied => {
                    "`ls -ld` it: the shipper's user must be able to write to it, since moving a directory takes that \
                     right; let the recorder run as that user, or give its directories to it"
                }
                StorageFull | QuotaExceeded => "make room on its file system: `df -h` it",
                _ => "look at its file system: `dmesg | tail`, `df -h` it",
            },
            Self::Gone(_) => "look for it in shipped/ and quarantine/",
            Self::Locked(_) => "stop the other shipper: `systemctl stop cis490-shipper`",
            Self::Apart(..) => "put `paths.data_root` on one file system: `df` both",
        }
    }
}

fn failed(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirsError {
    let path = path.to_owned();
    move |source| DirsError::Io { deed, path, source }
}

/// The directories of this host's episodes.
#[derive(Debug, Clone)]
pub struct Dirs {
    root: PathBuf,
    in_doubt: Arc<moves::LeftInDoubt>,
    outbox_syncs: Arc<SharedSync>,
}

/// What a look into `episodes/` found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The oldest ready episodes that are not known yet.
    pub ready: BTreeSet<EpisodeId>,
    /// There are more than were asked for.
    pub more: bool,
    /// Entries that will never be shipped, for people; only the first few.
    pub ignored: Vec<(String, NotAnEpisode)>,
    /// All directories of episodes, those among them that are known or not finished.
    pub in_episodes: usize,
    /// The oldest of those that are known already.
    oldest_known: Option<EpisodeId>,
}

impl Scan {
    fn take(
        &mut self,
        entry: &DirEntry,
        known: &BTreeSet<EpisodeId>,
        limit: usize,
    ) -> Result<(), NotAnEpisode> {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let id = episode::identify(&entry.file_name(), is_directory)?;
        self.in_episodes += 1;
        if known.contains(&id) {
            if self.oldest_known.as_ref().is_none_or(|oldest| id < *oldest) {
                self.oldest_known = Some(id);
            }
            return Ok(());
        }
        if self.ready.len() >= limit && self.ready.last().is_some_and(|last| *last < id) {
            self.more = true;
        } else if !Step::AwaitMarker.is_taken()
            || is_there(&entry.path().join(DONE_MARKER))
                .map_err(|error| NotAnEpisode::Unreadable(error.kind()))?
        {
            self.ready.insert(id);
            if self.ready.len() > limit {
                self.ready.pop_last();
                self.more = true;
            }
        }
        Ok(())
    }
}

/// At most this many odd entries are reported by one scan.
const MAX_IGNORED: usize = 100;

impl Dirs {
    /// The directories as they are, beside a shipper that may be running. For moves, and for looks.
    pub fn beside(root: &Path) -> Self {
        Self { root: root.to_owned(), in_doubt: Arc::default(), outbox_syncs: Arc::default() }
    }

    /// Creates what is missing, durably, and takes the lock that keeps a second shipper away.
    pub fn open(root: &Path) -> Result<(Self, FileLock), DirsError> {
        let dirs = Self::beside(root);
        let all = ["episodes", "outbox", "shipped", "quarantine"].map(|name| root.join(name));
        for path in &all {
            durable::create_dir_all(path, DIRECTORY_MODE).map_err(failed("create", path))?;
        }
        let device = |path: &PathBuf| fs::metadata(path).map(|data| data.dev()).map_err(failed("read", path));
        for path in &all[1..] {
            if device(path)? != device(&all[0])? {
                return Err(DirsError::Apart(all[0].clone(), path.clone()));
            }
        }
        dirs.prepare_moves()?;
        let lock = root.join(LOCK_NAME);
        match FileLock::take(&lock, LOCK_PATIENCE) {
            Ok(held) => Ok((dirs, held)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(DirsError::Locked(lock)),
            Err(error) => Err(failed("lock", &lock)(error)),
        }
    }

    /// The data directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the recorder leaves episodes.
    pub fn episodes(&self) -> PathBuf {
        self.root.join("episodes")
    }

    /// Where archives wait to be sent.
    pub fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// Where episodes are that the receiver has.
    fn shipped(&self) -> PathBuf {
        self.root.join("shipped")
    }

    /// Where refused episodes are.
    pub fn quarantine_root(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// The directory of an episode that is not shipped yet.
    pub fn episode(&self, id: &EpisodeId) -> PathBuf {
        self.episodes().join(id.as_str())
    }

    /// The archive of an episode.
    pub fn archive(&self, id: &EpisodeId) -> PathBuf {
        self.outbox().join(format!("{id}{ARCHIVE_SUFFIX}"))
    }

    /// The archive of an episode while it is written.
    pub fn partial(&self, id: &EpisodeId) -> PathBuf {
        self.outbox().join(format!("{id}{ARCHIVE_SUFFIX}{PARTIAL_SUFFIX}"))
    }

    /// Finds the `limit` oldest ready episodes that are not in `known`.
    ///
    /// Needs memory for `limit` names, however many directories there are, and looks for the marker only in
    /// those that could be among them.
    pub fn scan(&self, known: &BTreeSet<EpisodeId>, limit: usize) -> Result<Scan, DirsError> {
        let root = self.episodes();
        let mut scan = Scan::default();
        for entry in fs::read_dir(&root).map_err(failed("read", &root))? {
            let entry = entry.map_err(failed("read", &root))?;
            if let Err(reason) = scan.take(&entry, known, limit)
                && scan.ignored.len() < MAX_IGNORED
            {
                let name = entry.file_name().to_string_lossy().escape_debug().to_string();
                scan.ignored.push((name, reason));
            }
        }
        Ok(scan)
    }

    /// Makes the names in the outbox durable, together with those of all who ask at the same time.
    pub fn sync_outbox(&self) -> io::Result<()> {
        Step::SyncOutbox.take(|| self.outbox_syncs.sync(|| durable::sync_dir(&self.outbox())))
    }

    /// Removes the archive of an episode; that there is none is no error. Not durable: the sweep sees to it.
    pub fn remove_archive(&self, id: &EpisodeId) -> Result<(), DirsError> {
        remove_file(&self.archive(id))
    }

    /// Removes a file of the outbox by its name.
    pub fn remove_from_outbox(&self, name: &str) -> Result<(), DirsError> {
        remove_file(&self.outbox().join(name))
    }

    /// Whether an episode is still in `episodes/`.
    pub fn has_episode(&self, id: &EpisodeId) -> Result<bool, DirsError> {
        let path = self.episode(id);
        is_there(&path).map_err(failed("read", &path))
    }
}

fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_file(path: &Path) -> Result<(), DirsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
