//! The rate limit of this host: when the next part of a body may be sent, and how long that part may be.
//!
//! All uploaders share one [`Pace`]. It never sleeps: it returns the earliest time the next part may be sent, and the
//! caller sleeps. Only the bytes of bodies count, not the overhead of HTTP, TLS and TCP, and not small requests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cis490_shared::rate::{Bucket, Rate};
use jiff::civil::DateTime;
use tokio::time::Instant;
use tracing::warn;

use crate::config::local_time::Zone;
use crate::config::rate_limit::RateLimit;

/// Unused time that the limit saves up, so that a sender that comes late catches up.
const BURST: Duration = Duration::from_millis(125);
/// Parts per second over all senders: enough for them to take turns, and for a new limit to take effect at once.
const PARTS_PER_S: u64 = 16;
/// The smallest part, in bytes. awc buffers less than this until more comes, which would look like a stall.
pub const LEAST_PART: usize = 8 * 1024;
/// How long a limit stays in use before clock and timetable are read again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How fast this host may send. Clones share the limit; the default is no limit.
#[derive(Clone, Default)]
pub struct Pace(Option<Arc<Shared>>);

struct Shared {
    limit: RateLimit,
    local_time: Box<dyn Fn() -> DateTime + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The time of the first limited part, and the token bucket that counts from there.
    bucket: Option<(Instant, Bucket)>,
    /// The limit, and when it was looked up.
    looked_up: Option<(Instant, Option<Rate>)>,
}

/// Permission to send a part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    /// The size of the part in bytes.
    pub bytes: usize,
    /// The earliest time to send it.
    pub at: Instant,
}

impl Pace {
    /// Returns a pace that keeps to `limit` by the local time that `local_time` returns.
    pub fn new(limit: RateLimit, local_time: impl Fn() -> DateTime + Send + Sync + 'static) -> Self {
        if limit.is_none() {
            return Self::default();
        }
        let shared = Shared { limit, local_time: Box::new(local_time), state: Mutex::default() };
        Self(Some(Arc::new(shared)))
    }

    /// Returns a pace that keeps to `limit` by the clock of this host. Blocks.
    pub fn of_this_host(limit: &RateLimit) -> Self {
        if !limit.has_hours() {
            return Self::new(limit.clone(), || Zone::utc().now());
        }
        let zone = Zone::of_this_host().unwrap_or_else(|error| {
            warn!(%error, "rate limit hours are interpreted as utc");
            Zone::utc()
        });
        Self::new(limit.clone(), move || zone.now())
    }

    /// Grants some of the next `bytes` bytes of a body. A granted permit counts as used. So a sender asks again only
    /// after it has sent the part, and all senders get their turn.
    pub fn permit(&self, bytes: usize, now: Instant) -> Permit {
        let Some(shared) = &self.0 else { return Permit { bytes, at: now } };
        // No code that could panic runs under the lock.
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = shared.rate(&mut state, now) else { return Permit { bytes, at: now } };
        let bytes = bytes.min(part(rate.bytes_per_s()));
        let (began, bucket) = state.bucket.get_or_insert_with(|| (now, Bucket::new(BURST)));
        let wait = bucket.take(now.saturating_duration_since(*began), bytes as u64, rate);
        Permit { bytes, at: now + wait }
    }
}

impl Shared {
    /// Returns the limit in force.
    fn rate(&self, state: &mut State, now: Instant) -> Option<Rate> {
        match state.looked_up {
            Some((at, rate)) if now.saturating_duration_since(at) < LOOK_AGAIN => rate,
            _ => {
                let rate = self.limit.at((self.local_time)());
                state.looked_up = Some((now, rate));
                rate
            }
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pace").field(&self.0.as_ref().map(|shared| &shared.limit)).finish()
    }
}

/// Returns the most bytes that a single permit grants at `rate` bytes per second.
fn part(rate: u64) -> usize {
    usize::try_from(rate / PARTS_PER_S).unwrap_or(usize::MAX).max(LEAST_PART)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicI8, Ordering};

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn paced(entries: &[&str], hour: &Arc<AtomicI8>) -> Pace {
        let hour = Arc::clone(hour);
        let local_time = move || date(2026, 11, 2).at(hour.load(Ordering::SeqCst), 0, 0, 0);
        Pace::new(RateLimit::parse(entries).unwrap(), local_time)
    }

    fn hour(hour: i8) -> Arc<AtomicI8> {
        Arc::new(AtomicI8::new(hour))
    }

