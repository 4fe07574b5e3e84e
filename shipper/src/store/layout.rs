//! Every path below the data directory, and the lock that keeps a second shipper away (protocol 3.4).
//!
//! Where an episode is says what state it is in; nothing else does. All functions here block. Every move is
//! durable before it counts (`moves.rs`), and the archive goes last: a crash in between leaves an archive without
//! an episode, which [`crate::store::outbox`] removes (invariants I4, I6, I7). It never looks into an episode.

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
    #[error(transparent)]
    Io(#[from] FsError),
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
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Io(error) => Self::Io(error.again()),
            Self::Gone(path) => Self::Gone(path.clone()),
            Self::Locked(path) => Self::Locked(path.clone()),
            Self::Apart(one, other) => Self::Apart(one.clone(), other.clone()),
        }
    }

    /// Whether the shipper lacks a right that only a person can give.
    pub fn is_about_permission(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// What a person on this host can do about it.
    pub fn remedy(&self) -> &'static str {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
        match self {
            Self::Io(error) => match error.kind() {
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

pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirsError {
    move |source| FsError::at(verb, path)(source).into()
}

/// Whether an episode may have left `episodes/` for a place that was not synced since: by a run that was killed, or
/// because the sync failed. Also lets the episodes of one call be moved at a time.
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

    /// Whether a shipper works here, as a daemon or once.
    pub fn are_in_use(&self) -> Result<bool, DirsError> {
        let lock = self.root.join(LOCK_NAME);
        FileLock::is_held(&lock).map_err(failed("open", &lock))
    }

    /// Where the daemon writes its [`crate::report::status`].
    pub fn status_file(&self) -> PathBuf {
        self.root.join("status.json")
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
    pub(super) fn shipped(&self) -> PathBuf {
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

/// Lets threads share the syncs of one directory: those who come while one is under way share the next. It knows nothing
/// of what is synced.
#[derive(Debug, Default)]
struct SharedSync {
    state: Mutex<Syncs>,
    changed: Condvar,
}

/// Whoever asks gets a number; a sync is for all up to the number that was given out last when it began.
#[derive(Debug, Default)]
struct Syncs {
    asked: u64,
    done: u64,
    /// The last sync that failed was for those up to here.
    failed: u64,
    kind: Option<io::ErrorKind>,
    under_way: bool,
}

impl SharedSync {
    /// Comes back once a sync that began after this was called is done, by `sync` or by somebody else's. Blocks.
    ///
    /// One that fails fails all who waited for it: none of them may believe the next.
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
