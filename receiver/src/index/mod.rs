//! `index.jsonl`: which episodes are in the data set.
//!
//! - [`log`]: the file: opening, catching up with other writers, appending one batch
//! - [`known`]: the pairs that have a row, in memory
//! - [`publication`]: a new name that must be durable before its row is
//! - [`requests`]: the messages to IndexWriterActor, which alone appends
//!
//! The file is append-only, and its owner and mode are never changed. A failed batch is undone. So a row exists only if
//! its sender was told so, or will find it when it asks again (invariants I1, I3, I4).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod known;
pub mod log;
pub mod publication;
pub mod requests;

/// The step in which the index failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexStep {
    /// Waiting for index.lock.
    Lock,
    /// Opening index.jsonl.
    Open,
    /// Reading rows.
    Read,
    /// Writing rows.
    Write,
    /// Making rows durable.
    Sync,
    /// Making the name of a stored archive durable.
    SyncDirectory,
}

impl IndexStep {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "append to",
            Self::Sync => "sync",
            Self::SyncDirectory => "sync the directory",
        }
    }
}

/// A failure that acknowledged no row. Cheap to clone, because a batch has one failure and many senders.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {} `{}`: {source}", step.as_str(), path.display())]
pub struct IndexError {
    /// The step that failed.
    pub step: IndexStep,
    /// The file or directory.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: Arc<io::Error>,
}

impl IndexError {
    /// Wraps an error of the operating system; for use in `map_err`.
    pub fn at(step: IndexStep, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { step, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Returns the next step for a maintainer.
    pub fn remedy(&self) -> String {
        let path = self.path.display();
        match (self.step, self.source.kind()) {
            (IndexStep::Lock, io::ErrorKind::WouldBlock) => {
                format!("another program holds it for too long: `fuser -v {path}` names it")
            }
            (_, io::ErrorKind::PermissionDenied) => format!(
                "give it back to the service's user: `ls -l {path}`, then `chown` and `chmod 0640`; \
                 nothing needs a restart"
            ),
            (_, io::ErrorKind::NotFound) => format!(
                "put {path} back, or restart the receiver, which rebuilds it from the stored archives"
            ),
            (_, io::ErrorKind::ReadOnlyFilesystem) => {
                format!("the file system of {path} is read-only: `dmesg | tail`, then remount it")
            }
            (_, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                format!("make room on the file system of {path}: `df -h {path}`")
            }
            _ => format!("look at the file system of {path}: `df -h {path}`, `dmesg | tail`"),
        }
    }
}
