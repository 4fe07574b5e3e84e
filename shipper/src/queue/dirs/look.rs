//! What is asked of the directories by those who only look: the status, beside a shipper that runs or without one.
//!
//! Nothing here creates, moves or locks anything, so it works beside any shipper. All of it blocks.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use cis490_shared::archive::DONE_MARKER;
use cis490_shared::durable::FileLock;
use cis490_shared::ids::EpisodeId;

use super::{Dirs, DirsError, LOCK_NAME, Scan, failed};

/// The episode that has waited longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oldest {
    /// The episode.
    pub id: EpisodeId,
    /// When the recorder finished it, by the time of its marker; none where that cannot be told.
    pub finished: Option<SystemTime>,
}

impl Dirs {
    /// Whether a shipper works here, as a daemon or once.
    pub fn are_in_use(&self) -> Result<bool, DirsError> {
        let lock = self.root.join(LOCK_NAME);
        FileLock::is_held(&lock).map_err(failed("open", &lock))
    }

    /// Where the daemon writes its [`crate::status`].
    pub fn status_file(&self) -> PathBuf {
        self.root.join("status.json")
    }

    /// The oldest finished episode that a scan found or knew already.
    pub fn oldest_of(&self, scan: &Scan) -> Option<Oldest> {
        let id = scan.oldest_known.iter().chain(scan.ready.first()).min()?.clone();
        let marker = fs::symlink_metadata(self.episode(&id).join(DONE_MARKER));
        let finished = marker.and_then(|marker| marker.modified()).ok();
        Some(Oldest { id, finished })
    }
}
