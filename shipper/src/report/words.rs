//! Times and counts in words.

use std::time::{Duration, SystemTime};

use cis490_shared::clock::WallTime;
use cis490_shared::excerpt::excerpt;
use jiff::Timestamp;

/// Returns a time such as `5 min`, `3 h`, `4 days`: in the largest unit of which there are at least two, rounded down.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Returns the moment, if the text is one.
pub fn moment(time: &WallTime) -> Option<SystemTime> {
    SystemTime::try_from(time.as_str().parse::<Timestamp>().ok()?).ok()
}

/// Returns `5 min ago`, `in 20 s` or `now`, or the text itself if it is no time.
pub(super) fn relative(time: &WallTime, now: SystemTime) -> String {
    let Some(then) = moment(time) else { return excerpt(time.as_str()) };
    match now.duration_since(then) {
        Ok(past) if past < Duration::from_secs(1) => "now".to_owned(),
        Ok(past) => format!("{} ago", duration(past)),
        Err(future) => format!("in {}", duration(future.duration())),
    }
}

/// Returns `2025-10-09 08:53:20 UTC`, or the text itself if it is no time.
pub(super) fn clock_time(time: &WallTime) -> String {
    match time.as_str().parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => excerpt(time.as_str()),
    }
}

/// Returns `1 episode` or `31 episodes`.
pub(crate) fn episodes(count: u64) -> String {
    if count == 1 { "1 episode".to_owned() } else { format!("{count} episodes") }
}

/// Returns `1 finished directory` or `31 finished directories`.
pub(super) fn finished(count: u64) -> String {
    if count == 1 { "1 finished directory".to_owned() } else { format!("{count} finished directories") }
}

/// Returns lines to paste, without control characters, which a terminal would obey.
pub(crate) fn block(text: &str) -> String {
    text.trim_end().lines().map(excerpt).collect::<Vec<_>>().join("\n")
}

/// Returns the first 12 characters of a commit.
pub(super) fn short_commit(commit: Option<&str>) -> String {
    commit.map_or_else(
        || "no commit".to_owned(),
        |commit| excerpt(&commit.chars().take(12).collect::<String>()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_read_well() {
        let durations = [1, 119, 120, 7199, 7200, 172_799, 172_800].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(durations, ["1 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
        assert_eq!((episodes(0), episodes(1)), ("0 episodes".into(), "1 episode".into()));
    }

    #[test]
    fn a_time_is_told_from_now_and_what_is_no_time_as_it_stands() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        let at = |seconds: i64| {
            WallTime::from(if seconds < 0 {
                now - Duration::from_secs(seconds.unsigned_abs())
            } else {
                now + Duration::from_secs(seconds.unsigned_abs())
            })
        };
        assert_eq!([-300, 0, 20].map(|s| relative(&at(s), now)), ["5 min ago", "now", "in 20 s"]);
        assert_eq!(clock_time(&at(0)), "2025-10-09 08:53:20 UTC");
        let odd: WallTime = serde_json::from_str("\"yester\\u001bday\"").unwrap();
        assert_eq!(
            (relative(&odd, now), clock_time(&odd)),
            ("yester\\u{1b}day".into(), "yester\\u{1b}day".into())
        );
    }

    #[test]
    fn a_block_keeps_its_lines_and_loses_what_moves_a_cursor() {
        assert_eq!(block("cd /opt\nsudo \u{1b}[2J x\n"), "cd /opt\nsudo \\u{1b}[2J x");
        assert_eq!((short_commit(None), short_commit(Some("abc"))), ("no commit".into(), "abc".into()));
    }
}
