//! Times and sizes as people say them.

use std::time::{Duration, SystemTime};

use cis490_shared::clock::WallTime;
use cis490_shared::excerpt::excerpt;
use jiff::Timestamp;

/// `5 min`, `3 h`, `4 days`: the largest unit of which there are at least two, rounded down.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// The moment, where the text is one.
pub fn moment(time: &WallTime) -> Option<SystemTime> {
    SystemTime::try_from(time.as_str().parse::<Timestamp>().ok()?).ok()
}

/// `5 min ago`, `in 20 s`, `now`; the text itself where it is no time.
pub(super) fn relative(time: &WallTime, now: SystemTime) -> String {
    let Some(then) = moment(time) else { return excerpt(time.as_str()) };
    match now.duration_since(then) {
        Ok(past) if past < Duration::from_secs(1) => "now".to_owned(),
        Ok(past) => format!("{} ago", duration(past)),
        Err(future) => format!("in {}", duration(future.duration())),
    }
}

/// `2025-10-09 08:53:20 UTC`; the text itself where it is no time.
pub(super) fn clock_time(time: &WallTime) -> String {
    match time.as_str().parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => excerpt(time.as_str()),
    }
}

/// `3.1 MB`: powers of 1000, as disks and networks are sold.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1000.0, 0);
    // What would be rounded to 1000 is one of the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `1 episode`, `31 episodes`.
pub(crate) fn episodes(count: u64) -> String {
    if count == 1 { "1 episode".to_owned() } else { format!("{count} episodes") }
}

/// `1 finished directory`, `31 finished directories`.
pub(super) fn finished(count: u64) -> String {
    if count == 1 { "1 finished directory".to_owned() } else { format!("{count} finished directories") }
}

/// Lines that are there to be pasted, without anything that a terminal would obey.
pub(crate) fn block(text: &str) -> String {
    text.trim_end().lines().map(excerpt).collect::<Vec<_>>().join("\n")
}

/// The beginning of a commit, as git shows it.
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
    fn times_and_sizes_read_well() {
        let durations = [1, 119, 120, 7199, 7200, 172_799, 172_800].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(durations, ["1 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
        let sizes = [0, 999, 1000, 3_140_000, 9_960_000, 999_600, 2_000_000_000_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "3.1 MB", "10 MB", "1.0 MB", "2.0 TB", "18447 PB"]);
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
