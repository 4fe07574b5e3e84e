//! The log for a person: one entry per shipped episode, per refused commit, per round that deleted something, and per
//! change of a condition. Never one per retry (accidents 2 and 12).
//!
//! Nothing is decided here. The memory of earlier messages is bounded.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::io;
use std::path::Path;

use cis490_shared::ids::EpisodeId;
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use cis490_shared::wire::headers::CommitPosition;
use tracing::{error, info, warn};

use crate::answers::outcome::{Refusal, Shipped};
use crate::policy::backlog::News;
use crate::policy::hold::Cause;
use crate::store::disk::{Change, Disk, Holdings};
use crate::store::layout::DirsError;
use crate::store::quarantine::Released;
use crate::store::shipped::Round;
use crate::store::unshippable::NotAnEpisode;

/// How many logged commits, and how many logged names, are remembered.
const MEMORY: usize = 1024;

/// The log of the queue.
#[derive(Debug)]
pub struct Report {
    commits: SeenOnce<(String, Option<String>)>,
    names: SeenOnce<String>,
    /// Commits that are about to be refused.
    leaving: SeenOnce<Option<String>>,
    /// True if the last sweep or scan of the directories failed.
    scans_fail: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            commits: SeenOnce::with_capacity(MEMORY),
            names: SeenOnce::with_capacity(MEMORY),
            leaving: SeenOnce::with_capacity(MEMORY),
            scans_fail: false,
        }
    }
}

impl Report {
    /// Logs an episode that is in `shipped/`.
    pub fn shipped(&mut self, episode_id: &EpisodeId, shipped: &Shipped) {
        let Shipped { status, commit, size_bytes, elapsed, position, .. } = shipped;
        let elapsed_ms = elapsed.as_millis();
        info!(%episode_id, commit, size_bytes, elapsed_ms, status, "episode shipped");
        if position.is_some_and(CommitPosition::is_ageing) && self.leaving.is_new(commit.clone()) {
            let position = position.map(|position| position.to_string());
            let remediation = shipped.remediation.as_deref().unwrap_or(DEFAULT_REMEDIATION);
            let remediation = format_args!("\n{remediation}");
            warn!(
                commit,
                position,
                %remediation,
                "this host's commit will soon leave the window"
            );
        }
    }

    /// Logs an episode that is in `quarantine/`. The next step is logged once per commit, or per episode if the commit
    /// is not the reason.
    pub fn refused(&mut self, episode_id: &EpisodeId, refusal: &Refusal) {
        let Refusal { status, error, commit, head_commit, detail, .. } = refusal;
        if !refusal.is_about_the_commit() {
            let (stored_sha256, your_sha256) = (&refusal.stored_sha256, &refusal.your_sha256);
            warn!(%episode_id, status, error, detail, stored_sha256, your_sha256, "episode refused, kept in quarantine");
            return;
        }
        info!(%episode_id, status, error, commit, "episode refused for its commit, kept in quarantine");
        if refusal.names_no_commit() {
            if self.commits.is_new((error.clone(), commit.clone())) {
                let help = format_args!(
                    "run the recorder from a git checkout; look at `code_version.commit` in quarantine/{episode_id}/meta.json"
                );
                error!(commit, error, %help, "recorder names no commit, its episodes are quarantined");
            }
            return;
        }
        if self.commits.is_new((error.clone(), commit.clone())) {
            // Last and on lines of its own, because it is to be pasted.
            let remediation = format_args!("\n{}", refusal.remediation_text());
            error!(
                commit,
                head_commit,
                error,
                %remediation,
                "commit not admitted, its episodes are quarantined"
            );
        }
    }

    /// Logs refused episodes that went back because the gate admits their commit, and those that could not.
    pub fn released(&mut self, commit: &str, released: &Released) {
        if released.count > 0 {
            let count = released.count;
            info!(commit, count, "commit admitted, sending its refused episodes again");
            // If it is refused again one day, that must be logged again.
            self.commits.forget(|(_, said)| said.as_deref() == Some(commit));
        }
        for (name, error) in &released.stayed {
            if self.names.is_new(format!("quarantine/{name}")) {
                let help = "compare it with the episode of the same id in episodes/, which is shipped first";
                warn!(name, %error, help, "an episode cannot leave quarantine");
            }
        }
    }

    /// Logs that the quarantine cannot be read.
    pub fn quarantine_unreadable(&self, error: &io::Error) {
        let help = "`ls -ld` quarantine/ in the data directory: the shipper's user must own it";
        error!(%error, help, "the quarantine cannot be read, nothing is released");
    }

    /// Logs the first failed scan of the directories, and the first good one after it.
    pub fn scanned(&mut self, failure: Option<&DirsError>) {
        match (failure, std::mem::replace(&mut self.scans_fail, failure.is_some())) {
            (Some(error), false) => error!(
                %error,
                help = error.remedy(),
                "cannot scan the data directory for new episodes"
            ),
            (None, true) => info!("the data directory can be scanned again"),
            _ => {}
        }
    }

    /// Logs entries of `episodes/` that are not shipped, each once.
    pub fn ignored(&mut self, entries: Vec<(String, NotAnEpisode)>) {
        for (name, reason) in entries {
            if self.names.is_new(name.clone()) {
                warn!(name, %reason, "an entry of episodes/ is ignored");
            }
        }
    }

