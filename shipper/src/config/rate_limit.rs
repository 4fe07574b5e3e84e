//! `queue.rate_limit`: how fast this host may send, by the hours of its week.
//!
//! Text and tables only. [`crate::upload::pace`] knows the time and applies the limit.

use std::fmt;

use cis490_shared::rate::{self, Rate};
use jiff::civil::{DateTime, Weekday};
use serde::{Deserialize, Deserializer, de};

const KIB: u64 = 1024;
/// The lowest limit, in bytes per second.
const LEAST: u64 = 16 * KIB;
/// The lowest share of each upload that may be under way, in bytes per second. A receiver drops uploads below its
/// `min_upload_rate`, by default 1 KiB/s.
const LEAST_EACH: u64 = 2 * KIB;
/// The highest limit, in bytes per second: more than any network carries, so that no calculation overflows.
const MOST: u64 = 1 << 40;
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The rate limit at each time of the week. The default is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimit(Vec<Entry>);

/// One entry of a rate limit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// The entry as configured.
    text: String,
    rate: Rate,
    /// `None` if the entry applies whenever no other one does.
    times: Option<Times>,
}

/// Hours that begin on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// The days on which the hours begin, Monday first.
    days: [bool; 7],
    /// The beginning, in minutes after midnight.
    from: u16,
    /// The length in minutes, up to a day.
    minutes: u16,
}

/// Why a text is no rate limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// There is no number with a unit.
    #[error(
        "is `{0}`: give a whole number with a unit, as `2MiB/s` or `08:00-18:00 512KiB/s`; units are B, KB, KiB, MB, MiB, GB, GiB"
    )]
    Form(String),
    /// The rate is zero, so nothing would ever be sent.
    #[error(
        "is `{0}`, which sends nothing; to pause: systemctl stop cis490-shipper (nothing is lost meanwhile)"
    )]
    Zero(String),
    /// The hours are not valid.
    #[error(
        "is `{0}`: hours are written as `08:00-18:00`, or over midnight as `22:00-06:00`; omit them for the whole day"
    )]
    Hours(String),
    /// The days are not valid.
    #[error("is `{0}`: days are written as `sat`, `mon-fri` or `mon,wed,fri`")]
    Days(String),
    /// Two entries apply at the same time.
    #[error("holds `{0}` and `{1}`, which overlap: give at most one entry for each time")]
    Overlap(String, String),
}

impl RateLimit {
    /// Parses the entries as configured.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, RateError> {
        let entries: Vec<_> =
            entries.iter().map(|text| Entry::parse(text.as_ref())).collect::<Result<_, _>>()?;
        for (number, one) in entries.iter().enumerate() {
            if let Some(other) = entries[number + 1..].iter().find(|other| one.overlaps(other)) {
                return Err(RateError::Overlap(one.text.clone(), other.text.clone()));
            }
        }
        Ok(Self(entries))
    }

    /// Returns the limit at this local time. `None` if there is no limit.
    pub fn at(&self, local: DateTime) -> Option<Rate> {
        self.entry_at(local).map(|entry| entry.rate)
    }

    /// Returns the entry in force at this local time, as configured.
    pub fn text_at(&self, local: DateTime) -> Option<&str> {
        self.entry_at(local).map(|entry| entry.text.as_str())
    }

    fn entry_at(&self, local: DateTime) -> Option<&Entry> {
        let minute = minute_of_week(local);
        let timed = self.0.iter().find(|entry| entry.times.is_some_and(|times| times.hold(minute)));
        timed.or_else(|| self.0.iter().find(|entry| entry.times.is_none()))
    }

    /// Returns true if there is no limit at any time.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the limit depends on the time.
    pub fn has_hours(&self) -> bool {
        self.0.iter().any(|entry| entry.times.is_some())
    }

    /// Returns the fault of a limit that is too low for the uploads that share it. The text continues after the key.
    pub fn too_low_for(&self, parallel_uploads: usize) -> Option<String> {
        let least = LEAST.max(LEAST_EACH.saturating_mul(parallel_uploads as u64));
        let entry = self.0.iter().find(|entry| entry.rate.bytes_per_s() < least)?;
        Some(format!(
            "is `{}`: at least {}KiB/s is needed for {parallel_uploads} uploads at a time, or the receiver takes them \
             for stalled; to pause: systemctl stop cis490-shipper",
            entry.text,
            least / KIB
        ))
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<_> = self.0.iter().map(|entry| entry.text.as_str()).collect();
        f.write_str(&entries.join(", "))
    }
}

