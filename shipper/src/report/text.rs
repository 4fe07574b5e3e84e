//! The output of `cis490-shipper status`, with the current problem first, then backlog and rate; and the one line that
//! `systemctl status` shows.
//!
//! Pure. Text from outside is shown without control characters, which a terminal would obey.

use std::time::SystemTime;

use cis490_shared::certificate::Remaining;
use cis490_shared::excerpt::excerpt;
use cis490_shared::terminal;
use serde::Serialize;

use crate::report::problem::Problem;
use crate::report::status::{Life, State, Status};
use crate::report::{problem, words};

/// How many uploads are shown one by one.
const SHOWN_UPLOADS: usize = 16;

/// The findings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// True if a shipper works on the data directory.
    pub running: bool,
    /// The problem that a person should fix first, if any.
    pub problem: Option<Problem>,
    /// The status from the daemon, or as far as it is known without a daemon.
    #[serde(flatten)]
    pub status: Status,
    /// The source of the status.
    #[serde(skip)]
    pub life: Life,
}

/// Returns the whole text, with a newline at its end.
pub fn render(report: &Report, now: SystemTime) -> String {
    let mut text = Vec::new();
    // Directories that only a person can fix are above the rest, even if another problem is worse.
    let unshippable = problem::unshippable(&report.status).filter(|one| report.problem.as_ref() != Some(one));
    for problem in report.problem.iter().chain(&unshippable) {
        text.push(problem.what.clone());
        text.extend(problem.help.iter().map(|help| format!("help: {}", excerpt(help))));
        text.extend(problem.paste.iter().map(|paste| format!("\n{paste}")));
        text.push(String::new());
    }
    text.push(headline(report, now));
    text.extend(lines(report, now).iter().map(|(name, value)| format!("  {name:<13}{value}")));
    if let Some(Problem { what, paste, .. }) = refused_below(report) {
        text.push(format!("\n{what}\n\n{}", paste.unwrap_or_default()));
    }
    text.push(String::new());
    text.join("\n")
}

fn headline(report: &Report, now: SystemTime) -> String {
    let status = &report.status;
    let host = excerpt(&status.host_id);
    let state = match (report.life, status.state) {
        (Life::NotRunning, _) => "not running".to_owned(),
        (Life::Silent, _) => "no status".to_owned(),
        (Life::Running, State::Idle) if status.scan_failure.is_some() => {
            "idle, cannot find new episodes".to_owned()
        }
        (Life::Running, State::Idle) => match status.unshippable.count {
            0 => "idle, every finished episode is shipped or in quarantine".to_owned(),
            count => {
                format!("idle, everything is shipped or in quarantine except {}", words::finished(count))
            }
        },
        (Life::Running, state) => state_word(state).to_owned(),
    };
    let since = match (report.life, &status.started_at) {
        (Life::Running, Some(at)) => format!(", started {}", words::relative(at, now)),
        _ => String::new(),
    };
    format!("{host} to {}: {state}{since}", excerpt(&status.url))
}

/// Returns the lines with content, each with its name.
fn lines(report: &Report, now: SystemTime) -> Vec<(&'static str, String)> {
    let status = &report.status;
    let mut lines = Vec::new();
    lines.extend(backlog(report).map(|text| ("backlog", text)));
    lines.extend(rate(status).map(|text| ("rate", text)));
    for upload in status.under_way.iter().take(SHOWN_UPLOADS) {
        let (sent, total) = (terminal::bytes(upload.sent_bytes), terminal::bytes(upload.total_bytes));
        let percent = (upload.sent_bytes.saturating_mul(100)).checked_div(upload.total_bytes).unwrap_or(100);
        lines
            .push(("under way", format!("{}, {sent} of {total} ({percent} %)", excerpt(&upload.episode_id))));
    }
    if let Some(oldest) = &status.oldest_unshipped {
        let since = oldest.since.as_ref().map(|at| format!(", finished {}", words::relative(at, now)));
        lines.push(("oldest", format!("{}{}", excerpt(&oldest.episode_id), since.unwrap_or_default())));
    }
    lines.extend(shipped(report, now).map(|text| ("shipped", text)));
    lines.extend(status.next_try.as_ref().map(|at| ("next try", words::relative(at, now))));
    lines.extend(quarantine(status).map(|text| ("quarantine", text)));
    lines.extend(refused(status, now).map(|text| ("refused", text)));
    if report.life == Life::Running {
        lines.extend(surroundings(status, now));
    }
    lines
}

