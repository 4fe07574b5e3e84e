//! Decides what to try now, and which action follows from an outcome. Combines schedule and hold.
//!
//! Pure, and the only place that turns an [`Outcome`] into an [`Action`]. The actor around it performs the actions and
//! logs. It guards invariants I6 and I7: only [`Outcome::Stored`] and [`Outcome::AlreadyPresent`] lead to `shipped/`,
//! and no outcome deletes an episode.

use std::collections::BTreeSet;
use std::time::Duration;

use cis490_shared::ids::EpisodeId;
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::answers::outcome::{Blocked, Outcome, Refusal, Scope, Shipped};
use crate::policy::hold::{Cause, Change, Hold, Permit};
use crate::policy::schedule::{Pick, Schedule};

/// Tries whose bytes arrive changed before an episode is quarantined.
pub const MAX_MISMATCHES: u32 = 3;
/// Failed tries to pack before an episode with unreadable files is quarantined. The waits between them are at least two
/// minutes in total, in which a recorder can give the files to the shipper.
pub const MAX_UNREADY: u32 = 9;
/// Episodes that fail one by one, in a row, before the receiver is taken to be in trouble.
const STREAK: u32 = 3;
/// Failed episodes that keep their archive. Others are packed again for their next try, so that days of trouble do not
/// fill the disk with a second copy of the backlog.
const KEPT_ARCHIVES: usize = 8;

/// The next step of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ship this episode.
    Ship(Pick),
    /// Do nothing before this time.
    Wait(Instant),
    /// Move the episodes again that could not be moved.
    PutAway,
    /// Do nothing until an upload ends or a scan finds something.
    Idle,
}

/// The action that follows from an outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Move the episode to `shipped/`, then call [`Backlog::finish`].
    Retire(Shipped),
    /// Move the episode to `quarantine/` with this note, then call [`Backlog::finish`].
    Quarantine(Refusal),
    /// Leave the episode where it is.
    Keep,
    /// Leave the episode where it is, but remove its archive.
    KeepWithoutArchive,
}

/// A change that a person should be told; each is one log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The queue waits from now on, or for another reason than before.
    HoldBegan {
        /// The cause of the hold.
        cause: Cause,
        /// The failure, in words.
        reason: String,
        /// What a person should check, if waiting will not help.
        help: Option<&'static str>,
    },
    /// The hold is over, because something got through.
    HoldEnded(Cause),
    /// This episode failed for the first time, while others get through.
    Delayed {
        /// The id of the episode.
        episode_id: EpisodeId,
        /// The failure, in words.
        reason: String,
    },
}

/// The episodes that this host knows, and the rules for trying them.
#[derive(Debug)]
pub struct Backlog {
    schedule: Schedule,
    hold: Hold,
    /// A hold while episodes cannot be put away. Nothing is sent then, because delivered episodes would pile up.
    moves: Hold,
    streak: u32,
    rng: StdRng,
}

impl Backlog {
    /// Returns an empty backlog; `rng` decides the jitter.
    pub fn new(rng: StdRng) -> Self {
        Self { schedule: Schedule::default(), hold: Hold::default(), moves: Hold::default(), streak: 0, rng }
    }

    /// Takes the result of a scan.
    pub fn offer(&mut self, found: impl IntoIterator<Item = EpisodeId>) {
        self.schedule.offer(found);
    }

    /// Adds an episode that was noticed between two scans.
    pub fn notice(&mut self, id: EpisodeId) {
        self.schedule.notice(id);
    }

    /// Returns the next step at `now`. An episode to ship is in flight from then on. Episodes that are known to be
    /// large are skipped if no large one may start.
    pub fn next(&mut self, now: Instant, room_for_large: bool) -> Next {
        match self.moves.permit(now) {
            Permit::Free => {}
            Permit::Probe => return Next::PutAway,
            Permit::NotBefore(until) => return Next::Wait(until),
        }
        match self.hold.permit(now) {
            Permit::NotBefore(_) if self.schedule.counts() == (0, 0) => Next::Idle,
            Permit::NotBefore(until) => Next::Wait(until),
            Permit::Probe if self.schedule.in_flight().len() > 0 => Next::Idle,
            permit => {
                let pick = match permit {
                    Permit::Probe => self.schedule.pick_untried(now, room_for_large),
                    Permit::Free | Permit::NotBefore(_) => self.schedule.pick(now, room_for_large),
                };
                match (pick, self.schedule.next_due(room_for_large)) {
                    (Some(pick), _) => Next::Ship(pick),
                    (None, Some(due)) => Next::Wait(due),
                    (None, None) => Next::Idle,
                }
            }
        }
    }

