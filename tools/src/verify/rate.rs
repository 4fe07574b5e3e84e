//! How fast archives may be read: the rate as a person writes it, and the bucket that keeps to it.
//!
//! [`Bucket`] is pure: it is told the time and says how long to wait. [`Throttle`] is the only one that waits,
//! for all threads together, so that a receiver on the same disk keeps what it needs.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It does not begin with digits, or with more than there are bytes in the world.
    #[error("it is no whole number of bytes per second, such as `20MiB`")]
    NotANumber,
    /// What stands behind the number is no unit.
    #[error("`{0}` is no unit: B, KiB, MiB, GiB, or KB, MB, GB for powers of ten")]
    NotAUnit(String),
    /// Nothing would ever be read.
    #[error("it is zero; `--no-hash` reads no archive")]
    Zero,
}

impl Rate {
    /// Takes a whole number with a unit, or without one for bytes; `/s` may follow.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let text = text.trim().strip_suffix("/s").unwrap_or(text.trim());
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..end].parse().map_err(|_| RateError::NotANumber)?;
        let unit = text[end..].trim();
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(RateError::NotAUnit(unit.escape_debug().to_string())),
        };
        let bytes = number.checked_mul(factor).ok_or(RateError::NotANumber)?;
        NonZeroU64::new(bytes).map(Self).ok_or(RateError::Zero)
    }

    /// How long so many bytes take, rounded up.
    fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.0.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// How much unused time an idle bucket saves up: enough to make good for a sleep that was too long.
const BURST: Duration = Duration::from_millis(100);

/// A token bucket, kept as the moment from which on its tokens are unspent. Times count from any fixed moment.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    spent_until: Duration,
}

impl Bucket {
    /// A bucket for this rate.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, spent_until: Duration::ZERO }
    }

    /// Takes so many bytes out at this time, and says how long to wait before they may be read.
    pub fn take(&mut self, now: Duration, bytes: u64) -> Duration {
        let from = self.spent_until.max(now.saturating_sub(BURST));
        self.spent_until = from.saturating_add(self.rate.time_for(bytes));
        from.saturating_sub(now)
    }
}

/// The most that is read at once, in bytes: from the disk, where the kernel reads ahead by no less than it is asked for.
const MAX_READ: u64 = 256 * 1024;
/// The least, however low the rate.
const MIN_READ: u64 = 4 * 1024;

/// A bucket that several threads read through, or none where the rate is not limited.
#[derive(Debug)]
pub struct Throttle {
    bucket: Option<Mutex<Bucket>>,
    began: Instant,
    read_bytes: usize,
}

impl Throttle {
    /// Keeps to `rate`, or to nothing.
    pub fn new(rate: Option<Rate>) -> Self {
        // Small portions keep a low rate even: nobody sleeps much longer than an eighth of a second.
        let portion = rate.map_or(MAX_READ, |rate| (rate.0.get() / 8).clamp(MIN_READ, MAX_READ));
        Self {
            bucket: rate.map(|rate| Mutex::new(Bucket::new(rate))),
            began: Instant::now(),
            read_bytes: usize::try_from(portion).unwrap_or(usize::MAX),
        }
    }

    /// Whether anybody may have to wait.
    pub const fn is_limited(&self) -> bool {
        self.bucket.is_some()
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
        let Some(bucket) = &self.bucket else { return };
        // A panic between two statements of `take` cannot leave a bucket that would be wrong to use.
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = bucket.take(self.began.elapsed(), bytes);
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
    fn rates_are_taken_as_people_write_them() {
        let cases = [
            ("1", 1),
            ("512b", 512),
            ("20MiB", 20 << 20),
            ("20 MiB/s", 20 << 20),
            ("20mib/s", 20 << 20),
            ("3K", 3 << 10),
            ("1g", 1 << 30),
            ("20MB", 20_000_000),
            ("7kB", 7_000),
            ("2GB", 2_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(Rate::parse(text).map(|rate| rate.0.get()), Ok(bytes), "{text}");
        }
        for (text, error) in [
            ("", RateError::NotANumber),
            ("MiB", RateError::NotANumber),
            ("-1", RateError::NotANumber),
            ("99999999999999999999", RateError::NotANumber),
            ("99999999999999GiB", RateError::NotANumber),
            ("0MiB", RateError::Zero),
            ("1.5MiB", RateError::NotAUnit(".5MiB".to_owned())),
            ("5 parsecs", RateError::NotAUnit("parsecs".to_owned())),
        ] {
            assert_eq!(Rate::parse(text), Err(error), "{text}");
        }
    }

    fn bucket(rate: &str) -> Bucket {
        Bucket::new(Rate::parse(rate).unwrap())
    }

    #[test]
    fn over_any_time_no_more_goes_through_than_the_rate() {
        let (mut bucket, mut now, portion) = (bucket("10MiB"), Duration::ZERO, 256 * 1024);
        let mut passed = 0;
        while now < Duration::from_mins(1) {
            // Every other time the clock runs on by itself, as when the disk or the hash is what takes long.
            now += bucket.take(now, portion) + Duration::from_millis(u64::from(passed % 2 == 0) * 30);
            passed += 1;
        }
        let (bytes, allowed) = (passed * portion, 60 * (10 << 20));
        assert!(bytes <= allowed + allowed / 60 / 10 + portion, "{bytes} of {allowed}");
        assert!(bytes >= allowed - allowed / 100, "and not much less: {bytes} of {allowed}");
    }

    #[test]
    fn several_readers_share_one_rate() {
        let mut bucket = bucket("1MiB");
        let mut free_at = [Duration::ZERO; 4];
        for turn in 0..400 {
            let reader = turn % 4;
            let now = free_at[reader];
            free_at[reader] = now + bucket.take(now, 64 * 1024);
        }
        // 400 portions of 64 KiB are 25 MiB; the last of them need not be over yet.
        let end = free_at.into_iter().max().unwrap();
        assert!(end > Duration::from_millis(24_700) && end < Duration::from_secs(26), "{end:?}");
    }

    #[test]
    fn an_idle_bucket_saves_up_a_moment_and_not_an_hour() {
        let mut bucket = bucket("1000");
        let hour = Duration::from_hours(1);
        assert_eq!(bucket.take(hour, 100), Duration::ZERO);
        assert_eq!(bucket.take(hour, 1000), Duration::ZERO, "the burst is over after this one");
        assert_eq!(bucket.take(hour, 1000), Duration::from_secs(1));
    }

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
