//! Every path below the data directory, and the lock that keeps a second shipper away (protocol 3.4).
//!
//! The directory of an episode is its state; nothing else is. All functions here block. Every move is durable before it
//! counts (`moves.rs`), and the archive is removed last. A crash in between leaves an archive without an episode, which
//! [`crate::store::outbox`] removes (invariants I4, I6, I7). This module never looks into an episode.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cis490_shared::durable::{self, FileLock};
use cis490_shared::fs_error::FsError;
use cis490_shared::ids::EpisodeId;
use cis490_shared::step::Step;
use cis490_shared::wire::path::ARCHIVE_SUFFIX;

/// The suffix of an archive while it is written.
pub const PARTIAL_SUFFIX: &str = ".partial";

const LOCK_NAME: &str = ".shipper.lock";
/// How long to wait for the lock. A program that tests the lock holds it for a moment, another shipper for longer.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
const DIRECTORY_MODE: u32 = 0o750;

/// Why a call below the data directory failed.
#[derive(Debug, thiserror::Error)]
pub enum DirsError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The episode has left `episodes/`: an earlier try moved it and could not sync, or somebody took it away.
    #[error("`{}` is no longer there", .0.display())]
    Gone(PathBuf),
    /// Another shipper uses the data directory.
    #[error("`{}` is locked: another shipper works on this data directory", .0.display())]
    Locked(PathBuf),
    /// Two of the directories are on different file systems, so no episode can be moved between them.
    #[error("`{}` and `{}` are on different file systems: episodes must be moved between them", .0.display(), .1.display())]
    Apart(PathBuf, PathBuf),
}

impl DirsError {
    /// Returns the same error again, for another episode that it affects.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Io(error) => Self::Io(error.again()),
            Self::Gone(path) => Self::Gone(path.clone()),
            Self::Locked(path) => Self::Locked(path.clone()),
            Self::Apart(one, other) => Self::Apart(one.clone(), other.clone()),
        }
    }

    /// Returns true if the shipper lacks a permission that only a person can grant.
    pub fn is_about_permission(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Returns the next step for a person on this host.
    pub fn remedy(&self) -> &'static str {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
        match self {
            Self::Io(error) => match error.kind() {
                PermissionDenied => {
                    "make it writable for the shipper's user, because moving a directory needs that right: `ls -ld` \
                     it; or run the recorder as that user"
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

pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirsError {
    move |source| FsError::at(verb, path)(source).into()
}

/// Whether an episode may have left `episodes/` for a place that was not synced since: a run was killed, or the sync
/// failed. The lock also lets only one call at a time move episodes.
#[derive(Debug)]
pub(super) struct LeftInDoubt(pub(super) Mutex<bool>);

impl Default for LeftInDoubt {
    fn default() -> Self {
        Self(Mutex::new(true))
    }
}

/// The directories of this host's episodes.
#[derive(Debug, Clone)]
pub struct Dirs {
    pub(super) root: PathBuf,
    pub(super) in_doubt: Arc<LeftInDoubt>,
    outbox_syncs: Arc<SharedSync>,
}

impl Dirs {
    /// Returns the directories as they are, for moves and reads beside a shipper that may be running.
    pub fn beside(root: &Path) -> Self {
        Self { root: root.to_owned(), in_doubt: Arc::default(), outbox_syncs: Arc::default() }
    }

    /// Creates missing directories durably, and takes the lock that keeps a second shipper away.
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

    /// Returns true if a shipper uses the data directory, as a daemon or for a single pass.
    pub fn are_in_use(&self) -> Result<bool, DirsError> {
        let lock = self.root.join(LOCK_NAME);
        FileLock::is_held(&lock).map_err(failed("open", &lock))
    }

    /// Returns the file in which the daemon writes its [`crate::report::status`].
    pub fn status_file(&self) -> PathBuf {
        self.root.join("status.json")
    }

    /// Returns the data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directory in which the recorder leaves episodes.
    pub fn episodes(&self) -> PathBuf {
        self.root.join("episodes")
    }

    /// Returns the directory in which archives wait to be sent.
    pub fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// Returns the directory of the episodes that the receiver has.
    pub(super) fn shipped(&self) -> PathBuf {
        self.root.join("shipped")
    }

    /// Returns the directory of the refused episodes.
    pub fn quarantine_root(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Returns the directory of an episode that is not shipped yet.
    pub fn episode(&self, id: &EpisodeId) -> PathBuf {
        self.episodes().join(id.as_str())
    }

    /// Returns the path of the archive of an episode.
    pub fn archive(&self, id: &EpisodeId) -> PathBuf {
        self.outbox().join(format!("{id}{ARCHIVE_SUFFIX}"))
    }

    /// Returns the path of the archive of an episode while it is written.
    pub fn partial(&self, id: &EpisodeId) -> PathBuf {
        self.outbox().join(format!("{id}{ARCHIVE_SUFFIX}{PARTIAL_SUFFIX}"))
    }

    /// Makes the names in the outbox durable, and shares the sync with callers at the same time.
    pub fn sync_outbox(&self) -> io::Result<()> {
        Step::SyncOutbox.take(|| self.outbox_syncs.sync(|| durable::sync_dir(&self.outbox())))
    }

    /// Removes the archive of an episode, if there is one. Not durable, because the sweep would remove it again.
    pub fn remove_archive(&self, id: &EpisodeId) -> Result<(), DirsError> {
        remove_file(&self.archive(id))
    }

    /// Removes a file of the outbox by its name.
    pub fn remove_from_outbox(&self, name: &str) -> Result<(), DirsError> {
        remove_file(&self.outbox().join(name))
    }

    /// Returns true if an episode is still in `episodes/`.
    pub fn has_episode(&self, id: &EpisodeId) -> Result<bool, DirsError> {
        let path = self.episode(id);
        is_there(&path).map_err(failed("read", &path))
    }
}

pub(super) fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn remove_file(path: &Path) -> Result<(), DirsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Lets threads share the syncs of one directory. Threads that come during a sync share the next one. This type knows
/// nothing of the directory.
#[derive(Debug, Default)]
struct SharedSync {
    state: Mutex<Syncs>,
    changed: Condvar,
}

/// Each caller gets a number. A sync covers all callers up to the latest number when it began.
#[derive(Debug, Default)]
struct Syncs {
    asked: u64,
    done: u64,
    /// The last sync that failed covered the callers up to this number.
    failed: u64,
    kind: Option<io::ErrorKind>,
    under_way: bool,
}

impl SharedSync {
    /// Returns once a sync that began after the call is done, by `sync` or by another thread's. Blocks.
    ///
    /// A failed sync fails all callers that waited for it, because a later success says nothing about their names.
    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        state.asked += 1;
        let ours = state.asked;
        while state.under_way && state.done < ours && state.failed < ours {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed >= ours {
            return Err(state.kind.unwrap_or(io::ErrorKind::Other).into());
        }
        if state.done >= ours {
            return Ok(());
        }
        state.under_way = true;
        let all = state.asked;
        drop(state);
        let synced = sync();
        let mut state = self.lock();
        state.under_way = false;
        match &synced {
            Ok(()) => state.done = all,
            Err(error) => (state.failed, state.kind) = (all, Some(error.kind())),
        }
        self.changed.notify_all();
        synced
    }

    fn lock(&self) -> MutexGuard<'_, Syncs> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
