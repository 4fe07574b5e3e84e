//! Which episode is next, and when a failed one is tried again: oldest first, and a failed one not before its time.
//!
//! Pure: time and randomness are handed in. An episode is in one of three places here: ready, in flight, or
//! waiting after a failure. All of it is forgotten at a restart; where an episode is on disk is what counts.
//! The wait after the n-th failure in a row is exponential, capped, with jitter ([`delay`]), which keeps a fleet that
//! lost its collector from coming back in step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use cis490_shared::ids::EpisodeId;
use rand::Rng;
use tokio::time::Instant;

/// The wait after the first failure, before jitter.
pub const BASE: Duration = Duration::from_secs(1);
/// The longest wait that this host decides by itself.
pub const CAP: Duration = Duration::from_mins(5);
/// The longest `Retry-After` that is honoured: a receiver with a broken clock must not stop a host for days.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What went wrong with one episode so far.
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
    /// The episode.
    pub episode_id: EpisodeId,
    /// How often its bytes arrived as others than those that were sent.
    pub mismatches: u32,
}

/// The order of episodes and the waiting times of failed ones.
#[derive(Debug, Default)]
pub struct Schedule {
    ready: BTreeSet<EpisodeId>,
    in_flight: HashMap<EpisodeId, Tries>,
    waiting: BTreeMap<EpisodeId, Waiting>,
    /// Those whose outcome is known and which could not be moved to their place: never sent again.
    stuck: BTreeSet<EpisodeId>,
    /// Those that turned out to be large when there was no room for one.
    large: BTreeSet<EpisodeId>,
}

impl Schedule {
    /// Takes what a scan found, in place of what the scan before found.
    pub fn offer(&mut self, found: impl IntoIterator<Item = EpisodeId>) {
        self.ready = found.into_iter().filter(|id| !self.is_known(id)).collect();
        let (ready, waiting) = (&self.ready, &self.waiting);
        self.large.retain(|id| ready.contains(id) || waiting.contains_key(id));
    }

    /// Takes an episode that was found since the latest scan; one that is known already stays where it is.
    pub fn notice(&mut self, id: EpisodeId) {
        if !self.is_known(&id) {
            self.ready.insert(id);
        }
    }

    fn is_known(&self, id: &EpisodeId) -> bool {
        self.in_flight.contains_key(id) || self.waiting.contains_key(id) || self.stuck.contains(id)
    }

    /// Takes the oldest episode that may be tried now; it is in flight from then on. Large ones are passed over where
    /// there is no room for one.
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

    /// The same for one that has not failed yet, where there is one: in case it was the one that did.
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

    /// Puts a large episode in flight back as if it had not been tried, until there is room for one.
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

    /// Lets an episode in flight wait for its next try.
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

    /// Counts that an episode in flight arrived as other bytes; how often that happened so far.
    pub fn count_mismatch(&mut self, id: &EpisodeId) -> u32 {
        self.in_flight.get_mut(id).map_or(0, |tries| {
            tries.mismatches += 1;
            tries.mismatches
        })
    }

    /// Counts that an episode in flight could not be packed; how often that happened so far.
    pub fn count_unready(&mut self, id: &EpisodeId) -> u32 {
        self.in_flight.get_mut(id).map_or(0, |tries| {
            tries.unready += 1;
            tries.unready
        })
    }

    /// How often an episode in flight failed before.
    pub fn failures(&self, id: &EpisodeId) -> u32 {
        self.in_flight.get(id).map_or(0, |tries| tries.failures)
    }

    /// Forgets an episode in flight: it has found its place on disk.
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

    /// Whether an episode waits to be moved.
    pub fn has_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// When the first waiting episode may be tried.
    pub fn next_due(&self, room_for_large: bool) -> Option<Instant> {
        let fits = |id: &EpisodeId| room_for_large || !self.large.contains(id);
        self.waiting.iter().filter(|(id, _)| fits(id)).map(|(_, waiting)| waiting.not_before).min()
    }

    /// The episodes that a scan need not find: they are here already.
    pub fn known(&self) -> BTreeSet<EpisodeId> {
        self.in_flight.keys().chain(self.waiting.keys()).chain(&self.stuck).cloned().collect()
    }

    /// The episodes in flight.
    pub fn in_flight(&self) -> impl ExactSizeIterator<Item = &EpisodeId> {
        self.in_flight.keys()
    }

    /// How many are ready, and how many wait for another try, or to be moved.
    pub fn counts(&self) -> (usize, usize) {
        (self.ready.len(), self.waiting.len() + self.stuck.len())
    }
}

/// The wait after `failures` failures in a row: half of the step for certain, the other half by chance.
///
/// What the receiver asked for is a lower bound: nobody is asked again before that.
pub fn delay(failures: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let step = (BASE * (1 << doublings)).min(CAP);
    let jittered = step.mul_f64(rng.random_range(0.5..=1.0));
    jittered.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
