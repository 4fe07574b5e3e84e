//! Wall time as text, and the only code that asks the system for a wall time or a processor time.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A time as written in rows and reports: ISO 8601, UTC, microseconds, `+00:00`.
///
/// Reading accepts any text, so that times written by an earlier generation stay unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(String);

impl WallTime {
    /// Returns the current time.
    pub fn now() -> Self {
        Self::from(system_time())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the time of the system's wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Returns the processor time used by the calling thread. A slow disk or a busy machine does not increase it.
pub fn thread_time() -> Duration {
    // The clock counts up from zero, so the conversion cannot fail.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl From<SystemTime> for WallTime {
    /// Converts a time. One outside the years that the format can hold becomes the latest that it can.
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
