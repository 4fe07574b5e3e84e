//! Who may send at the same time, so that a huge episode never blocks small ones.
//!
//! All turns but one may be taken by large episodes. Where there is only one turn a small episode may be sent beside
//! the large one. It says nothing about the order: that is [`crate::policy::schedule`].

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// From this size on an episode is large, in bytes before compression: minutes on a link of 10 Mbit/s.
pub const LARGE_BYTES: u64 = 64 << 20;

/// The turns of this host; clones share them.
#[derive(Debug, Clone)]
pub struct UploadSlots {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// A large episode needs no turn beside its size_class, so that it leaves the only one to small ones.
    is_single: bool,
}

/// What an episode holds from the first look at it until it has settled.
#[derive(Debug)]
pub enum SizeClass {
    /// There may be any number of these.
    Small,
    /// One of the few large ones under way.
    Large {
        /// Given back on drop.
        _permit: OwnedSemaphorePermit,
    },
}

impl UploadSlots {
    /// So many episodes may be sent at the same time, at least one.
    pub fn new(parallel: usize) -> Self {
        let large = parallel.saturating_sub(1).max(1);
        Self {
            all: Arc::new(Semaphore::new(parallel)),
            large: Arc::new(Semaphore::new(large)),
            is_single: parallel == 1,
        }
    }

    /// The size_class of an episode of this size; none while there are as many large ones under way as may be.
    pub fn size_class(&self, bytes: u64) -> Option<SizeClass> {
        if bytes < LARGE_BYTES {
            return Some(SizeClass::Small);
        }
        Arc::clone(&self.large).try_acquire_owned().ok().map(|permit| SizeClass::Large { _permit: permit })
    }

    /// Whether another large episode would get a size_class now.
    pub fn has_room_for_large(&self) -> bool {
        self.large.available_permits() > 0
    }

    /// Waits for a turn; it lasts until what comes back is dropped.
    pub async fn turn(&self, size_class: &SizeClass) -> Option<SemaphorePermit<'_>> {
        match size_class {
            SizeClass::Large { .. } if self.is_single => None,
            // Nobody closes it; without a turn the episode would be sent all the same.
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
