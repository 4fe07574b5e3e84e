//! `--until` of `admit`: a span of time from now on, a date, or a moment. Pure: the time is a parameter.

use std::time::SystemTime;

use cis490_shared::excerpt::excerpt;
use cis490_shared::moment::Moment;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Why a text names no end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadUntil {
    /// It has none of the forms.
    #[error(
        "`--until {}`: write a span such as `7d`, `12h` or `1mo`, a date such as `2025-10-09`, which begins in UTC, or a moment such as `2025-10-09T08:53:20Z`",
        excerpt(.0)
    )]
    Form(String),
    /// Its moment has passed already.
    #[error("`--until {}` means {}, which is past: nothing would be admitted", excerpt(.0), .1)]
    Past(String, Moment),
    /// Its moment is beyond the calendar.
    #[error("`--until {}` is too far away: leave it out, and it lasts until it is revoked", excerpt(.0))]
    TooFar(String),
}

/// Returns the moment that a text names. Days, months and years are calendar units in UTC.
pub(super) fn parse(text: &str, now: SystemTime) -> Result<Moment, BadUntil> {
    let moment = match text.parse::<Span>() {
        Ok(span) => {
            let end = Timestamp::try_from(now)
                .and_then(|now| now.to_zoned_datetime(TimeZone::UTC).checked_add(span))
                .and_then(|end| SystemTime::try_from(end.timestamp()));
            Moment::of(end.map_err(|_| BadUntil::TooFar(text.to_owned()))?)
        }
        Err(_) => text.parse().map_err(|_| BadUntil::Form(text.to_owned()))?,
    };
    if moment.is_past(now) { Err(BadUntil::Past(text.to_owned(), moment)) } else { Ok(moment) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_dates_and_moments_are_taken() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        for (text, expected) in [
            ("1s", "2025-10-09T08:53:21Z"),
            ("90m", "2025-10-09T10:23:20Z"),
            ("12h", "2025-10-09T20:53:20Z"),
            ("7d", "2025-10-16T08:53:20Z"),
            ("2w", "2025-10-23T08:53:20Z"),
            ("1d12h", "2025-10-10T20:53:20Z"),
            ("7 days", "2025-10-16T08:53:20Z"),
            ("1mo", "2025-11-09T08:53:20Z"),
            ("2025-10-10", "2025-10-10T00:00:00Z"),
            ("2025-10-09T11:00:00+02:00", "2025-10-09T09:00:00Z"),
        ] {
            assert_eq!(parse(text, now).map(|moment| moment.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "d", "7", "tomorrow", "2025-10-10T09:00:00", "\u{e9}d"] {
            assert_eq!(parse(text, now), Err(BadUntil::Form(text.to_owned())), "{text}");
        }
        for text in ["0d", "-7d", "7d ago", "2025-10-09", "2025-10-09T08:53:20Z"] {
            assert!(matches!(parse(text, now), Err(BadUntil::Past(..))), "{text}");
        }
        for text in ["9000y", "1000000w"] {
            assert_eq!(parse(text, now), Err(BadUntil::TooFar(text.to_owned())), "{text}");
        }
        for text in ["9999999w", "99999999999999999999d"] {
            assert_eq!(
                parse(text, now),
                Err(BadUntil::Form(text.to_owned())),
                "{text}: no calendar has so many"
            );
        }
    }
}
