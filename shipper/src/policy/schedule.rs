//! Decides which episode is next: the oldest first, and a failed one not before the time of its next try.
//!
//! Pure: time and randomness are passed in. An episode is in one of four places here: ready, in flight, waiting after a
//! failure, or stuck because it could not be moved. A restart forgets them all; only the directory of an episode
//! counts. The wait after the n-th failure in a row is exponential, capped, with jitter ([`delay`]). So a fleet that
//! lost its collector does not come back in step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use cis490_shared::ids::EpisodeId;
use rand::Rng;
use tokio::time::Instant;

/// The wait after the first failure, before jitter.
pub const BASE: Duration = Duration::from_secs(1);
/// The longest wait that this host chooses by itself.
pub const CAP: Duration = Duration::from_mins(5);
/// The longest `Retry-After` that is honoured, because a receiver with a broken clock must not stop a host for days.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// The failures of one episode so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tries {
    failures: u32,
    mismatches: u32,
    unready: u32,
}

#[derive(Debug)]
struct Waiting {
    tries: Tries,
    not_before: Instant,
}

/// An episode whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// The id of the episode.
    pub episode_id: EpisodeId,
    /// How often other bytes arrived than were sent.
    pub mismatches: u32,
}

/// The order of episodes and the waiting times of failed ones.
#[derive(Debug, Default)]
pub struct Schedule {
    ready: BTreeSet<EpisodeId>,
    in_flight: HashMap<EpisodeId, Tries>,
    waiting: BTreeMap<EpisodeId, Waiting>,
    /// Episodes whose outcome is known but which could not be moved to their place. They are never sent again.
    stuck: BTreeSet<EpisodeId>,
    /// Episodes that turned out to be large when no large one could start.
    large: BTreeSet<EpisodeId>,
}

impl Schedule {
    /// Replaces the ready episodes by those that a scan found, except for those that are known already.
    pub fn offer(&mut self, found: impl IntoIterator<Item = EpisodeId>) {
        self.ready = found.into_iter().filter(|id| !self.is_known(id)).collect();
        let (ready, waiting) = (&self.ready, &self.waiting);
        self.large.retain(|id| ready.contains(id) || waiting.contains_key(id));
    }

    /// Adds an episode that was found since the latest scan. One that is known already stays where it is.
    pub fn notice(&mut self, id: EpisodeId) {
        if !self.is_known(&id) {
            self.ready.insert(id);
        }
    }

    fn is_known(&self, id: &EpisodeId) -> bool {
        self.in_flight.contains_key(id) || self.waiting.contains_key(id) || self.stuck.contains(id)
    }

    /// Takes the oldest episode that may be tried now, and puts it in flight. Skips large ones if none may start.
    pub fn pick(&mut self, now: Instant, room_for_large: bool) -> Option<Pick> {
        let fits = |id: &&EpisodeId| room_for_large || !self.large.contains(*id);
        let is_due = |waiting: &Waiting| waiting.not_before <= now;
        let due = self.waiting.iter().filter(|(_, waiting)| is_due(waiting)).map(|(id, _)| id).find(fits);
        let next = match (self.ready.iter().find(fits), due) {
            (Some(ready), Some(due)) => ready.min(due).clone(),
            (one, other) => one.or(other)?.clone(),
        };
        Some(self.take(next))
    }

    /// Does the same, but prefers an episode that has not failed yet, because a failed one may be the cause of the
    /// trouble.
    pub fn pick_untried(&mut self, now: Instant, room_for_large: bool) -> Option<Pick> {
        let fits = |id: &&EpisodeId| room_for_large || !self.large.contains(*id);
        match self.ready.iter().find(fits).cloned() {
            Some(next) => Some(self.take(next)),
            None => self.pick(now, room_for_large),
        }
    }

