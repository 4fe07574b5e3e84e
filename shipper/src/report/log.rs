//! What a person reads: one entry per shipped episode, one per commit that is refused, one per change of a
//! condition. Never one per retry (accidents 2 and 12).
//!
//! Only logging: nothing is decided here. The memory of what was said is bounded.

use std::io;

use cis490_shared::ids::EpisodeId;
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use cis490_shared::wire::headers::CommitPosition;
use tracing::{error, info, warn};

use crate::answers::outcome::{Refusal, Shipped};
use crate::policy::backlog::News;
use crate::policy::hold::Cause;
use crate::report::seen_once::SeenOnce;
use crate::store::layout::DirsError;
use crate::store::quarantine::release::Released;
use crate::store::scan::NotAnEpisode;

/// How many commits, and how many odd names, are remembered as said.
const MEMORY: usize = 1024;

/// The log of the queue.
#[derive(Debug)]
pub struct Report {
    commits: SeenOnce<(String, Option<String>)>,
    names: SeenOnce<String>,
    /// Commits that are about to be refused.
    leaving: SeenOnce<Option<String>>,
    /// Whether the last look through the directories failed.
    looks_fail: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            commits: SeenOnce::with_capacity(MEMORY),
            names: SeenOnce::with_capacity(MEMORY),
            leaving: SeenOnce::with_capacity(MEMORY),
            looks_fail: false,
        }
    }
}

impl Report {
    /// An episode is in `shipped/`.
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
                "the commit of this host's code is about to leave the window, after which its episodes are refused; on this host, run what follows"
            );
        }
    }

    /// An episode is in `quarantine/`. What to do is said once per commit, or once per episode where the
    /// commit is not the matter.
    pub fn refused(&mut self, episode_id: &EpisodeId, refusal: &Refusal) {
        let Refusal { status, error, commit, head_commit, detail, .. } = refusal;
        if !refusal.is_about_the_commit() {
            let (stored_sha256, your_sha256) = (&refusal.stored_sha256, &refusal.your_sha256);
            warn!(%episode_id, status, error, detail, stored_sha256, your_sha256, "episode refused, kept in quarantine");
            return;
        }
        info!(%episode_id, status, error, commit, "episode refused for its commit, kept in quarantine");
        if self.commits.is_new((error.clone(), commit.clone())) {
            // On lines of its own, and last: it is there to be pasted.
            let remediation = format_args!("\n{}", refusal.remediation_text());
            error!(
                commit,
                head_commit,
                error,
                %remediation,
                "episodes recorded by this commit are refused and kept in quarantine; on this host, run what follows"
            );
        }
    }

    /// Refused episodes were to go back, since the gate admits their commit.
    pub fn released(&mut self, commit: &str, released: &Released) {
        if released.count > 0 {
            let count = released.count;
            info!(commit, count, "the gate admits a commit: refused episodes are sent again");
            // It may be refused anew one day, which is news then.
            self.commits.forget(|(_, said)| said.as_deref() == Some(commit));
        }
        for (name, error) in &released.stayed {
            if self.names.is_new(format!("quarantine/{name}")) {
                let help = "look at it; an episode of that id in episodes/ goes first";
                warn!(name, %error, help, "an episode cannot leave quarantine");
            }
        }
    }

    /// The quarantine was to be looked through.
    pub fn quarantine_unreadable(&self, error: &io::Error) {
        let help = "`ls -ld` quarantine/ in the data directory: the shipper's user must own it";
        error!(%error, help, "the quarantine cannot be read, nothing goes back by itself");
    }

    /// The directories were to be looked through.
    pub fn looked(&mut self, failure: Option<&DirsError>) {
        match (failure, std::mem::replace(&mut self.looks_fail, failure.is_some())) {
            (Some(error), false) => error!(
                %error,
                help = error.remedy(),
                "the data directory cannot be looked through, nothing new is found"
            ),
            (None, true) => info!("the data directory can be looked through again"),
            _ => {}
        }
    }

    /// Entries of `episodes/` that are not shipped.
    pub fn ignored(&mut self, entries: Vec<(String, NotAnEpisode)>) {
        for (name, reason) in entries {
            if self.names.is_new(name.clone()) {
                warn!(name, %reason, "an entry of episodes/ is ignored");
            }
        }
    }

    /// The condition of the queue, or of one episode, has changed.
    pub fn news(&self, news: News, ready: usize) {
        match news {
            News::Delayed { episode_id, reason } => {
                warn!(%episode_id, reason, "episode not shipped, it will be tried again");
            }
            News::HoldBegan { cause: Cause::Unreachable, reason, .. } => {
                warn!(reason, ready, "receiver unreachable, the queue waits");
            }
            News::HoldBegan { cause: Cause::TlsRejected, reason, help } => {
                error!(reason, help, ready, "no trust between this host and the receiver, the queue waits");
            }
            News::HoldBegan { cause: Cause::Blocked(status), reason, help } => {
                error!(
                    status,
                    reason, help, ready, "the receiver takes nothing from this host, the queue waits"
                );
            }
            News::HoldBegan { cause: Cause::Unavailable, reason, .. } => {
                warn!(reason, ready, "the receiver takes no episodes at the moment, the queue waits");
            }
            News::HoldBegan { cause: Cause::Failing, reason, .. } => {
                warn!(reason, ready, "one episode after the other fails, the queue waits");
            }
            News::HoldBegan { cause: Cause::Unmovable, reason, help } => {
                error!(reason, help, ready, "episodes cannot be moved, nothing is sent until they can");
            }
            News::HoldEnded(Cause::Unmovable) => info!("episodes can be moved again"),
            News::HoldEnded(Cause::Unreachable) => info!("receiver reachable again"),
            News::HoldEnded(Cause::TlsRejected | Cause::Blocked(_) | Cause::Unavailable | Cause::Failing) => {
                info!("the receiver takes episodes again");
            }
        }
    }
}