    /// Lets senders that always have more to send begin at `starts`. Returns which sender sent how much, and when.
    fn send(pace: &Pace, begin: Instant, starts: &[u64], parts: usize) -> Vec<(usize, Permit)> {
        let mut next: BTreeMap<(Instant, usize), usize> = starts
            .iter()
            .enumerate()
            .map(|(sender, start)| ((begin + Duration::from_millis(*start), sender), sender))
            .collect();
        let mut sent = Vec::new();
        while sent.len() < parts {
            let ((now, _), sender) = next.pop_first().unwrap();
            let permit = pace.permit(256 * 1024, now);
            next.insert((permit.at, sender), sender);
            sent.push((sender, permit));
        }
        sent
    }

    proptest! {
        #[test]
        fn in_any_time_no_more_goes_than_the_rate_and_a_small_burst(
            rate in 16 * 1024..100_000_000_u64,
            starts in prop::collection::vec(0..3_000_u64, 1..17),
        ) {
            let pace = paced(&[&format!("{rate}B/s")], &hour(0));
            let mut permits: Vec<_> = send(&pace, Instant::now(), &starts, 200).into_iter().map(|(_, permit)| permit).collect();
            permits.sort_by_key(|permit| permit.at);
            for (first, from) in permits.iter().enumerate() {
                let mut bytes = 0;
                for to in &permits[first..] {
                    bytes += to.bytes;
                    let nanos = u128::from(rate) * (to.at - from.at + BURST).as_nanos();
                    let most = nanos.div_ceil(1_000_000_000) + part(rate) as u128;
                    prop_assert!(bytes as u128 <= most, "{bytes} bytes, not {most}");
                }
            }
        }

        #[test]
        fn nobody_is_kept_waiting_longer_than_a_turn_of_all_and_each_gets_its_share(
            rate in 32 * 1024..100_000_000_u64,
            senders in 1..17_usize,
        ) {
            let pace = paced(&[&format!("{rate}B/s")], &hour(0));
            let sent = send(&pace, Instant::now(), &vec![0; senders], senders * 50);
            let mut shares = vec![0; senders];
            let mut last: Vec<Option<Instant>> = vec![None; senders];
            // Time for one part of each sender, and one more. The receiver waits for 30 s.
            let limit = Rate::parse(&format!("{rate}B")).unwrap();
            let turn = limit.time_for(part(rate) as u64) * u32::try_from(senders + 1).unwrap();
            for (sender, permit) in sent {
                shares[sender] += permit.bytes;
                if let Some(before) = last[sender].replace(permit.at) {
                    prop_assert!(permit.at - before <= turn && turn < Duration::from_secs(5));
                }
            }
            let (most, least) = (shares.iter().max().unwrap(), shares.iter().min().unwrap());
            prop_assert!(most - least <= 4 * part(rate), "{shares:?}");
        }

        #[test]
        fn who_sends_all_the_time_gets_the_whole_rate(rate in 16 * 1024..100_000_000_u64) {
            let pace = paced(&[&format!("{rate}B/s")], &hour(0));
            let begin = Instant::now();
            let sent = send(&pace, begin, &[0], 200);
            let bytes: usize = sent.iter().map(|(_, permit)| permit.bytes).sum();
            let limit = Rate::parse(&format!("{rate}B")).unwrap();
            let time = sent[199].1.at - begin;
            prop_assert!(time <= limit.time_for(bytes as u64) + Duration::from_micros(1));
        }
    }

    #[test]
    fn what_was_left_unused_is_not_kept_for_later() {
        let pace = paced(&["1MiB/s"], &hour(0));
        let begin = Instant::now();
        pace.permit(1, begin);
        let later = begin + Duration::from_mins(10);
        let sent = send(&pace, later, &[0], 100);
        let at_once: usize =
            sent.iter().filter(|(_, permit)| permit.at == later).map(|(_, permit)| permit.bytes).sum();
        assert!(at_once <= 1024 * 1024 / 4, "{at_once}");
    }

    #[test]
    fn without_a_limit_everything_goes_at_once() {
        let now = Instant::now();
        assert_eq!(Pace::default().permit(1 << 30, now), Permit { bytes: 1 << 30, at: now });
        let by_day = paced(&["08:00-18:00 16KiB/s"], &hour(20));
        assert_eq!(by_day.permit(1 << 30, now), Permit { bytes: 1 << 30, at: now });
    }

    #[test]
    fn another_hour_counts_within_a_second() {
        let hour = hour(12);
        let pace = paced(&["08:00-18:00 16KiB/s"], &hour);
        let begin = Instant::now();
        assert_eq!(pace.permit(1 << 20, begin).bytes, LEAST_PART);
        assert!(pace.permit(1 << 20, begin).at > begin);
        hour.store(18, Ordering::SeqCst);
        let next = begin + LOOK_AGAIN;
        assert_eq!(pace.permit(1 << 20, next), Permit { bytes: 1 << 20, at: next });
        hour.store(8, Ordering::SeqCst);
        let next = next + LOOK_AGAIN;
        assert_eq!(pace.permit(1 << 20, next).bytes, LEAST_PART);
    }
}