    fn take(&mut self, id: EpisodeId) -> Pick {
        self.ready.remove(&id);
        let tries = self.waiting.remove(&id).map(|waiting| waiting.tries).unwrap_or_default();
        self.in_flight.insert(id.clone(), tries);
        Pick { episode_id: id, mismatches: tries.mismatches }
    }

    /// Puts a large episode in flight back as if it had not been tried, until a large one may start.
    pub fn postpone(&mut self, id: EpisodeId, now: Instant) {
        self.large.insert(id.clone());
        self.put_back(id, now);
    }

    /// Puts an episode in flight back as if it had not been tried.
    pub fn put_back(&mut self, id: EpisodeId, now: Instant) {
        match self.in_flight.remove(&id) {
            Some(tries) if tries != Tries::default() => {
                self.waiting.insert(id, Waiting { tries, not_before: now });
            }
            Some(_) => {
                self.ready.insert(id);
            }
            None => {}
        }
    }

    /// Makes an episode in flight wait for its next try.
    pub fn retry_later(
        &mut self,
        id: EpisodeId,
        retry_after: Option<Duration>,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        if let Some(mut tries) = self.in_flight.remove(&id) {
            tries.failures += 1;
            let not_before = now + delay(tries.failures, retry_after, rng);
            self.waiting.insert(id, Waiting { tries, not_before });
        }
    }

    /// Counts that other bytes of an episode in flight arrived than were sent. Returns the count so far.
    pub fn count_mismatch(&mut self, id: &EpisodeId) -> u32 {
        self.in_flight.get_mut(id).map_or(0, |tries| {
            tries.mismatches += 1;
            tries.mismatches
        })
    }

    /// Counts that an episode in flight could not be packed. Returns the count so far.
    pub fn count_unready(&mut self, id: &EpisodeId) -> u32 {
        self.in_flight.get_mut(id).map_or(0, |tries| {
            tries.unready += 1;
            tries.unready
        })
    }

    /// Returns how often an episode in flight has failed before.
    pub fn failures(&self, id: &EpisodeId) -> u32 {
        self.in_flight.get(id).map_or(0, |tries| tries.failures)
    }

    /// Forgets an episode in flight, because it has left `episodes/`.
    pub fn finish(&mut self, id: &EpisodeId) {
        self.in_flight.remove(id);
        self.stuck.remove(id);
        self.large.remove(id);
    }

    /// Ends the flight of an episode that could not be moved to its place.
    pub fn stick(&mut self, id: &EpisodeId) {
        self.in_flight.remove(id);
        self.stuck.insert(id.clone());
    }

    /// Returns true if an episode waits to be moved.
    pub fn has_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// Returns the time at which the first waiting episode may be tried.
    pub fn next_due(&self, room_for_large: bool) -> Option<Instant> {
        let fits = |id: &EpisodeId| room_for_large || !self.large.contains(id);
        self.waiting.iter().filter(|(id, _)| fits(id)).map(|(_, waiting)| waiting.not_before).min()
    }

    /// Returns the episodes that a scan need not find, because they are known.
    pub fn known(&self) -> BTreeSet<EpisodeId> {
        self.in_flight.keys().chain(self.waiting.keys()).chain(&self.stuck).cloned().collect()
    }

    /// Returns the episodes in flight.
    pub fn in_flight(&self) -> impl ExactSizeIterator<Item = &EpisodeId> {
        self.in_flight.keys()
    }

    /// Returns how many episodes are ready, and how many wait for another try or to be moved.
    pub fn counts(&self) -> (usize, usize) {
        (self.ready.len(), self.waiting.len() + self.stuck.len())
    }
}

/// Returns the wait after `failures` failures in a row: half of the step for certain, and a random part of the other
/// half.
///
/// A `Retry-After` of the receiver is a lower bound, up to [`LONGEST_RETRY_AFTER`].
pub fn delay(failures: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let step = (BASE * (1 << doublings)).min(CAP);
    let jittered = step.mul_f64(rng.random_range(0.5..=1.0));
    jittered.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
