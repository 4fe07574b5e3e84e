//! The local time of this host, which the hours of a rate limit refer to.
//!
//! The zone is read once, at the start. It includes the changes to summer time and back. Another zone takes effect at
//! the next start.

use cis490_shared::clock::system_time;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The time zone of this host.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

/// The time zone of this host is unknown: the host has no tzdata, or names a zone that tzdata does not contain.
#[derive(Debug, thiserror::Error)]
#[error("the time zone of this host is unknown ({0}); install tzdata, then: timedatectl set-timezone ZONE")]
pub struct UnknownZone(jiff::Error);

impl Zone {
    /// Reads the zone that `TZ` or `/etc/localtime` names, with its rules from `/usr/share/zoneinfo`. Blocks.
    pub fn of_this_host() -> Result<Self, UnknownZone> {
        TimeZone::try_system().map(Self).map_err(UnknownZone)
    }

    /// Returns UTC, which is used if the zone is unknown.
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Returns the local time now.
    pub fn now(&self) -> DateTime {
        let now = Timestamp::try_from(system_time()).unwrap_or(Timestamp::MAX);
        self.0.to_datetime(now)
    }
}

/// Shows the name of the zone, or `local time` if it has none.
impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("local time"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_is_the_one_of_the_zone() {
        let east = Zone(TimeZone::fixed(jiff::tz::offset(2)));
        let ahead = east.now().duration_since(Zone::utc().now());
        let two_hours = Duration::from_hours(2);
        assert!(ahead.unsigned_abs().abs_diff(two_hours) < Duration::from_mins(1), "{ahead}");
        assert_eq!(Zone::utc().to_string(), "UTC");
    }
}
