//! The uploads under way, the number of bytes sent, and the rate.
//!
//! Uploaders feed [`Meter`] from their threads; the status and the progress display read it. It counts bytes that were
//! handed to the network. How many of them the receiver has taken is known only once it has answered. [`Rate`] is pure:
//! time and totals are passed in. Neither type decides anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cis490_shared::ids::EpisodeId;
use tokio::time::Instant;

use crate::report::status::{Rates, Speed, UnderWay};

const MINUTE: Duration = Duration::from_mins(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);
/// Samples closer together than this are left out, so that their number is bounded.
const SPACING: Duration = Duration::from_secs(1);

/// The uploads and the sent bytes of this host. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sent_bytes: AtomicU64,
    /// The uploads under way, in the order in which they began.
    uploads: Mutex<BTreeMap<u64, UnderWay>>,
    begun: AtomicU64,
}

/// An upload that is under way until this is dropped.
#[derive(Debug)]
pub struct Sending {
    shared: Arc<Shared>,
    number: u64,
}

impl Meter {
    /// Begins an upload with a body of `total_bytes`.
    pub fn begin(&self, id: &EpisodeId, total_bytes: u64) -> Sending {
        let shared = Arc::clone(&self.shared);
        let number = shared.begun.fetch_add(1, Ordering::Relaxed);
        let upload = UnderWay { number, episode_id: id.to_string(), sent_bytes: 0, total_bytes };
        shared.uploads().insert(number, upload);
        Sending { shared, number }
    }

    /// Returns the uploads under way, oldest first.
    pub fn under_way(&self) -> Vec<UnderWay> {
        self.shared.uploads().values().cloned().collect()
    }

    /// Returns the number of body bytes handed to the network since the start. Bytes that were sent again count again.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::Relaxed)
    }
}

impl Sending {
    /// Adds `bytes` of the body that were handed to the network.
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
    /// Locks the list. No code that could panic runs under the lock, and the list would be valid even then.
    fn uploads(&self) -> MutexGuard<'_, BTreeMap<u64, UnderWay>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    episodes: u64,
    bytes: u64,
}

/// Mean rates over the last minute and the last ten minutes. Keeps at most one sample of the totals per second.
#[derive(Debug)]
pub struct Rate {
    samples: VecDeque<Sample>,
}

impl Rate {
    /// Begins to measure at `now`, from totals of zero.
    pub fn new(now: Instant) -> Self {
        Self { samples: VecDeque::from([Sample { at: now, episodes: 0, bytes: 0 }]) }
    }

    /// Returns the mean rates up to `now`, given the totals since the start.
    pub fn take(&mut self, now: Instant, episodes: u64, bytes: u64) -> Rates {
        let latest = Sample { at: now, episodes, bytes };
        if self.samples.back().is_none_or(|last| now.duration_since(last.at) >= SPACING) {
            self.samples.push_back(latest);
        }
        // The newest sample that is at least ten minutes old stays, because the longer mean is measured from it.
        while self.samples.get(1).is_some_and(|second| now.duration_since(second.at) >= TEN_MINUTES) {
            self.samples.pop_front();
        }
        Rates { last_minute: self.over(MINUTE, latest), last_ten_minutes: self.over(TEN_MINUTES, latest) }
    }

    /// Returns the mean over about `window`, or since the start if that is shorter.
    fn over(&self, window: Duration, latest: Sample) -> Speed {
        let is_old = |sample: &&Sample| latest.at.duration_since(sample.at) >= window;
        let from = self.samples.iter().rev().find(is_old).or(self.samples.front());
        let Some(from) = from else { return Speed::default() };
        let seconds = latest.at.duration_since(from.at).as_secs_f64();
        if seconds <= 0.0 {
            return Speed::default();
        }
        let episodes = latest.episodes.saturating_sub(from.episodes);
        let bytes = latest.bytes.saturating_sub(from.bytes);
        Speed { episodes_per_s: rounded(per(episodes, seconds)), bytes_per_s: whole(per(bytes, seconds)) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is for people, 52 bits of it are enough")]
fn per(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a positive rate")]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

/// Rounds to thousandths, so that a mean does not look more exact than it is.
fn rounded(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
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
            .map(|upload| (upload.episode_id.clone(), upload.sent_bytes, upload.total_bytes))
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

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_minute_and_the_last_ten_are_told_apart() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut rates = Rates::default();
        // Nine minutes at one episode and 1 kB per second, then one minute at ten times that.
        for second in 1..=600_u64 {
            let done = second + second.saturating_sub(540) * 9;
            rates = rate.take(start + s(second), done, done * 1000);
        }
        assert_eq!(rates.last_minute, Speed { episodes_per_s: 10.0, bytes_per_s: 10_000 });
        assert_eq!(rates.last_ten_minutes, Speed { episodes_per_s: 1.9, bytes_per_s: 1900 });
    }

    #[test]
    fn a_young_shipper_is_measured_since_its_start_and_an_idle_one_comes_to_rest() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!(rate.take(start, 0, 0), Rates::default());
        let young = rate.take(start + s(10), 20, 5000);
        assert_eq!(young.last_minute, Speed { episodes_per_s: 2.0, bytes_per_s: 500 });
        assert_eq!(young.last_minute, young.last_ten_minutes);
        let later = rate.take(start + s(80), 20, 5000);
        assert_eq!(later.last_minute, Speed::default());
        assert!(later.last_ten_minutes.bytes_per_s > 0);
        assert_eq!(rate.take(start + s(700), 20, 5000), Rates::default());
    }

    #[test]
    fn the_samples_are_bounded_however_often_it_is_asked() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for step in 0..20_000_u64 {
            rate.take(start + Duration::from_millis(step * 100), step, step);
        }
        assert!(rate.samples.len() <= 602, "{}", rate.samples.len());
    }
}
