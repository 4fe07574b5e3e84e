//! The condition of the store, looked at every few seconds and kept: whoever asks is answered at once, also while the
//! disk does not answer.

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

/// How often the store is looked at.
const PACE: Duration = Duration::from_secs(5);

/// A look that takes longer than this hangs: a mount that is gone, a disk that does not answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What was seen at the last look.
#[derive(Debug, Clone)]
pub struct Condition {
    /// When that was.
    pub inspected: Instant,
    /// What there is room for; none where it could not be seen.
    pub room: Option<Room>,
    /// What verify last said; none where it never ran, or its report is not known.
    pub verified: Option<Arc<Verified>>,
}

impl Condition {
    /// Whether the disk has not answered for too long.
    pub fn hangs(&self) -> bool {
        self.inspected.elapsed() > PATIENCE
    }

    /// Whether verify called the archive of a pair damaged, which is then to be proved.
    pub fn is_in_doubt(&self, host: &HostId, episode: &EpisodeId) -> bool {
        let damaged: Option<&HashSet<_>> = self.verified.as_ref().map(|verified| &verified.damaged);
        damaged.is_some_and(|pairs| pairs.contains(&(host.clone(), episode.clone())))
    }
}

/// Whoever looks.
#[derive(Debug)]
pub struct ConditionWatcher {
    root: PathBuf,
    report: PathBuf,
    latest: Latest<Condition>,
    /// When the report was written that was read last.
    read: Option<SystemTime>,
    complaint: Option<String>,
}

impl ConditionWatcher {
    /// Looks for the first time, at the store below `root` and at verify's `report`. Blocks.
    pub fn begin(root: PathBuf, report: PathBuf) -> Self {
        let latest = Latest::new(Condition { inspected: Instant::now(), room: None, verified: None });
        let mut watcher = Self { root, report, latest, read: None, complaint: None };
        watcher.inspect();
        watcher
    }

    /// What was seen, kept current while it runs.
    pub fn latest(&self) -> Latest<Condition> {
        self.latest.clone()
    }

    /// Looks again and again, for ever, by `thread`: while one look hangs, no other begins.
    pub async fn run(mut self, thread: IoThread) {
        loop {
            tokio::time::sleep(PACE).await;
            let inspection = move || {
                self.inspect();
                self
            };
            match thread.run(inspection).await {
                Ok(watcher) => self = watcher,
                // That nothing was seen for long shows in health.
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

    /// What the report says, which is read again where it was written since.
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
