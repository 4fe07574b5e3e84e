//! The state of the queue, in one struct for tests, the status and other readers.

use cis490_shared::clock::WallTime;
use cis490_shared::ids::EpisodeId;
use serde::Serialize;
use tokio::time::Instant;

use super::QueueActor;
use crate::answers::outcome::Refusal;
use crate::policy::awaited::Tally;
use crate::policy::backlog::News;
use crate::policy::hold::Cause;
use crate::report::status::{Hold, LastRefusal, Status, Success};
use crate::store::layout::DirsError;
use crate::store::scan::{Oldest, Scan};

/// The queue's counters since its start, and its present state.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Observation {
    /// The queue's share of the status, ready to be written. Fields that the queue does not know have their defaults.
    pub status: Status,
    /// Completed scans of `episodes/`.
    pub passes: u64,
    /// Failed scans of `episodes/`, and failed sweeps of the outbox.
    pub failed_passes: u64,
    /// Episodes moved to `shipped/` that the receiver had already.
    pub already_present: u64,
    /// Episodes moved to `quarantine/`.
    pub refused: u64,
    /// Attempts without a verdict.
    pub retries: u64,
    /// Orphans removed from the outbox.
    pub swept: u64,
    /// Refused episodes that went back to `episodes/` because the gate admits their commit.
    pub released: u64,
    /// The counts of the quarantine. `None` before it was surveyed for the first time.
    pub quarantine: Option<Tally>,
    /// Whether the whole queue waits.
    pub on_hold: bool,
    /// The hold while episodes cannot be moved. It takes precedence over every other hold.
    #[serde(skip)]
    pub stuck: Option<Hold>,
    /// The time of the next try, if nothing can be tried now.
    #[serde(skip)]
    pub next_try: Option<Instant>,
    /// Whether the queue begins nothing new.
    pub draining: bool,
}

impl Observation {
    /// A scan of `episodes/` has ended.
    pub(super) fn scanned(&mut self, scan: &Scan, oldest: Option<Oldest>) {
        self.passes += 1;
        self.status.backlog.in_episodes = scan.in_episodes;
        self.status.unshippable = scan.unshippable.clone();
        self.status.oldest_unshipped = oldest;
    }

    /// A look at the outbox or at `episodes/` has failed.
    pub(super) fn scan_failed(&mut self, error: &DirsError) {
        self.failed_passes += 1;
        let before = self.status.scan_failure.take();
        self.status.scan_failure = Some(Hold {
            cause: "unscannable".to_owned(),
            reason: error.to_string(),
            help: Some(error.remedy().to_owned()),
            since: before.and_then(|before| before.since).or_else(|| Some(WallTime::now())),
        });
    }

    /// The hold on the queue begins, changes or ends.
    fn heard(&mut self, news: &News) {
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
        if cause == Cause::Unmovable { &mut self.stuck } else { &mut self.status.hold }
    }

    /// Records that an episode is in `shipped/`.
    pub(super) fn shipped(&mut self, id: &EpisodeId) {
        self.left(id);
        self.status.shipped += 1;
        self.status.last_success = Some(Success { episode_id: id.to_string(), at: Some(WallTime::now()) });
    }

    /// Records that an episode is in `quarantine/`.
    pub(super) fn refused(&mut self, id: &EpisodeId, refusal: &Refusal) {
        self.left(id);
        self.refused += 1;
        self.status.conflicts += u64::from(refusal.status == Some(409));
        self.status.last_refusal = Some(LastRefusal {
            episode_id: id.to_string(),
            commit: refusal.commit.clone(),
            error: refusal.error.clone(),
            detail: refusal.detail.clone(),
            remediation: (refusal.is_about_the_commit() && !refusal.names_no_commit())
                .then(|| refusal.remediation_text().to_owned()),
            at: Some(WallTime::now()),
        });
    }

    /// Removes an episode from the counts of the latest scan, which would show it until the next one.
    fn left(&mut self, id: &EpisodeId) {
        let Status { backlog, oldest_unshipped, .. } = &mut self.status;
        backlog.in_episodes = backlog.in_episodes.saturating_sub(1);
        oldest_unshipped.take_if(|oldest| oldest.episode_id == id.as_str());
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
    /// Tells the log and the status of news.
    pub(super) fn tell(&mut self, news: News) {
        self.seen.heard(&news);
        self.report.news(news, self.backlog.counts().0);
    }

    pub(super) fn observe(&self) -> Observation {
        let mut seen = self.seen.clone();
        seen.on_hold = self.backlog.hold_cause().is_some();
        seen.next_try = self.backlog.next_try(Instant::now());
        seen.quarantine = self.quarantine.awaited.tally().cloned();
        seen.draining = self.draining;
        let backlog = &mut seen.status.backlog;
        (backlog.ready, backlog.waiting) = self.backlog.counts();
        backlog.in_flight = self.backlog.in_flight().len();
        seen.status.hold = seen.stuck.clone().or(seen.status.hold).filter(|_| seen.on_hold);
        seen
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
            let mut seen = Observation::default();
            seen.heard(&News::HoldBegan { cause, reason: "a reason".to_owned(), help: Some("help") });
            let status = Status { hold: seen.stuck.or(seen.status.hold), ..Status::default() };
            let told = problem::first(&status, Life::Running, SystemTime::UNIX_EPOCH).unwrap();
            assert_ne!(told.short, "uploads paused", "{cause:?}: that much is known");
        }
    }
}