    /// Settles an episode in flight by its outcome. Returns the action, and the news if there is any.
    pub fn settle(&mut self, id: &EpisodeId, outcome: Outcome, now: Instant) -> (Action, Option<News>) {
        match outcome {
            Outcome::Stored(shipped) | Outcome::AlreadyPresent(shipped) => {
                (Action::Retire(shipped), self.receiver_responded())
            }
            Outcome::Refused(refusal) if refusal.status.is_none() => (Action::Quarantine(refusal), None),
            Outcome::Refused(refusal) | Outcome::Conflict(refusal) => {
                (Action::Quarantine(refusal), self.receiver_responded())
            }
            Outcome::Mismatch(refusal) => {
                let news = self.receiver_responded();
                match self.schedule.count_mismatch(id) >= MAX_MISMATCHES {
                    true => (Action::Quarantine(refusal), news),
                    false => (self.later(id, None, now), news),
                }
            }
            Outcome::HostBlocked(Blocked { status, detail, help }) => {
                let news = self.blocked(status, detail, help, now);
                if about_the_host(status) {
                    self.schedule.put_back(id.clone(), now);
                    return (Action::Keep, news);
                }
                // Nothing tells what this status is about. Next time another episode is tried first, in case it is
                // about this one.
                (self.later(id, None, now), news)
            }
            Outcome::TlsRejected { reason, help } => {
                self.schedule.put_back(id.clone(), now);
                (Action::Keep, self.fail(Cause::TlsRejected, None, now, reason, Some(help)))
            }
            Outcome::Transient { scope, reason, retry_after, help } => {
                self.transient(id, scope, (reason, help), retry_after, now)
            }
            Outcome::Unready { reason, aside } => self.unready(id, reason, aside, now),
            Outcome::Gone => {
                self.finish(id);
                (Action::Keep, None)
            }
            Outcome::Postponed => {
                self.schedule.postpone(id.clone(), now);
                (Action::Keep, None)
            }
            Outcome::Stopped => {
                self.schedule.put_back(id.clone(), now);
                (Action::Keep, None)
            }
        }
    }

    /// Settles an episode that cannot be packed now. That is not about the receiver or another episode, so nothing else
    /// waits.
    fn unready(
        &mut self,
        id: &EpisodeId,
        reason: String,
        aside: Option<&'static str>,
        now: Instant,
    ) -> (Action, Option<News>) {
        let tries = self.schedule.count_unready(id);
        if let Some(error) = aside.filter(|_| tries >= MAX_UNREADY) {
            let refusal = Refusal { error: error.to_owned(), detail: Some(reason), ..Refusal::default() };
            return (Action::Quarantine(refusal), None);
        }
        let delayed = (tries == 1).then(|| News::Delayed { episode_id: id.clone(), reason });
        (self.later(id, None, now), delayed)
    }

