//! `[retention]` of `lab-host.toml`: how long an episode stays on this host once the receiver has it.

use std::fmt;
use std::time::Duration;

use cis490_shared::config_file::{InvalidValue, Validate};
use serde::Deserialize;

use super::within;
use crate::store::disk::DEFAULT_FREE_PERCENT;
use crate::store::shipped::Rules;

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that an episode is kept in `shipped/`; 0 deletes none for its age.
    pub shipped_keep_days: u32,
    /// Percent of the file system that is to be free; 0 to 90. With less, the oldest of `shipped/` are deleted; 0
    /// deletes none for that.
    pub free_percent: u8,
}

impl Default for Retention {
    fn default() -> Self {
        Self { shipped_keep_days: default_shipped_keep_days(), free_percent: default_free_percent() }
    }
}

const fn default_shipped_keep_days() -> u32 {
    0
}

const fn default_free_percent() -> u8 {
    DEFAULT_FREE_PERCENT
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shipped_keep_days {
            0 => write!(f, "shipped ones kept")?,
            days => write!(f, "shipped ones kept {days} days")?,
        }
        match self.free_percent {
            0 => write!(f, ", none deleted to make room"),
            percent => write!(f, ", the oldest deleted below {percent} % free"),
        }
    }
}

/// More than that would delete what fits easily.
const MAX_FREE_PERCENT: u8 = 90;

impl Retention {
    /// The same for the queue.
    pub fn rules(&self) -> Rules {
        const DAY: Duration = Duration::from_hours(24);
        let keep = (self.shipped_keep_days > 0).then(|| DAY * self.shipped_keep_days);
        Rules { keep, free_percent: self.free_percent }
    }
}

impl Validate for Retention {
    fn validate(&self) -> Result<(), InvalidValue> {
        within("retention.free_percent", self.free_percent, 0, MAX_FREE_PERCENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_days_and_zero_percent_delete_nothing() {
        let off = Retention { shipped_keep_days: 0, free_percent: 0 };
        assert_eq!(off.rules(), Rules { keep: None, free_percent: 0 });
        let on = Retention { shipped_keep_days: 2, free_percent: 20 };
        assert_eq!(on.rules(), Rules { keep: Some(Duration::from_hours(48)), free_percent: 20 });
    }
}
