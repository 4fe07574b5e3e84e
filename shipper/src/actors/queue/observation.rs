//! What the queue knows about itself, in one struct for tests, the status and whoever else asks.

use cis490_shared::clock::WallTime;
use cis490_shared::ids::EpisodeId;
use serde::Serialize;
use tokio::time::Instant;

use super::QueueActor;
use crate::answers::outcome::Refusal;
use crate::policy::awaited::Tally;
use crate::policy::backlog::News;
use crate::policy::hold::Cause;
use crate::report::status::{Hold, LastRefusal, Oldest, Success};
use crate::store::scan;

/// The queue's counters since its start, and its state at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// Episodes that are known and may be tried.
    pub ready: usize,
    /// Episodes that wait after a failure.
    pub waiting: usize,
    /// Episodes that are shipped or moved at the moment.
    pub in_flight: usize,
    /// Looks at `episodes/` that came to an end.
    pub passes: u64,
    /// Looks at `episodes/` or at the outbox that failed.
    pub failed_passes: u64,
    /// Episodes moved to `shipped/`.
    pub shipped: u64,
    /// Of these: those that the receiver had already.
    pub already_present: u64,
    /// Episodes moved to `quarantine/`.
    pub refused: u64,
    /// Of these: those whose id is taken by other bytes.
    pub conflicts: u64,
    /// Attempts that ended without a verdict.
    pub retries: u64,
    /// Orphans removed from the outbox.
    pub swept: u64,
    /// Refused episodes that went back to `episodes/` because the gate admits their commit.
    pub released: u64,
    /// What lies in quarantine; none before it was looked through for the first time.
    pub quarantine: Option<Tally>,
    /// Whether the whole queue waits.
    pub on_hold: bool,
    /// `X-Cis490-Commit-Position` of the latest answer that had one.
    pub commit_position: Option<String>,
    /// What only the status is for.
    pub details: Details,
}

/// What a person wants to know beyond the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// All directories of episodes in `episodes/`, as the latest look found them.
    pub in_episodes: usize,
    /// The oldest finished episode, as the latest look found it.
    pub oldest: Option<Oldest>,
    /// The episode that was shipped last.
    pub last_success: Option<Success>,
    /// When something is tried again, where nothing can be tried now.
    #[serde(skip)]
    pub next_try: Option<Instant>,
    /// Why the whole queue waits.
    pub hold: Option<Hold>,
    /// The same where episodes cannot be moved, which goes before all else.
    #[serde(skip)]
    pub stuck: Option<Hold>,
    /// The refusal that came last.
    pub last_refusal: Option<LastRefusal>,
    /// Nothing new is begun.
    pub draining: bool,
}

impl Details {
    /// A look through `episodes/` has ended.
    pub(super) fn looked(&mut self, in_episodes: usize, oldest: Option<scan::Oldest>) {
        self.in_episodes = in_episodes;
        self.oldest = oldest.map(|oldest| Oldest {
            episode_id: oldest.id.to_string(),
            since: oldest.finished.map(WallTime::from),
        });
    }

    /// The hold on the queue begins, changes or ends.
    pub(super) fn heard(&mut self, news: &News) {
        match news {
            News::HoldBegan { cause, reason, help } => {
                *self.hold_of(*cause) = Some(Hold {
                    cause: name_of(*cause).to_owned(),
                    reason: reason.clone(),
                    help: help.map(str::to_owned),
                    since: Some(WallTime::now()),
                });
            }
            News::HoldEnded(cause) => *self.hold_of(*cause) = None,
            News::Delayed { .. } => {}
        }
    }

    fn hold_of(&mut self, cause: Cause) -> &mut Option<Hold> {
        if cause == Cause::Unmovable { &mut self.stuck } else { &mut self.hold }
    }

    /// An episode is in `shipped/`.
    pub(super) fn shipped(&mut self, id: &EpisodeId) {
        self.left(id);
        self.last_success = Some(Success { episode_id: id.to_string(), at: Some(WallTime::now()) });
    }

    /// An episode is in `quarantine/`.
    pub(super) fn refused(&mut self, id: &EpisodeId, refusal: &Refusal) {
        self.left(id);
        self.last_refusal = Some(LastRefusal {
            episode_id: id.to_string(),
            commit: refusal.commit.clone(),
            error: refusal.error.clone(),
            detail: refusal.detail.clone(),
            remediation: refusal.is_about_the_commit().then(|| refusal.remediation_text().to_owned()),
            at: Some(WallTime::now()),
        });
    }

    /// So that a look of a while ago does not show what has left since.
    fn left(&mut self, id: &EpisodeId) {
        self.in_episodes = self.in_episodes.saturating_sub(1);
        if self.oldest.as_ref().is_some_and(|oldest| oldest.episode_id == id.as_str()) {
            self.oldest = None;
        }
    }
}

fn name_of(cause: Cause) -> &'static str {
    match cause {
        Cause::Unreachable => "unreachable",
        Cause::TlsRejected => "distrusted",
        Cause::Unavailable => "unavailable",
        Cause::Blocked(_) => "blocked",
        Cause::Failing => "failing",
        Cause::Unmovable => "unmovable",
    }
}

impl QueueActor {
    /// Tells the log and the status.
    pub(super) fn tell(&mut self, news: News) {
        self.seen.details.heard(&news);
        self.report.news(news, self.backlog.counts().0);
    }

    pub(super) fn observe(&self) -> Observation {
        let (ready, waiting) = self.backlog.counts();
        let on_hold = self.backlog.hold_cause().is_some();
        let seen = self.seen.clone();
        let details = Details {
            next_try: self.backlog.next_try(Instant::now()),
            hold: seen.details.stuck.clone().or(seen.details.hold).filter(|_| on_hold),
            draining: self.draining,
            ..seen.details
        };
        let in_flight = self.backlog.in_flight().len();
        let quarantine = self.quarantine.awaited.tally().cloned();
        Observation { ready, waiting, in_flight, quarantine, on_hold, details, ..seen }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::report::problem;
    use crate::report::status::{Life, Status};

    #[test]
    fn a_person_is_told_in_words_why_the_queue_waits() {
        let all = [
            Cause::Unreachable,
            Cause::TlsRejected,
            Cause::Unavailable,
            Cause::Blocked(401),
            Cause::Failing,
            Cause::Unmovable,
        ];
        for cause in all {
            let mut details = Details::default();
            details.heard(&News::HoldBegan { cause, reason: "a reason".to_owned(), help: Some("help") });
            let status = Status { hold: details.stuck.or(details.hold), ..Status::default() };
            let told = problem::first(&status, Life::Running, SystemTime::UNIX_EPOCH).unwrap();
            assert_ne!(told.short, "the queue waits", "{cause:?}: that much is known");
        }
    }
}
