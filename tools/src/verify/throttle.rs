//! The rate limit for reading archives, shared by all threads, so that a receiver on the same disk has enough left.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cis490_shared::rate::{Bucket, Rate};

/// The most unused time that is saved up: enough to compensate for a sleep that was too long.
const BURST: Duration = Duration::from_millis(100);
/// The largest read, in bytes. The kernel reads ahead at least as much as a read asks for.
const MAX_READ: u64 = 256 * 1024;
/// The smallest read, in bytes, however low the rate.
const MIN_READ: u64 = 4 * 1024;

/// A token bucket that threads share, or no limit.
#[derive(Debug)]
pub struct Throttle {
    limit: Option<(Rate, Mutex<Bucket>)>,
    began: Instant,
    read_bytes: usize,
}

impl Throttle {
    /// Creates a throttle for `rate`; `None` is no limit.
    pub fn new(rate: Option<Rate>) -> Self {
        // Small reads keep a low rate even: no thread sleeps much longer than an eighth of a second.
        let portion = rate.map_or(MAX_READ, |rate| (rate.bytes_per_s() / 8).clamp(MIN_READ, MAX_READ));
        Self {
            limit: rate.map(|rate| (rate, Mutex::new(Bucket::new(BURST)))),
            began: Instant::now(),
            read_bytes: usize::try_from(portion).unwrap_or(usize::MAX),
        }
    }

    /// Returns true if there is a limit.
    pub const fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Returns the size of a read, in bytes.
    pub const fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    /// Blocks until this number of bytes may be read.
    #[expect(
        clippy::disallowed_methods,
        reason = "a rate is a time, there is no other condition to wait for"
    )]
    pub fn wait_for(&self, bytes: u64) {
        let Some((rate, bucket)) = &self.limit else { return };
        // A bucket stays usable even if a thread panicked inside `take`.
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = bucket.take(self.began.elapsed(), bytes, *rate);
        drop(bucket);
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_rate_nobody_waits_and_with_a_low_one_portions_are_small() {
        let unlimited = Throttle::new(None);
        unlimited.wait_for(u64::MAX);
        assert!(!unlimited.is_limited());
        assert_eq!(unlimited.read_bytes(), 256 * 1024);
        let portion = |rate| Throttle::new(Some(Rate::parse(rate).unwrap())).read_bytes();
        assert_eq!([portion("1"), portion("1MiB"), portion("1GiB")], [4096, 128 * 1024, 256 * 1024]);
    }
}