    /// Logs a change in the condition of the queue or of an episode.
    pub fn news(&self, news: News, ready: usize) {
        match news {
            News::Delayed { episode_id, reason } => {
                warn!(%episode_id, reason, "episode not shipped, it will be tried again");
            }
            News::HoldBegan { cause: Cause::Unreachable, reason, .. } => {
                warn!(reason, ready, "receiver unreachable, uploads paused");
            }
            News::HoldBegan { cause: Cause::TlsRejected, reason, help } => {
                error!(reason, help, ready, "a TLS certificate was rejected, uploads paused");
            }
            News::HoldBegan { cause: Cause::Blocked(status), reason, help } => {
                error!(
                    status,
                    reason, help, ready, "receiver accepts nothing from this host, uploads paused"
                );
            }
            News::HoldBegan { cause: Cause::Unavailable, reason, help } => {
                warn!(reason, help, ready, "receiver accepts no uploads now, uploads paused");
            }
            News::HoldBegan { cause: Cause::Failing, reason, .. } => {
                warn!(reason, ready, "several uploads failed in a row, uploads paused");
            }
            News::HoldBegan { cause: Cause::Unmovable, reason, help } => {
                error!(reason, help, ready, "episodes cannot be moved, uploads paused");
            }
            News::HoldEnded(Cause::Unmovable) => info!("episodes can be moved again"),
            News::HoldEnded(Cause::Unreachable) => info!("receiver reachable again"),
            News::HoldEnded(Cause::TlsRejected | Cause::Blocked(_) | Cause::Unavailable | Cause::Failing) => {
                info!("receiver accepts uploads again");
            }
        }
    }
}

/// The log of upkeep.
#[derive(Debug, Default)]
pub struct RoomReport {
    rounds_fail: bool,
    deletions_fail: bool,
}

impl RoomReport {
    /// Logs the result of a round.
    pub fn round_ended(&mut self, root: &Path, round: &io::Result<Round>) {
        match (round, std::mem::replace(&mut self.rounds_fail, round.is_err())) {
            (Err(error), false) => error!(
                %error,
                help = format_args!("look at it: `ls -ld {root}/shipped`, `df -h {root}`", root = root.display()),
                "cannot check free disk space, keeping shipped episodes"
            ),
            (Ok(_), true) => info!("free disk space can be checked again"),
            _ => {}
        }
        if let Ok(round) = round {
            self.deleted(round);
        }
    }

    fn deleted(&mut self, round: &Round) {
        let Round { disk, for_age, for_space, freed, failure, .. } = round;
        let deleted = for_age + for_space;
        if deleted > 0 {
            info!(
                deleted,
                for_age,
                for_space,
                freed_bytes = freed.bytes,
                free_percent = disk.free_percent(),
                "shipped episodes deleted, oldest first"
            );
        }
        match (failure, self.deletions_fail) {
            (Some((path, error)), false) => {
                self.deletions_fail = true;
                let path = path.display();
                warn!(
                    %path,
                    %error,
                    help = format_args!("make it deletable for the shipper's user: `ls -la {path}`"),
                    "cannot delete a shipped episode"
                );
            }
            // A round that deleted nothing does not prove that deletions work.
            (None, true) if deleted > 0 => {
                self.deletions_fail = false;
                info!("shipped episodes can be deleted again");
            }
            _ => {}
        }
    }

    /// Logs a change of the free space. `is_pruned` is true if shipped episodes are deleted to make room.
    pub fn room(&self, root: &Path, change: Change, disk: &Disk, holdings: &Holdings, is_pruned: bool) {
        let Disk { free_bytes, total_bytes, free_inodes, .. } = disk;
        let Holdings { episodes, outbox, shipped, quarantine } = holdings;
        let (free_percent, root) = (disk.free_percent(), root.display());
        let why = match is_pruned {
            true => "no shipped episode is left to delete",
            false => {
                "delete old episodes in shipped/, which the receiver has, or set `retention.free_percent`, which is 0"
            }
        };
        let next =
            format_args!("{why}; find what takes the room: `du -xh --max-depth=2 {root} | sort -h | tail`");
        match change {
            Change::Low => warn!(
                data_root = %root, free_bytes, total_bytes, free_percent, free_inodes,
                episodes, outbox, shipped, quarantine, help = %next,
                "the disk of the data directory is nearly full"
            ),
            Change::Critical => error!(
                data_root = %root, free_bytes, total_bytes, free_percent, free_inodes,
                episodes, outbox, shipped, quarantine, help = %next,
                "the disk of the data directory is almost full, recording will fail"
            ),
            Change::Over => info!(
                data_root = %root, free_bytes, total_bytes, free_percent, free_inodes,
                "the disk of the data directory has room again"
            ),
        }
    }
}

/// A bounded set of logged things. It forgets the oldest, which is then logged again.
#[derive(Debug)]
struct SeenOnce<T> {
    order: VecDeque<T>,
    set: HashSet<T>,
    capacity: usize,
}

impl<T: Clone + Eq + Hash> SeenOnce<T> {
    /// Creates a set of up to `capacity` things.
    fn with_capacity(capacity: usize) -> Self {
        Self { order: VecDeque::new(), set: HashSet::new(), capacity }
    }

    /// Adds a thing; returns true if it is new.
    fn is_new(&mut self, thing: T) -> bool {
        if !self.set.insert(thing.clone()) {
            return false;
        }
        self.order.push_back(thing);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }

    /// Forgets the things that match.
    fn forget(&mut self, which: impl Fn(&T) -> bool) {
        self.order.retain(|thing| !which(thing));
        self.set.retain(|thing| !which(thing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_new_once_and_the_memory_is_bounded() {
        let mut said = SeenOnce::with_capacity(2);
        assert!(said.is_new("a") && !said.is_new("a"));
        assert!(said.is_new("b") && said.is_new("c"));
        assert_eq!((said.order.len(), said.set.len()), (2, 2));
        assert!(!said.is_new("c") && said.is_new("a"));
        said.forget(|thing| *thing == "c");
        assert!(said.is_new("c") && !said.is_new("a"));
    }
}
