//! The rate limit as text, and the limit in force at each time.

use jiff::civil::date;

use super::*;

const MIB: u64 = 1024 * 1024;

fn parse(entries: &[&str]) -> RateLimit {
    RateLimit::parse(entries).unwrap()
}

fn error(entries: &[&str]) -> String {
    RateLimit::parse(entries).unwrap_err().to_string()
}

/// Returns the limit at this time, in bytes per second.
fn bytes_at(limit: &RateLimit, local: DateTime) -> Option<u64> {
    limit.at(local).map(Rate::bytes_per_s)
}

/// Returns a time in the week that begins on Monday, 2 November 2026.
fn at(day: i8, hour: i8, minute: i8) -> DateTime {
    date(2026, 11, 2 + day).at(hour, minute, 59, 0)
}

#[test]
fn a_rate_is_a_whole_number_with_a_unit() {
    for (text, rate) in [
        ("2MiB/s", 2 * MIB),
        (" 2 MiB/s ", 2 * MIB),
        ("20000B/s", 20_000),
        ("2mib/s", 2 * MIB),
        ("512KiB/s", 512 * 1024),
        ("512KB/s", 512_000),
        ("512kB/s", 512_000),
        ("3MB/s", 3_000_000),
        ("1GB/s", 1_000_000_000),
        ("1GiB/s", 1024 * MIB),
    ] {
        assert_eq!(bytes_at(&parse(&[text]), at(0, 0, 0)), Some(rate), "{text}");
    }
    for text in [
        "",
        "2",
        "MiB/s",
        "2MiB",
        "2Mb/s",
        "2mb/s",
        "2M/s",
        "2/s",
        "2b/s",
        "2MiB/s/s",
        "-2MiB/s",
        "1.5MiB/s",
        "2MiB/s 3",
        "99999999999GiB/s",
        "2000GiB/s",
    ] {
        let error = error(&[text]);
        assert!(error.contains(&format!("is `{text}`: give a whole number with a unit")), "{text}: {error}");
    }
    assert!(error(&["0MiB/s"]).contains("is `0MiB/s`, which sends nothing; to pause: systemctl stop"));
}

#[test]
fn without_an_entry_there_is_no_limit_and_the_entry_without_hours_holds_when_no_other_does() {
    let none = parse(&[]);
    assert_eq!((none.is_none(), bytes_at(&none, at(0, 0, 0))), (true, None));
    let slow_by_day = parse(&["2MiB/s", "08:00-18:00 512KiB/s"]);
    for (hour, minute, rate) in
        [(7, 59, 2 * MIB), (8, 0, MIB / 2), (17, 59, MIB / 2), (18, 0, 2 * MIB), (0, 0, 2 * MIB)]
    {
        assert_eq!(bytes_at(&slow_by_day, at(3, hour, minute)), Some(rate), "{hour}:{minute}");
    }
    let only_by_day = parse(&["08:00-18:00 512KiB/s"]);
    assert_eq!(
        (bytes_at(&only_by_day, at(0, 12, 0)), bytes_at(&only_by_day, at(0, 18, 0))),
        (Some(MIB / 2), None)
    );
    assert_eq!(slow_by_day.text_at(at(0, 8, 0)), Some("08:00-18:00 512KiB/s"));
    assert_eq!(slow_by_day.to_string(), "2MiB/s, 08:00-18:00 512KiB/s");
    assert!(slow_by_day.has_hours() && !parse(&["2MiB/s"]).has_hours());
}

#[test]
fn hours_may_cross_midnight_and_belong_to_the_day_on_which_they_begin() {
    let nights = parse(&["22:00-06:00 1MiB/s"]);
    for (hour, minute, holds) in [(21, 59, false), (22, 0, true), (0, 0, true), (5, 59, true), (6, 0, false)]
    {
        assert_eq!(nights.at(at(2, hour, minute)).is_some(), holds, "{hour}:{minute}");
    }
    let sunday = parse(&["sun 22:00-06:00 1MiB/s"]);
    for (day, hour, holds) in [(6, 23, true), (0, 5, true), (6, 5, false), (0, 23, false), (0, 6, false)] {
        assert_eq!(sunday.at(at(day, hour, 0)).is_some(), holds, "day {day}, {hour}:00");
    }
    let evenings = parse(&["18:00-24:00 1MiB/s"]);
    assert_eq!((bytes_at(&evenings, at(0, 23, 59)), bytes_at(&evenings, at(1, 0, 0))), (Some(MIB), None));
}

#[test]
fn days_are_names_ranges_or_lists() {
    for (text, days) in [
        ("sat 1MiB/s", "5"),
        ("mon-fri 1MiB/s", "01234"),
        ("Fri-Mon 00:00-24:00 1MiB/s", "0456"),
        ("mon,wed-thu,sun 08:00-09:00 1MiB/s", "0236"),
    ] {
        let limit = parse(&[text]);
        let hold: String =
            (0..7).filter(|day| limit.at(at(*day, 8, 30)).is_some()).map(|day| day.to_string()).collect();
        assert_eq!(hold, days, "{text}");
    }
    for text in ["noday 1MiB/s", "mon- 1MiB/s", "mon-fri-sun 1MiB/s", ", 1MiB/s", "every 1MiB/s"] {
        let error = error(&[text]);
        assert!(error.contains("days are written as") || text.starts_with(','), "{text}: {error}");
    }
}

#[test]
fn hours_that_are_none_are_an_error() {
    for hours in
        ["8:00-18:00", "08:00", "08:00-24:01", "24:00-06:00", "08:60-09:00", "08:00-08:00", "08:00-+9:00"]
    {
        let text = format!("{hours} 1MiB/s");
        assert!(error(&[&text]).contains(&format!("is `{text}`: hours are written as")), "{text}");
    }
}

#[test]
fn entries_that_overlap_are_both_named() {
    for (one, other) in [
        ("1MiB/s", "2MiB/s"),
        ("08:00-18:00 1MiB/s", "17:59-20:00 2MiB/s"),
        ("22:00-06:00 1MiB/s", "05:00-07:00 2MiB/s"),
        ("sun 22:00-06:00 1MiB/s", "mon 05:00-07:00 2MiB/s"),
    ] {
        assert!(error(&[one, other]).starts_with(&format!("holds `{one}` and `{other}`, which overlap")));
    }
    parse(&["08:00-18:00 1MiB/s", "18:00-08:00 2MiB/s"]);
    parse(&["mon-fri 08:00-18:00 1MiB/s", "sat-sun 08:00-18:00 2MiB/s", "3MiB/s"]);
}

#[test]
fn what_all_uploads_share_is_enough_for_each() {
    assert_eq!(parse(&["16KiB/s"]).too_low_for(8), None);
    assert_eq!(parse(&[]).too_low_for(16), None);
    let reason = parse(&["1MiB/s", "08:00-18:00 16383B/s"]).too_low_for(2).unwrap();
    assert!(
        reason.starts_with("is `08:00-18:00 16383B/s`: at least 16KiB/s is needed for 2 uploads"),
        "{reason}"
    );
    assert!(parse(&["31KiB/s"]).too_low_for(16).unwrap().contains("at least 32KiB/s"));
}
