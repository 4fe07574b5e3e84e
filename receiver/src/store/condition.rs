//! The condition of the store, inspected every few seconds and kept, so that readers get an answer at once even while
//! the disk hangs.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::latest::Latest;
use tracing::{info, warn};

use super::space::{self, Room};
use super::verified::{self, Verified};
use crate::io_thread::IoThread;

/// The interval between inspections.
const PACE: Duration = Duration::from_secs(5);

/// An inspection that takes longer than this hangs: a mount is gone, or a disk does not answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The result of the last inspection.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The time of the inspection.
    pub inspected: Instant,
    /// The free space; `None` if it could not be read.
    pub room: Option<Room>,
    /// The last report of verify; `None` if verify never ran or its report cannot be read.
    pub verified: Option<Arc<Verified>>,
}

impl Condition {
    /// Returns true if the disk has not answered for too long.
    pub fn hangs(&self) -> bool {
        self.inspected.elapsed() > PATIENCE
    }

    /// Returns true if verify reported the archive of a pair as damaged. Its bytes must then be checked.
    pub fn is_in_doubt(&self, host: &HostId, episode: &EpisodeId) -> bool {
        let damaged: Option<&HashSet<_>> = self.verified.as_ref().map(|verified| &verified.damaged);
        damaged.is_some_and(|pairs| pairs.contains(&(host.clone(), episode.clone())))
    }
}

/// Inspects the store and publishes its condition.
#[derive(Debug)]
pub struct ConditionWatcher {
    root: PathBuf,
    report: PathBuf,
    latest: Latest<Condition>,
    /// The modification time of the report that was last read.
    read: Option<SystemTime>,
    complaint: Option<String>,
}

impl ConditionWatcher {
    /// Inspects for the first time the store below `root` and verify's `report`. Blocks.
    pub fn begin(root: PathBuf, report: PathBuf) -> Self {
        let latest = Latest::new(Condition { inspected: Instant::now(), room: None, verified: None });
        let mut watcher = Self { root, report, latest, read: None, complaint: None };
        watcher.inspect();
        watcher
    }

    /// Returns the view of the condition, which stays current while the watcher runs.
    pub fn latest(&self) -> Latest<Condition> {
        self.latest.clone()
    }

    /// Inspects every few seconds, for ever, on `thread`. While one inspection hangs, no other starts.
    pub async fn run(mut self, thread: IoThread) {
        loop {
            tokio::time::sleep(PACE).await;
            let inspection = move || {
                self.inspect();
                self
            };
            match thread.run(inspection).await {
                Ok(watcher) => self = watcher,
                // Health shows that the last inspection is long ago.
                Err(_) => return std::future::pending().await,
            }
        }
    }

    fn inspect(&mut self) {
        let room = space::room(&self.root).ok();
        let verified = match self.read_report() {
            Ok(verified) => {
                if self.complaint.take().is_some() {
                    info!("the report of cis490-verify can be read again");
                }
                verified
            }
            Err(error) => {
                self.complain(&error);
                None
            }
        };
        self.latest.publish(Condition { inspected: Instant::now(), room, verified });
    }

    /// Returns the report, which is read again if its modification time has changed.
    fn read_report(&mut self) -> io::Result<Option<Arc<Verified>>> {
        let written = match std::fs::metadata(&self.report) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found?.modified()?),
        };
        if written == self.read {
            return Ok(self.latest.now().verified.clone());
        }
        self.read = None;
        let verified = verified::read(&self.report)?;
        self.read = written;
        Ok(verified.map(Arc::new))
    }

    fn complain(&mut self, error: &io::Error) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            let path = self.report.display();
            warn!(%path, %error, help = "`cis490-verify --report FILE` writes it; `ls -l` shows who may read it", "the report of cis490-verify cannot be read");
            self.complaint = Some(complaint);
        }
    }
}
