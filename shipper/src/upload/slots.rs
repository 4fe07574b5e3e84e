//! Limits how many uploads send at the same time, so that a huge episode never blocks small ones.
//!
//! Large episodes may hold all turns but one. If there is only one turn, a small episode may be sent beside a large
//! one. The order of episodes is decided in [`crate::policy::schedule`], not here.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The size from which an episode is large, in bytes before compression: up to a minute on a link of 10 Mbit/s.
pub const LARGE_BYTES: u64 = 64 << 20;

/// The upload turns of this host. Clones share them.
#[derive(Debug, Clone)]
pub struct UploadSlots {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Set if there is only one turn. A large episode then needs no turn, so that the turn stays free for small ones.
    is_single: bool,
}

/// The size class that an episode holds from its inspection until its outcome is known.
#[derive(Debug)]
pub enum SizeClass {
    /// A small episode. The number of small episodes is not limited.
    Small,
    /// A large episode, one of the few that may be under way.
    Large {
        /// The place among the large episodes, given back on drop.
        _permit: OwnedSemaphorePermit,
    },
}

impl UploadSlots {
    /// Creates `parallel` turns; `parallel` is at least 1.
    pub fn new(parallel: usize) -> Self {
        let large = parallel.saturating_sub(1).max(1);
        Self {
            all: Arc::new(Semaphore::new(parallel)),
            large: Arc::new(Semaphore::new(large)),
            is_single: parallel == 1,
        }
    }

    /// Returns the size class of an episode of `bytes` bytes. `None` if no other large episode may start now.
    pub fn size_class(&self, bytes: u64) -> Option<SizeClass> {
        if bytes < LARGE_BYTES {
            return Some(SizeClass::Small);
        }
        Arc::clone(&self.large).try_acquire_owned().ok().map(|permit| SizeClass::Large { _permit: permit })
    }

    /// Returns true if another large episode would get a size class now.
    pub fn has_room_for_large(&self) -> bool {
        self.large.available_permits() > 0
    }

    /// Waits for a turn, which lasts until the returned permit is dropped. `None` if the episode needs no turn.
    pub async fn turn(&self, size_class: &SizeClass) -> Option<SemaphorePermit<'_>> {
        match size_class {
            SizeClass::Large { .. } if self.is_single => None,
            // The semaphore is never closed. If it were, the episode would be sent without a turn.
            SizeClass::Large { .. } | SizeClass::Small => self.all.acquire().await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn large_episodes_leave_a_turn_to_small_ones() {
        for parallel in 1..=4_usize {
            let slots = UploadSlots::new(parallel);
            let lanes: Vec<SizeClass> = std::iter::from_fn(|| slots.size_class(LARGE_BYTES)).collect();
            assert_eq!((lanes.len(), slots.has_room_for_large()), (parallel.max(2) - 1, false));
            let held: Vec<_> = lanes.iter().map(|size_class| slots.turn(size_class).now_or_never()).collect();
            assert!(held.iter().all(Option::is_some), "every large one that is under way may send");
            let small = slots.size_class(LARGE_BYTES - 1).unwrap();
            let turn = slots.turn(&small).now_or_never();
            assert!(turn.flatten().is_some(), "{parallel} at a time: a small one waits for a large one");
            drop((held, lanes));
            assert!(slots.has_room_for_large());
        }
    }

    #[tokio::test]
    async fn no_more_are_sent_at_a_time_than_was_said() {
        let slots = UploadSlots::new(2);
        let held = [slots.turn(&SizeClass::Small).await, slots.turn(&SizeClass::Small).await];
        assert!(slots.turn(&SizeClass::Small).now_or_never().is_none());
        drop(held);
        assert!(slots.turn(&SizeClass::Small).now_or_never().is_some());
    }
}
