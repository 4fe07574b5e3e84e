//! The uploads that are under way, and how many bytes were sent in all.
//!
//! Fed by the uploaders on their threads, read by whoever shows it. It decides nothing, and it says what was handed to
//! the network, not what the receiver has taken: that is known only once it has answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cis490_shared::ids::EpisodeId;
use tokio::time::Instant;

/// What is being sent from this host. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sent_bytes: AtomicU64,
    /// In the order in which they began.
    uploads: Mutex<BTreeMap<u64, UnderWay>>,
    begun: AtomicU64,
}

/// An upload as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// The episode.
    pub episode_id: EpisodeId,
    /// What was handed to the network of its body.
    pub sent_bytes: u64,
    /// The length of its body.
    pub total_bytes: u64,
    /// When its request began.
    pub since: Instant,
}

/// An upload that is under way for as long as this lives.
#[derive(Debug)]
pub struct Sending {
    shared: Arc<Shared>,
    number: u64,
}

impl Meter {
    /// An upload begins, with a body of `total_bytes`.
    pub fn begin(&self, id: &EpisodeId, total_bytes: u64) -> Sending {
        let shared = Arc::clone(&self.shared);
        let number = shared.begun.fetch_add(1, Ordering::Relaxed);
        let upload = UnderWay { episode_id: id.clone(), sent_bytes: 0, total_bytes, since: Instant::now() };
        shared.uploads().insert(number, upload);
        Sending { shared, number }
    }

    /// The uploads that are under way, the oldest first.
    pub fn under_way(&self) -> Vec<UnderWay> {
        self.shared.uploads().values().cloned().collect()
    }

    /// All bytes of bodies that were handed to the network since the start, those sent again among them.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::Relaxed)
    }
}

impl Sending {
    /// So many bytes more of the body were handed to the network.
    pub fn sent(&self, bytes: u64) {
        self.shared.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(upload) = self.shared.uploads().get_mut(&self.number) {
            upload.sent_bytes += bytes;
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.shared.uploads().remove(&self.number);
    }
}

impl Shared {
    /// Nothing that could panic is done under the lock, and the list would be right all the same.
    fn uploads(&self) -> MutexGuard<'_, BTreeMap<u64, UnderWay>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EpisodeId {
        EpisodeId::parse(text).unwrap()
    }

    #[test]
    fn an_upload_is_listed_while_it_lives_and_its_bytes_are_counted_for_ever() {
        let meter = Meter::default();
        let (first, second) = (meter.begin(&id("first"), 10), meter.begin(&id("second"), 20));
        first.sent(3);
        second.sent(4);
        first.sent(2);
        let seen: Vec<_> = meter
            .under_way()
            .into_iter()
            .map(|upload| (upload.episode_id.to_string(), upload.sent_bytes, upload.total_bytes))
            .collect();
        assert_eq!(seen, [("first".to_owned(), 5, 10), ("second".to_owned(), 4, 20)]);
        drop(first);
        assert_eq!(meter.under_way().len(), 1);
        drop(second);
        assert_eq!(meter.under_way(), []);
        assert_eq!(meter.sent_bytes(), 9);
    }

    #[test]
    fn an_upload_that_is_sent_again_begins_again_at_nothing() {
        let meter = Meter::default();
        meter.begin(&id("again"), 10).sent(10);
        let again = meter.begin(&id("again"), 10);
        assert_eq!(meter.under_way()[0].sent_bytes, 0);
        drop(again);
        assert_eq!(meter.sent_bytes(), 10);
    }

    #[test]
    fn clones_on_several_threads_share_one_count() {
        let meter = Meter::default();
        std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let meter = meter.clone();
                scope.spawn(move || {
                    let sending = meter.begin(&id(name), 1_000);
                    (0..1_000).for_each(|_| sending.sent(1));
                });
            }
        });
        assert_eq!((meter.sent_bytes(), meter.under_way()), (3_000, vec![]));
    }
}