impl Entry {
    /// `[DAYS] [HH:MM-HH:MM] NUMBER UNIT/s`
    fn parse(text: &str) -> Result<Self, RateError> {
        let mut words = text.split_whitespace().peekable();
        let days = words.next_if(|word| word.starts_with(|first: char| first.is_ascii_alphabetic()));
        let hours = words.next_if(|word| word.contains(':'));
        let rate = parse_rate(&words.collect::<String>()).map_err(|error| match error {
            rate::RateError::Zero => RateError::Zero(text.to_owned()),
            _ => RateError::Form(text.escape_debug().to_string()),
        })?;
        let days =
            days.map(|word| parse_days(word).ok_or_else(|| RateError::Days(text.to_owned()))).transpose()?;
        let hours = hours
            .map(|word| parse_hours(word).ok_or_else(|| RateError::Hours(text.to_owned())))
            .transpose()?;
        let times = (days.is_some() || hours.is_some()).then(|| {
            let (from, minutes) = hours.unwrap_or((0, DAY));
            Times { days: days.unwrap_or([true; 7]), from, minutes }
        });
        Ok(Self { text: text.trim().to_owned(), rate, times })
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self.times, other.times) {
            (None, None) => true,
            (Some(one), Some(other)) => (0..WEEK).any(|minute| one.hold(minute) && other.hold(minute)),
            _ => false,
        }
    }
}

impl Times {
    /// Returns true if this minute of the week is within these hours.
    fn hold(&self, minute: u16) -> bool {
        (0..7).zip(self.days).filter(|(_, is_meant)| *is_meant).any(|(day, _)| {
            let begin = day * DAY + self.from;
            // Hours that begin on Sunday evening may end on Monday morning.
            (minute + WEEK - begin) % WEEK < self.minutes
        })
    }
}

fn minute_of_week(local: DateTime) -> u16 {
    let day = match local.weekday() {
        Weekday::Monday => 0,
        Weekday::Tuesday => 1,
        Weekday::Wednesday => 2,
        Weekday::Thursday => 3,
        Weekday::Friday => 4,
        Weekday::Saturday => 5,
        Weekday::Sunday => 6,
    };
    let part = |value: i8| u16::from(value.unsigned_abs());
    day * DAY + part(local.hour()) * 60 + part(local.minute())
}

/// Parses a rate in bytes, with `/s`. Refuses `Mb` and `M`, which may mean bits on a network.
fn parse_rate(text: &str) -> Result<Rate, rate::RateError> {
    let is_in_bytes = |amount: &&str| amount.ends_with('B') || amount.to_ascii_lowercase().ends_with("ib");
    let amount = text.strip_suffix("/s").filter(is_in_bytes).ok_or(rate::RateError::NotANumber)?;
    match Rate::parse(amount)? {
        rate if rate.bytes_per_s() > MOST => Err(rate::RateError::NotANumber),
        rate => Ok(rate),
    }
}

/// Parses days: `sat`, `mon-fri`, `fri-mon` or `mon,wed-thu`.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| name.eq_ignore_ascii_case(day));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|after| days[(first + after) % 7] = true);
    }
    Some(days)
}

/// Parses hours, as `08:00-18:00`, into the minute of the day at which they begin and their length in minutes.
fn parse_hours(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
    let minutes = (to + DAY - from) % DAY;
    match (from, to) {
        (DAY, _) => None,
        (0, DAY) => Some((0, DAY)),
        _ => (minutes > 0).then_some((from, minutes)),
    }
}

/// Parses `HH:MM` into a minute of the day. `24:00` is the end of the day.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| match text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u16>().ok(),
        false => None,
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= DAY).then_some(of_day)
}

/// Takes one text, or a list of them.
impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries)
    }
}

struct Entries;

impl<'de> de::Visitor<'de> for Entries {
    type Value = RateLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate as `2MiB/s`, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RateLimit, E> {
        limit(&[text])
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<RateLimit, A::Error> {
        let mut entries = Vec::<String>::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        limit(&entries)
    }
}

/// Parses the entries, and names the key in the error.
fn limit<T: AsRef<str>, E: de::Error>(entries: &[T]) -> Result<RateLimit, E> {
    RateLimit::parse(entries).map_err(|error| de::Error::custom(format!("`queue.rate_limit` {error}")))
}

#[cfg(test)]
mod tests;