fn backlog(report: &Report) -> Option<String> {
    let backlog = report.status.backlog;
    if report.life != Life::Running {
        return Some(format!("{} in episodes/", backlog.in_episodes));
    }
    let counts = [
        (backlog.ready, "ready"),
        (backlog.waiting, "to be tried again"),
        (backlog.in_flight, "under way"),
        (backlog.in_episodes, "in episodes/ in all"),
    ];
    let counts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

fn rate(status: &Status) -> Option<String> {
    let (minute, ten) = (status.rate.last_minute, status.rate.last_ten_minutes);
    let is_any = minute.bytes_per_s > 0 || minute.episodes_per_s > 0.0;
    is_any.then(|| {
        format!(
            "{}/s, {:.1} episodes/s over the last minute; {}/s, {:.1} over the last ten",
            terminal::bytes(minute.bytes_per_s),
            minute.episodes_per_s,
            terminal::bytes(ten.bytes_per_s),
            ten.episodes_per_s
        )
    })
}

fn shipped(report: &Report, now: SystemTime) -> Option<String> {
    let status = &report.status;
    let Some(last) = &status.last_success else {
        return (report.life == Life::Running).then(|| "nothing since the start".to_owned());
    };
    let at = last.at.as_ref().map(|at| format!(", {}", words::relative(at, now))).unwrap_or_default();
    let in_all = match (report.life, status.shipped) {
        (Life::Running, 0) => ", in an earlier run; nothing since the start".to_owned(),
        (Life::Running, count @ 2..) => format!("; {count} since the start"),
        _ => String::new(),
    };
    Some(format!("{}{at}{in_all}", excerpt(&last.episode_id)))
}

fn quarantine(status: &Status) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(quarantined) = status.quarantined.as_ref().filter(|quarantined| quarantined.total > 0) {
        parts.push(words::episodes(quarantined.total));
        let for_commit: u64 = quarantined.by_commit.iter().map(|commit| commit.episodes).sum();
        parts.extend((for_commit > 0).then(|| format!("{for_commit} of them for their commit")));
    }
    parts.extend((status.conflicts > 0).then(|| {
        format!("{} in conflict with other stored bytes since the start", words::episodes(status.conflicts))
    }));
    (!parts.is_empty()).then(|| format!("{}; see cis490-shipper quarantine list", parts.join(", ")))
}

fn refused(status: &Status, now: SystemTime) -> Option<String> {
    let last = status.last_refusal.as_ref()?;
    let mut text = format!("{}, {}", excerpt(&last.episode_id), excerpt(&last.error));
    let commit = words::short_commit(last.commit.as_deref());
    text.extend(last.remediation.iter().map(|_| format!(", commit {commit}")));
    text.extend(last.at.iter().map(|at| format!(", {}", words::relative(at, now))));
    text.extend(last.detail.iter().map(|detail| format!(": {}", excerpt(detail))));
    Some(text)
}

/// Returns the lines that are not about episodes.
fn surroundings(status: &Status, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(position) = &status.commit_position {
        lines.push(("commit", format!("{} in the window of admitted commits", excerpt(position))));
    }
    if let Some(expires) = &status.certificate_expires {
        let remaining =
            words::moment(expires).map(|at| Remaining::of(at, now).to_string()).unwrap_or_default();
        lines.push(("certificate", format!("{remaining} ({})", words::clock_time(expires))));
    }
    if let Some(skew) = status.clock_skew_s {
        let agrees = skew.unsigned_abs() <= 2;
        let text =
            if agrees { "agrees with the receiver's".to_owned() } else { problem::skew_in_words(skew) };
        lines.push(("clock", text));
    }
    if let Some(disk) = status.disk {
        let (free, total) = (terminal::bytes(disk.free_bytes), terminal::bytes(disk.total_bytes));
        lines.push(("disk", format!("{free} of {total} are free")));
    }
    lines
}

/// Returns the remediation of a refused commit, if another problem came first.
fn refused_below(report: &Report) -> Option<Problem> {
    let refused = problem::refused_commit(&report.status);
    refused.filter(|refused| report.problem.as_ref() != Some(refused))
}

/// Returns the status in one line.
///
/// An example is `shipping: 12 ready, 2 under way at 3.1 MB/s, 1 refused commit - see cis490-shipper status`.
pub fn line(status: &Status, now: SystemTime) -> String {
    let backlog = &status.backlog;
    let mut parts = Vec::new();
    let mut count = |count: usize, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    count(backlog.ready, "ready");
    count(backlog.waiting, "to be tried again");
    count(backlog.in_flight, "under way");
    if let (Some(last), bytes_per_s @ 1..) = (parts.last_mut(), status.rate.last_minute.bytes_per_s)
        && backlog.in_flight > 0
    {
        *last = format!("{last} at {}/s", terminal::bytes(bytes_per_s));
    }
    if parts.is_empty() {
        parts.push(format!("{} shipped since the start", words::episodes(status.shipped)));
    }
    let problem = problem::first(status, Life::Running, now);
    parts.extend(problem.iter().map(|problem| problem.short.clone()));
    let more = if problem.is_some() { " - see cis490-shipper status" } else { "" };
    format!("{}: {}{more}", state_word(status.state), parts.join(", "))
}

/// Returns the state in a word.
fn state_word(state: State) -> &'static str {
    match state {
        State::Shipping => "shipping",
        State::Idle => "idle",
        State::Waiting => "waiting",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::Unknown => "in a state of a later version",
    }
}

#[cfg(test)]
mod tests;
