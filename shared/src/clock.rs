//! Wall time as text, and the one place that asks the system for a time.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment as it stands in rows and reports: ISO 8601, UTC, microseconds, `+00:00`.
///
/// What an earlier generation wrote is carried unchanged, so reading accepts any text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(String);

impl WallTime {
    /// The current time.
    pub fn now() -> Self {
        Self::from(system_time())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The system's wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// How long a processor has worked for the calling thread: a measure of work that neither a slow disk nor a busy
/// machine stretches.
pub fn thread_time() -> Duration {
    // It counts up from zero, so the conversion cannot fail.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl From<SystemTime> for WallTime {
    /// Times outside the years that the format can hold become its nearest end.
    fn from(time: SystemTime) -> Self {
        jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX).into()
    }
}

impl From<jiff::Timestamp> for WallTime {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string())
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_microseconds_and_a_numeric_offset_even_at_a_full_second() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        assert_eq!(WallTime::from(time).as_str(), "2025-10-09T08:53:20.000000+00:00");
        let time = time + Duration::from_nanos(123_456_789);
        assert_eq!(WallTime::from(time).as_str(), "2025-10-09T08:53:20.123456+00:00");
    }

    #[test]
    fn the_time_of_a_thread_goes_on_while_it_works() {
        let began = thread_time();
        assert!((0..10_000_000).any(|_| thread_time() > began));
    }
}