    fn transient(
        &mut self,
        id: &EpisodeId,
        scope: Scope,
        (reason, help): (String, Option<&'static str>),
        retry_after: Option<Duration>,
        now: Instant,
    ) -> (Action, Option<News>) {
        match scope {
            Scope::Network => {
                self.schedule.put_back(id.clone(), now);
                (Action::Keep, self.fail(Cause::Unreachable, retry_after, now, reason, None))
            }
            Scope::Receiver => {
                let news = self.fail(Cause::Unavailable, retry_after, now, reason, help);
                (self.later(id, retry_after, now), news)
            }
            Scope::Episode => {
                self.streak += 1;
                let news = if self.streak >= STREAK || self.hold.cause().is_some() {
                    self.fail(Cause::Failing, None, now, reason, None)
                } else {
                    let delayed = News::Delayed { episode_id: id.clone(), reason };
                    (self.schedule.failures(id) == 0).then_some(delayed)
                };
                (self.later(id, retry_after, now), news)
            }
        }
    }

    /// Ends the wait of a hold on this host or its certificates, because the credentials have changed.
    pub fn shown_anew(&mut self, now: Instant) {
        if matches!(self.hold.cause(), Some(Cause::Blocked(_) | Cause::TlsRejected)) {
            self.hold.cut_short(now);
        }
    }

    /// Returns true if the gate may be asked about the commits of refused episodes. While the queue waits for the
    /// receiver, a question is an attempt like any other, made only if there is no episode to make it.
    pub fn may_ask(&self, now: Instant) -> bool {
        if self.moves.cause().is_some() {
            return false;
        }
        if self.hold.cause() == Some(Cause::Failing) {
            // The receiver answers. An episode that fails for ever must not keep others in quarantine.
            return true;
        }
        let has_episodes = self.schedule.counts() != (0, 0) || self.schedule.in_flight().len() > 0;
        match self.hold.permit(now) {
            Permit::Free => true,
            Permit::Probe => !has_episodes,
            Permit::NotBefore(_) => false,
        }
    }

    /// Records that the gate answered: the receiver is there, and lets this host ask.
    pub fn answered(&mut self) -> Option<News> {
        if self.hold.cause() == Some(Cause::Failing) {
            // An answer of the gate does not explain why episodes fail one after the other.
            return None;
        }
        self.hold.end().map(News::HoldEnded)
    }

    /// Records that the gate did not answer, with this outcome.
    pub fn unanswered(&mut self, outcome: Outcome, now: Instant) -> Option<News> {
        match outcome {
            Outcome::HostBlocked(Blocked { status, detail, help }) => self.blocked(status, detail, help, now),
            Outcome::TlsRejected { reason, help } => {
                self.fail(Cause::TlsRejected, None, now, reason, Some(help))
            }
            Outcome::Transient { scope, reason, retry_after, help } => {
                let cause = if scope == Scope::Network { Cause::Unreachable } else { Cause::Unavailable };
                self.fail(cause, retry_after, now, reason, help)
            }
            // A question has no other outcome.
            _ => None,
        }
    }

    fn blocked(
        &mut self,
        status: u16,
        detail: Option<String>,
        help: &'static str,
        now: Instant,
    ) -> Option<News> {
        let reason =
            detail.map_or(format!("answered {status}"), |detail| format!("answered {status}: {detail}"));
        self.fail(Cause::Blocked(status), None, now, reason, Some(help))
    }

    /// Records that the receiver responded to an episode, so the trouble is over.
    fn receiver_responded(&mut self) -> Option<News> {
        self.streak = 0;
        self.hold.end().map(News::HoldEnded)
    }

    fn fail(
        &mut self,
        cause: Cause,
        retry_after: Option<Duration>,
        now: Instant,
        reason: String,
        help: Option<&'static str>,
    ) -> Option<News> {
        match self.hold.fail(cause, retry_after, now, &mut self.rng) {
            Change::Began => Some(News::HoldBegan { cause, reason, help }),
            Change::Same => None,
        }
    }

    fn later(&mut self, id: &EpisodeId, retry_after: Option<Duration>, now: Instant) -> Action {
        self.schedule.retry_later(id.clone(), retry_after, now, &mut self.rng);
        let (_, waiting) = self.schedule.counts();
        if waiting > KEPT_ARCHIVES { Action::KeepWithoutArchive } else { Action::Keep }
    }

    /// Records that the action for an episode is done.
    pub fn finish(&mut self, id: &EpisodeId) {
        self.schedule.finish(id);
    }

    /// Records that episodes could not be moved. Only the moves are tried again, and nothing is sent until they work.
    pub fn stuck<'a>(
        &mut self,
        ids: impl IntoIterator<Item = &'a EpisodeId>,
        reason: String,
        help: &'static str,
        now: Instant,
    ) -> Option<News> {
        ids.into_iter().for_each(|id| self.schedule.stick(id));
        let cause = Cause::Unmovable;
        match self.moves.fail(cause, None, now, &mut self.rng) {
            Change::Began => Some(News::HoldBegan { cause, reason, help: Some(help) }),
            Change::Same => None,
        }
    }

    /// Records that episodes were moved. The hold on moves ends if no episode is stuck any more.
    pub fn moved(&mut self) -> Option<News> {
        let ended = if self.schedule.has_stuck() { None } else { self.moves.end() };
        ended.map(News::HoldEnded)
    }

    /// Returns the episodes in flight, until their action is done.
    pub fn in_flight(&self) -> BTreeSet<EpisodeId> {
        self.schedule.in_flight().cloned().collect()
    }

    /// Returns the episodes that a scan need not find.
    pub fn known(&self) -> BTreeSet<EpisodeId> {
        self.schedule.known()
    }

    /// Returns how many episodes are ready, and how many wait for another try or to be moved.
    pub fn counts(&self) -> (usize, usize) {
        self.schedule.counts()
    }

    /// Returns the time of the next try, if nothing can be tried at `now`.
    pub fn next_try(&self, now: Instant) -> Option<Instant> {
        if let Permit::NotBefore(until) = self.moves.permit(now) {
            return Some(until);
        }
        let (ready, waiting) = self.schedule.counts();
        match self.hold.permit(now) {
            Permit::NotBefore(until) if ready + waiting > 0 => Some(until),
            Permit::Free | Permit::Probe if ready == 0 => {
                self.schedule.next_due(true).filter(|due| *due > now)
            }
            _ => None,
        }
    }

    /// Returns the cause, if the whole queue waits.
    pub fn hold_cause(&self) -> Option<Cause> {
        self.moves.cause().or_else(|| self.hold.cause())
    }
}

/// Returns true if this status is about a wrong host, URL or version by protocol 2.2, whatever the episode.
fn about_the_host(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 405 | 411 | 426)
}

#[cfg(test)]
mod tests;
