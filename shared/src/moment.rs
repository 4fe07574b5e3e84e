//! A point in time that a person or a file names: a date, or a time with its offset from UTC.
//!
//! Times in rows and reports are [`crate::clock::WallTime`], which are kept unchanged and may be any text.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// A text that is neither a date nor a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is neither a date such as `2025-10-09`, which begins in UTC, nor a moment such as `2025-10-09T08:53:20Z`"
)]
pub struct NotAMoment;

/// A moment, valid by construction; as text `2025-10-09T08:53:20Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(Timestamp);

impl Moment {
    /// Converts a time to a moment, to the second, which is as exact as a person means it. A time outside the calendar
    /// becomes the latest moment.
    pub fn of(time: SystemTime) -> Self {
        let exact = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
        Self(Timestamp::from_second(exact.as_second()).unwrap_or(exact))
    }

    /// Returns the moment for calculations.
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }

    /// Returns how long ago the moment was; zero if it is in the future.
    pub fn age(self, now: SystemTime) -> Duration {
        let now = Timestamp::try_from(now).unwrap_or(Timestamp::MAX);
        Duration::try_from(now.duration_since(self.0)).unwrap_or_default()
    }

    /// Returns true if the moment has come.
    pub fn is_past(self, now: SystemTime) -> bool {
        // A clock outside the calendar counts as the latest moment.
        self.0 <= Timestamp::try_from(now).unwrap_or(Timestamp::MAX)
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;
    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        if let Ok(moment) = text.parse() {
            return Ok(Self(moment));
        }
        // A date-time without an offset also parses as a date. Ignoring its time would be worse than an error.
        if text.contains(['T', 't', ' ', ':']) {
            return Err(NotAMoment);
        }
        let date: Date = text.parse().map_err(|_| NotAMoment)?;
        Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).map(Self).map_err(|_| NotAMoment)
    }
}

impl TryFrom<String> for Moment {
    type Error = NotAMoment;
    fn try_from(text: String) -> Result<Self, NotAMoment> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl From<Moment> for WallTime {
    fn from(moment: Moment) -> Self {
        Self::from(moment.0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` applies the width, so that a table can align moments.
        f.pad(&self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_begin_in_utc_and_moments_need_their_offset() {
        for (text, expected) in [
            ("2025-10-09", "2025-10-09T00:00:00Z"),
            ("2025-10-09T08:53:20Z", "2025-10-09T08:53:20Z"),
            ("2025-10-09T10:53:20+02:00", "2025-10-09T08:53:20Z"),
            ("2025-10-09T08:53:20.000000+00:00", "2025-10-09T08:53:20Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.to_string(), expected, "{text}");
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        for text in ["", "yesterday", "2025-10-09T08:53:20", "2025-10-09 08:53", "09.10.2025", "7d"] {
            assert_eq!(text.parse::<Moment>(), Err(NotAMoment), "{text}");
        }
    }

    #[test]
    fn a_moment_is_past_once_it_has_come() {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let moment = Moment::of(time(100) + Duration::from_millis(900));
        assert_eq!(moment, Moment::of(time(100)));
        for (now, expected) in [(99, false), (100, true), (101, true)] {
            assert_eq!(moment.is_past(time(now)), expected, "{now}");
        }
    }
}
