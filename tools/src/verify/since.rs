//! The moment of `--since`: only archives stored then or later are read again.
//!
//! It is compared with `received_at_wall` of the archive's row, or with the archive's modification time if the row has
//! no valid time.

use std::time::SystemTime;

use cis490_shared::moment::{Moment, NotAMoment};
use jiff::Timestamp;

/// Parses a date or date-time as in RFC 3339.
pub fn parse(text: &str) -> Result<Timestamp, NotAMoment> {
    text.parse().map(Moment::timestamp)
}

/// Returns true if an archive was stored at that moment or later.
pub fn is_since(since: Timestamp, received_at: Option<Timestamp>, modified: SystemTime) -> bool {
    // An archive with an impossible modification time is read, because one read too many does no harm.
    received_at.or_else(|| Timestamp::try_from(modified).ok()).is_none_or(|stored| stored >= since)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_begin_in_utc_and_moments_need_their_offset() {
        for (text, seconds) in [
            ("2025-10-09", 1_759_968_000),
            ("2025-10-09T08:53:20Z", 1_760_000_000),
            ("2025-10-09T10:53:20+02:00", 1_760_000_000),
            ("2025-10-09t08:53:20.000000+00:00", 1_760_000_000),
        ] {
            assert_eq!(parse(text).map(Timestamp::as_second), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2025-10-09T08:53:20",
            "2025-10-09 08:53",
            "2025-13-01",
            "2025-02-30",
            "1760000000",
        ] {
            assert_eq!(parse(text), Err(NotAMoment), "{text}");
        }
    }

    #[test]
    fn the_row_decides_and_the_file_only_where_the_row_is_silent() {
        let since = parse("2025-10-09").unwrap();
        let (before, after) =
            (parse("2025-10-08T23:59:59Z").unwrap(), parse("2025-10-09T00:00:00Z").unwrap());
        let modified = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(is_since(since, Some(after), modified(0)));
        assert!(!is_since(since, Some(before), modified(1_760_000_000)));
        assert!(is_since(since, None, modified(1_760_000_000)));
        assert!(!is_since(since, None, modified(0)));
    }
}
