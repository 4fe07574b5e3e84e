//! How fast episodes are shipped: means over the last minute and the last ten.
//!
//! Pure: time and totals are handed in. It keeps ten minutes of samples, at most one for every other second.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::report::status::{Rates, Speed};

const MINUTE: Duration = Duration::from_mins(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);
/// Samples that follow each other faster than this are left out, so that their number is bounded.
const SPACING: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    episodes: u64,
    bytes: u64,
}

/// The totals of the last ten minutes.
#[derive(Debug)]
pub struct Rate {
    samples: VecDeque<Sample>,
}

impl Rate {
    /// Begins to measure, from totals of nothing.
    pub fn new(now: Instant) -> Self {
        Self { samples: VecDeque::from([Sample { at: now, episodes: 0, bytes: 0 }]) }
    }

    /// The means up to `now`, when the totals since the start are these.
    pub fn take(&mut self, now: Instant, episodes: u64, bytes: u64) -> Rates {
        let latest = Sample { at: now, episodes, bytes };
        if self.samples.back().is_none_or(|last| now.duration_since(last.at) >= SPACING) {
            self.samples.push_back(latest);
        }
        // The one at the edge stays: what was shipped since is known only from there on.
        while self.samples.get(1).is_some_and(|second| now.duration_since(second.at) >= TEN_MINUTES) {
            self.samples.pop_front();
        }
        Rates { last_minute: self.over(MINUTE, latest), last_ten_minutes: self.over(TEN_MINUTES, latest) }
    }

    /// The mean over about `window`, or since the start where that is less.
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

/// To thousandths, so that a mean does not look more exact than it is.
fn rounded(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_minute_and_the_last_ten_are_told_apart() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut rates = Rates::default();
        // Nine minutes at an episode and 1 kB a second, then one at ten times that.
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
