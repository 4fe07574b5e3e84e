//! How fast archives are read: one rate for all threads together, so that a receiver on the same disk keeps what it
//! needs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cis490_shared::rate::{Bucket, Rate};

/// How much unused time is saved up: enough to make good for a sleep that was too long.
const BURST: Duration = Duration::from_millis(100);
/// The most that is read at once, in bytes: from the disk, where the kernel reads ahead by no less than it is asked for.
const MAX_READ: u64 = 256 * 1024;
/// The least, however low the rate.
const MIN_READ: u64 = 4 * 1024;

/// A bucket that several threads read through, or none where the rate is not limited.
#[derive(Debug)]
pub struct Throttle {
    limit: Option<(Rate, Mutex<Bucket>)>,
    began: Instant,
    read_bytes: usize,
}

impl Throttle {
    /// Keeps to `rate`, or to nothing.
    pub fn new(rate: Option<Rate>) -> Self {
        // Small portions keep a low rate even: nobody sleeps much longer than an eighth of a second.
        let portion = rate.map_or(MAX_READ, |rate| (rate.bytes_per_s() / 8).clamp(MIN_READ, MAX_READ));
        Self {
            limit: rate.map(|rate| (rate, Mutex::new(Bucket::new(BURST)))),
            began: Instant::now(),
            read_bytes: usize::try_from(portion).unwrap_or(usize::MAX),
        }
    }

    /// Whether anybody may have to wait.
    pub const fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// How much to read at once, in bytes.
    pub const fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    /// Returns when so many bytes may be read. Blocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "a rate is a time, there is no other condition to wait for"
    )]
    pub fn wait_for(&self, bytes: u64) {
        let Some((rate, bucket)) = &self.limit else { return };
        // A panic between two statements of `take` cannot leave a bucket that would be wrong to use.
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
