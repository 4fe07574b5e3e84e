//! `--until` of `admit`: a duration from now on, a date, or a moment. Pure: the time is handed in.

use std::time::{Duration, SystemTime};

use cis490_shared::excerpt::excerpt;
use cis490_shared::moment::Moment;

/// A thousand years: more than anybody needs, and its end is still a date.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 1000);

/// Why a text names no end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadUntil {
    /// Neither form.
    #[error(
        "`--until {}`: write a duration such as `7d` or `12h`, a date such as `2025-10-09`, which begins in UTC, or a moment such as `2025-10-09T08:53:20Z`",
        excerpt(.0)
    )]
    Form(String),
    /// What it names has passed already.
    #[error("`--until {}` means {}, which is past: nothing would be admitted", excerpt(.0), .1)]
    Past(String, Moment),
    /// No calendar goes so far.
    #[error("`--until {}` is too far away: leave it out, and it lasts until it is revoked", excerpt(.0))]
    TooFar(String),
}

/// The moment that a text names.
pub(super) fn parse(text: &str, now: SystemTime) -> Result<Moment, BadUntil> {
    let moment = match duration(text) {
        Some(duration) => {
            let end = now.checked_add(duration).filter(|_| duration <= LONGEST);
            Moment::of(end.ok_or_else(|| BadUntil::TooFar(text.to_owned()))?)
        }
        None => text.parse().map_err(|_| BadUntil::Form(text.to_owned()))?,
    };
    if moment.is_past(now) { Err(BadUntil::Past(text.to_owned(), moment)) } else { Ok(moment) }
}

/// A number and its unit; one that cannot be counted in seconds is as long as can be.
fn duration(text: &str) -> Option<Duration> {
    let seconds: u64 = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Only too large a number is none.
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
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
            ("2025-10-10", "2025-10-10T00:00:00Z"),
            ("2025-10-09T11:00:00+02:00", "2025-10-09T09:00:00Z"),
        ] {
            assert_eq!(parse(text, now).map(|moment| moment.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "d",
            "7",
            "-7d",
            "+7d",
            "7 d",
            "7days",
            "1d12h",
            "tomorrow",
            "2025-10-10T09:00:00",
            "\u{e9}d",
        ] {
            assert_eq!(parse(text, now), Err(BadUntil::Form(text.to_owned())), "{text}");
        }
        for text in ["0d", "2025-10-09", "2025-10-09T08:53:20Z"] {
            assert!(matches!(parse(text, now), Err(BadUntil::Past(..))), "{text}");
        }
        for text in ["9999999w", "99999999999999999999d", &format!("{}w", u64::MAX)] {
            assert_eq!(parse(text, now), Err(BadUntil::TooFar(text.to_owned())), "{text}");
        }
    }
}
