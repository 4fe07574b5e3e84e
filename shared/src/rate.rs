//! Rates in bytes per second, as a person writes them, and the token bucket that enforces one.
//!
//! Pure: [`Bucket`] gets the time as an argument and returns how long to wait. The caller decides who waits, and for
//! what.

use std::num::NonZeroU64;
use std::time::Duration;

/// Bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

/// The reason why a text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// The text does not begin with digits, or the number of bytes does not fit into 64 bits.
    #[error("it is no whole number of bytes per second, such as `20MiB`")]
    NotANumber,
    /// The text behind the number is not a unit.
    #[error("`{0}` is no unit: B, KiB, MiB, GiB, or KB, MB, GB for powers of ten")]
    NotAUnit(String),
    /// The rate is zero, so nothing could ever be sent.
    #[error("it is zero")]
    Zero,
}

impl Rate {
    /// Parses a whole number with a unit in any case, or without one for bytes; `/s` may follow.
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

    /// Returns the rate as a number.
    pub const fn bytes_per_s(self) -> u64 {
        self.0.get()
    }

    /// Returns how long `bytes` bytes take, rounded up.
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.0.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A token bucket, stored as the time until which its tokens are spent. Times count from any fixed moment.
///
/// In any period `t` at most `rate * (t + burst)` bytes pass, plus the bytes taken last.
#[derive(Debug)]
pub struct Bucket {
    burst: Duration,
    spent_until: Duration,
}

impl Bucket {
    /// Creates a bucket that is empty at time zero. While idle it saves the tokens of a period of `burst`, so that a
    /// caller that slept too long catches up.
    pub const fn new(burst: Duration) -> Self {
        Self { burst, spent_until: Duration::ZERO }
    }

    /// Takes the tokens for `bytes` bytes, and returns how long to wait before these may be sent: first come, first
    /// served.
    pub fn take(&mut self, now: Duration, bytes: u64, rate: Rate) -> Duration {
        let from = self.spent_until.max(now.saturating_sub(self.burst));
        self.spent_until = from.saturating_add(rate.time_for(bytes));
        from.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: Duration = Duration::from_millis(100);

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    #[test]
    fn rates_are_taken_as_people_write_them() {
        let cases = [
            ("1", 1),
            ("512b", 512),
            ("20MiB", 20 << 20),
            ("20mib", 20 << 20),
            ("20 MiB/s", 20 << 20),
            ("20mib/s", 20 << 20),
            ("3K", 3 << 10),
            ("1g", 1 << 30),
            ("20MB", 20_000_000),
            ("7kB", 7_000),
            ("2GB", 2_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(Rate::parse(text).map(Rate::bytes_per_s), Ok(bytes), "{text}");
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

    #[test]
    fn over_any_time_no_more_goes_through_than_the_rate() {
        let (rate, mut bucket, mut now, portion) =
            (rate("10MiB"), Bucket::new(BURST), Duration::ZERO, 256 * 1024);
        let mut passed = 0;
        while now < Duration::from_mins(1) {
            // Every other time the clock advances further, as if the disk or the hash were slow.
            now += bucket.take(now, portion, rate) + Duration::from_millis(u64::from(passed % 2 == 0) * 30);
            passed += 1;
        }
        let (bytes, allowed) = (passed * portion, 60 * (10 << 20));
        assert!(bytes <= allowed + allowed / 60 / 10 + portion, "{bytes} of {allowed}");
        assert!(bytes >= allowed - allowed / 100, "and not much less: {bytes} of {allowed}");
    }

    #[test]
    fn several_readers_share_one_rate() {
        let (rate, mut bucket) = (rate("1MiB"), Bucket::new(BURST));
        let mut free_at = [Duration::ZERO; 4];
        for turn in 0..400 {
            let reader = turn % 4;
            let now = free_at[reader];
            free_at[reader] = now + bucket.take(now, 64 * 1024, rate);
        }
        // 400 portions of 64 KiB are 25 MiB; the last portions need not be sent yet.
        let end = free_at.into_iter().max().unwrap();
        assert!(end > Duration::from_millis(24_700) && end < Duration::from_secs(26), "{end:?}");
    }

    #[test]
    fn an_idle_bucket_saves_up_a_moment_and_not_an_hour() {
        let (rate, mut bucket) = (rate("1000"), Bucket::new(BURST));
        let hour = Duration::from_hours(1);
        assert_eq!(bucket.take(hour, 100, rate), Duration::ZERO);
        assert_eq!(bucket.take(hour, 1000, rate), Duration::ZERO, "the burst is over after this one");
        assert_eq!(bucket.take(hour, 1000, rate), Duration::from_secs(1));
    }

    #[test]
    fn a_new_bucket_has_saved_up_nothing() {
        let (rate, mut bucket) = (rate("1000"), Bucket::new(BURST));
        assert_eq!(bucket.take(Duration::ZERO, 100, rate), Duration::ZERO);
        assert_eq!(bucket.take(Duration::ZERO, 1000, rate), BURST);
    }
}
