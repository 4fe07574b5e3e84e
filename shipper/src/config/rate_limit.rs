//! `queue.rate_limit`: how fast this host may send, by the hours of its week.
//!
//! Text and tables only. Who asks, and what time it is, is [`crate::upload::pace`]'s affair.

use std::fmt;

use cis490_shared::rate::{self, Rate};
use jiff::civil::{DateTime, Weekday};
use serde::{Deserialize, Deserializer, de};

const KIB: u64 = 1024;
/// The lowest limit there is, in bytes a second.
const LEAST: u64 = 16 * KIB;
/// The least for each upload that may be under way, in bytes a second. A receiver drops what stays below its
/// `min_upload_rate`, 1 KiB/s where nothing else is configured.
const LEAST_EACH: u64 = 2 * KIB;
/// More than any network carries; what follows from it never overflows.
const MOST: u64 = 1 << 40;
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What may be sent at which time of the week. The default is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimit(Vec<Entry>);

/// One entry of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// As it is configured.
    text: String,
    rate: Rate,
    /// None: whenever no other entry holds.
    times: Option<Times>,
}

/// Hours that begin on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// Monday first.
    days: [bool; 7],
    /// Minutes after midnight.
    from: u16,
    /// Minutes from then on, up to a day.
    minutes: u16,
}

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// No number with a unit.
    #[error(
        "is `{0}`: give a whole number with a unit, as `2MiB/s` or `08:00-18:00 512KiB/s`; units are B, KB, KiB, MB, MiB, GB, GiB"
    )]
    Form(String),
    /// Nothing would ever be sent.
    #[error(
        "is `{0}`, which sends nothing; to pause: systemctl stop cis490-shipper (nothing is lost meanwhile)"
    )]
    Zero(String),
    /// No time of the day.
    #[error(
        "is `{0}`: hours are written as `08:00-18:00`, or over midnight as `22:00-06:00`; the whole day goes without"
    )]
    Hours(String),
    /// No day of the week.
    #[error("is `{0}`: days are written as `sat`, `mon-fri` or `mon,wed,fri`")]
    Days(String),
    /// Two entries for one time.
    #[error("holds `{0}` and `{1}`, which overlap: for each time one entry at most")]
    Overlap(String, String),
}

impl RateLimit {
    /// Takes the entries as they are configured.
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

    /// The limit at this local time; none: as fast as it goes.
    pub fn at(&self, local: DateTime) -> Option<Rate> {
        self.entry_at(local).map(|entry| entry.rate)
    }

    /// The entry that holds at this local time, as it is configured.
    pub fn text_at(&self, local: DateTime) -> Option<&str> {
        self.entry_at(local).map(|entry| entry.text.as_str())
    }

    fn entry_at(&self, local: DateTime) -> Option<&Entry> {
        let minute = minute_of_week(local);
        let timed = self.0.iter().find(|entry| entry.times.is_some_and(|times| times.hold(minute)));
        timed.or_else(|| self.0.iter().find(|entry| entry.times.is_none()))
    }

    /// Whether there is any limit.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is another one at some other time.
    pub fn has_hours(&self) -> bool {
        self.0.iter().any(|entry| entry.times.is_some())
    }

    /// What is wrong with it for so many uploads at a time, of which each gets its share: it reads on from the key.
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
    /// Whether this minute of the week is among them.
    fn hold(&self, minute: u16) -> bool {
        (0..7).zip(self.days).filter(|(_, is_meant)| *is_meant).any(|(day, _)| {
            let begin = day * DAY + self.from;
            // What begins on Sunday evening may end on Monday morning.
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

/// A rate in bytes, with `/s`. `Mb` and `M` are refused here: of a network they may be meant as bits.
fn parse_rate(text: &str) -> Result<Rate, rate::RateError> {
    let is_in_bytes = |amount: &&str| amount.ends_with('B') || amount.to_ascii_lowercase().ends_with("ib");
    let amount = text.strip_suffix("/s").filter(is_in_bytes).ok_or(rate::RateError::NotANumber)?;
    match Rate::parse(amount)? {
        rate if rate.bytes_per_s() > MOST => Err(rate::RateError::NotANumber),
        rate => Ok(rate),
    }
}

/// `sat`, `mon-fri`, `fri-mon` or `mon,wed-thu`.
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

/// `08:00-18:00` as the minute of the day that begins it, and the minutes from then on.
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

/// `HH:MM`, `24:00` being the end of the day.
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

/// One text, or a list of them.
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

/// Names the key in its error.
fn limit<T: AsRef<str>, E: de::Error>(entries: &[T]) -> Result<RateLimit, E> {
    RateLimit::parse(entries).map_err(|error| de::Error::custom(format!("`queue.rate_limit` {error}")))
}

#[cfg(test)]
mod tests;
