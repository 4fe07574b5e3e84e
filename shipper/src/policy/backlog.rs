//! What to try now, and what an outcome leads to: schedule and hold together.
//!
//! Pure, and the only place where an [`Outcome`] is turned into a deed. The actor around it does the deeds
//! and the logging. It guards invariants I6 and I7: there is no way from an outcome to `shipped/` but
//! [`Outcome::Stored`] and [`Outcome::AlreadyPresent`], and none that deletes an episode.

use std::collections::BTreeSet;
use std::time::Duration;

use cis490_shared::ids::EpisodeId;
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::answers::outcome::{Blocked, Outcome, Refusal, Scope, Shipped};
use crate::policy::hold::{Cause, Change, Hold, Permit};
use crate::policy::schedule::{Pick, Schedule};

/// After this many tries whose bytes arrived as others, an episode is put aside.
pub const MAX_MISMATCHES: u32 = 3;
/// After this many tries at packing, an episode whose files may not be read is put aside: with the waits between them
/// that is two minutes at least, in which a recorder can give them to the shipper.
pub const MAX_UNREADY: u32 = 9;
/// This many episodes in a row that failed one by one are taken for trouble of the receiver.
const STREAK: u32 = 3;
/// How many failed episodes keep their archive. Those beyond are packed again for their next try, so that
/// days of trouble do not fill the disk with a second copy of the backlog.
const KEPT_ARCHIVES: usize = 8;

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ship this one.
    Ship(Pick),
    /// Nothing before that moment.
    Wait(Instant),
    /// Move what could not be moved once more.
    PutAway,
    /// Nothing until an upload ends or a scan finds something.
    Idle,
}

/// What an outcome asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Move it to `shipped/`, then say [`Backlog::finish`].
    Retire(Shipped),
    /// Move it to `quarantine/` with this note, then say [`Backlog::finish`].
    Quarantine(Refusal),
    /// Leave it where it is.
    Keep,
    /// Leave it where it is, but remove its archive.
    KeepWithoutArchive,
}

/// What a person should hear about; each is one log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The queue waits from now on, or for another reason than before.
    HoldBegan {
        /// Why.
        cause: Cause,
        /// What happened.
        reason: String,
        /// What a person should look at, where waiting will not help.
        help: Option<&'static str>,
    },
    /// Something got through again.
    HoldEnded(Cause),
    /// This one episode failed for the first time, while others get through.
    Delayed {
        /// The episode.
        episode_id: EpisodeId,
        /// What happened.
        reason: String,
    },
}

/// The episodes of this host as far as they are known, and the rules for trying them.
#[derive(Debug)]
pub struct Backlog {
    schedule: Schedule,
    hold: Hold,
    /// While episodes cannot be put away nothing is sent: they would pile up, each of them delivered.
    moves: Hold,
    streak: u32,
    rng: StdRng,
}

impl Backlog {
    /// An empty backlog; `rng` decides the jitter.
    pub fn new(rng: StdRng) -> Self {
        Self { schedule: Schedule::default(), hold: Hold::default(), moves: Hold::default(), streak: 0, rng }
    }

    /// Takes what a scan found.
    pub fn offer(&mut self, found: impl IntoIterator<Item = EpisodeId>) {
        self.schedule.offer(found);
    }

    /// Takes an episode that was noticed between two scans.
    pub fn notice(&mut self, id: EpisodeId) {
        self.schedule.notice(id);
    }

    /// What to do at `now`. An episode that is handed out is in flight. Those that are known to be large are passed
    /// over where there is no room for one.
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

    /// Takes the outcome of an episode in flight.
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
                // Nobody knows what this status is about: another episode is tried first next time, in case it was
                // this one.
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

    /// Says nothing about the receiver or any other episode, so nothing else waits.
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

    /// What the receiver is shown has changed: if that was the trouble, it is over.
    pub fn shown_anew(&mut self, now: Instant) {
        if matches!(self.hold.cause(), Some(Cause::Blocked(_) | Cause::TlsRejected)) {
            self.hold.cut_short(now);
        }
    }

    /// Whether the gate may be asked about the commits of refused episodes. While the queue waits for the receiver that
    /// is an attempt like any other, and made only where no episode makes it.
    pub fn may_ask(&self, now: Instant) -> bool {
        if self.moves.cause().is_some() {
            return false;
        }
        if self.hold.cause() == Some(Cause::Failing) {
            // The receiver answers: an episode that fails for ever must not keep others in quarantine.
            return true;
        }
        let has_episodes = self.schedule.counts() != (0, 0) || self.schedule.in_flight().len() > 0;
        match self.hold.permit(now) {
            Permit::Free => true,
            Permit::Probe => !has_episodes,
            Permit::NotBefore(_) => false,
        }
    }

    /// The gate answered: the receiver is there, and lets this host ask.
    pub fn answered(&mut self) -> Option<News> {
        if self.hold.cause() == Some(Cause::Failing) {
            // That says nothing about why one episode after the other fails.
            return None;
        }
        self.hold.end().map(News::HoldEnded)
    }

    /// The gate did not answer, with this outcome.
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
            // Nothing of the kind is an outcome of a question.
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

    /// The receiver said something about an episode: whatever was wrong is over.
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

    /// The deed for an episode is done.
    pub fn finish(&mut self, id: &EpisodeId) {
        self.schedule.finish(id);
    }

    /// Episodes could not be moved to their places: that alone is tried again, and nothing is sent until it works.
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

    /// Episodes were moved, and none that was to be moved failed.
    pub fn moved(&mut self) -> Option<News> {
        let ended = if self.schedule.has_stuck() { None } else { self.moves.end() };
        ended.map(News::HoldEnded)
    }

    /// The episodes in flight, until their deed is done.
    pub fn in_flight(&self) -> BTreeSet<EpisodeId> {
        self.schedule.in_flight().cloned().collect()
    }

    /// The episodes that a scan need not find.
    pub fn known(&self) -> BTreeSet<EpisodeId> {
        self.schedule.known()
    }

    /// How many are ready, and how many wait for another try.
    pub fn counts(&self) -> (usize, usize) {
        self.schedule.counts()
    }

    /// When something is tried again, where nothing can be tried at `now`.
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

    /// Why the whole queue waits, if it does.
    pub fn hold_cause(&self) -> Option<Cause> {
        self.moves.cause().or_else(|| self.hold.cause())
    }
}

/// Whether protocol 2.2 has this status for a host, URL or version that is not right, whatever the episode.
fn about_the_host(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 405 | 411 | 426)
}

#[cfg(test)]
mod tests;
