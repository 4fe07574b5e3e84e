//! `cis490-shipper status`: the status of this host's shipper, for a person or a program. It reads the status that the
//! daemon wrote, and counts by itself if that is too old. Blocks.
//!
//! It works with or without a running shipper, needs only the right to read the data directory, and changes nothing. It
//! succeeds even if it finds a problem: finding one is no failure (accident 10).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use cis490_shared::clock::system_time;
use cis490_shared::fs_error::FsError;
use clap::Args;

use crate::actors::queue::SCAN_LIMIT;
use crate::config::Config;
use crate::policy::awaited::Tally;
use crate::report::problem;
use crate::report::status::{Backlog, Life, Quarantined, Rates, State, Status};
use crate::report::text::{self, Report};
use crate::report::words;
use crate::report::written::Written;
use crate::store::layout::{Dirs, DirsError};
use crate::store::quarantine::survey;

/// The age up to which a status is from a running daemon, even on a slow disk.
const FRESH: Duration = Duration::from_secs(90);

/// The flags of `status`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Print the status as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatusError {
    /// The directories cannot be read.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// The status file or the quarantine cannot be read.
    #[error(transparent)]
    File(#[from] FsError),
}

impl StatusError {
    /// Returns the next step.
    pub(super) fn remedy(&self) -> &'static str {
        let error = match self {
            Self::Dirs(DirsError::Io(error)) | Self::File(error) => error,
            Self::Dirs(error) => return error.remedy(),
        };
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "ask as the user of the shipper: sudo -u cis490 cis490-shipper status"
            }
            io::ErrorKind::NotFound => {
                "check `paths.data_root`; the shipper creates its contents at the first start: systemctl status \
                 cis490-shipper"
            }
            _ => "look at its file system: `dmesg | tail`, `df -h` it",
        }
    }
}

/// Returns the text to print.
pub(super) fn run(flags: &Flags, config: &Config) -> Result<String, StatusError> {
    let now = system_time();
    let report = inspect(config, now)?;
    Ok(match flags.json {
        // Texts and numbers can always be serialised.
        true => serde_json::to_string_pretty(&report).unwrap_or_default(),
        false => painted(&report, &text::render(&report, now)),
    })
}

const ATTENTION: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// Returns the text with its problem in colour; the terminal module removes unwanted colour.
fn painted(report: &Report, text: &str) -> String {
    let has_problem = report.problem.is_some();
    let paint = |(number, line): (usize, &str)| match line.strip_prefix("help:") {
        Some(help) => format!("{HELP}help:{HELP:#}{help}\n"),
        None if number == 0 && has_problem => format!("{ATTENTION}{line}{ATTENTION:#}\n"),
        None => format!("{line}\n"),
    };
    text.lines().enumerate().map(paint).collect()
}

/// Inspects the data directory of this configuration.
fn inspect(config: &Config, now: SystemTime) -> Result<Report, StatusError> {
    let dirs = Dirs::beside(&config.paths.data_root);
    let before = dirs.are_in_use()?;
    let file = dirs.status_file();
    let written = Written::read(&file).map_err(FsError::at("read", &file))?;
    let damage = written.damage().map(str::to_owned);
    let written = written.status();
    // A daemon that ended in between wrote its last status before it released the lock.
    let running = before && dirs.are_in_use()?;
    let life = life(running, written.as_ref(), now);
    let mut status = match (life, written) {
        (Life::Running, Some(status)) => status,
        (_, written) => without_daemon(&dirs, config, written.unwrap_or_default())?,
    };
    let problem = match damage {
        Some(reason) => Some(problem::damaged(&file, &reason, life)),
        None => problem::first(&status, life, now),
    };
    if life == Life::NotRunning {
        // The written state may be older than the end of the daemon.
        status.state = State::Stopped;
    }
    Ok(Report { running, problem, status, life })
}

fn tally(root: &Path) -> Result<Tally, StatusError> {
    match survey(root, &AtomicBool::new(false)) {
        // No shipper has ever run here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tally::default()),
        tally => Ok(tally.map_err(FsError::at("read", root))?),
    }
}

fn life(running: bool, written: Option<&Status>, now: SystemTime) -> Life {
    if !running {
        return Life::NotRunning;
    }
    let is_fresh = written.is_some_and(|status| {
        let updated = status.updated_at.as_ref().and_then(words::moment);
        // A time in the future comes from a clock that was set back.
        let is_young = updated.is_some_and(|at| now.duration_since(at).map_or(true, |age| age <= FRESH));
        is_young && status.state != State::Stopped
    });
    if is_fresh { Life::Running } else { Life::Silent }
}

/// Returns the parts of an old status that are still valid, with new counts.
fn without_daemon(dirs: &Dirs, config: &Config, old: Status) -> Result<Status, StatusError> {
    let scan = dirs.scan(&BTreeSet::new(), SCAN_LIMIT)?;
    Ok(Status {
        host_id: config.host_id.to_string(),
        url: config.receiver.url.to_string(),
        data_root: config.paths.data_root.display().to_string(),
        backlog: Backlog { in_episodes: scan.in_episodes, ..Backlog::default() },
        quarantined: Some(Quarantined::from(&tally(&dirs.quarantine_root())?)),
        oldest_unshipped: dirs.oldest_of(&scan),
        unshippable: scan.unshippable,
        scan_failure: None,
        rate: Rates::default(),
        under_way: Vec::new(),
        next_try: None,
        hold: None,
        ..old
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_counts_for_as_long_as_a_daemon_that_lives_would_leave_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        let written =
            |at: SystemTime, state| Status { updated_at: Some(at.into()), state, ..Status::default() };
        let fresh = written(now - Duration::from_secs(89), State::Idle);
        assert_eq!(life(true, Some(&fresh), now), Life::Running);
        assert_eq!(life(false, Some(&fresh), now), Life::NotRunning);
        assert_eq!(life(true, Some(&written(now - Duration::from_secs(91), State::Idle)), now), Life::Silent);
        assert_eq!(life(true, Some(&written(now, State::Stopped)), now), Life::Silent, "a `--once` after it");
        assert_eq!(
            life(true, Some(&written(now + Duration::from_secs(500), State::Idle)), now),
            Life::Running
        );
        assert_eq!(
            (life(true, None, now), life(true, Some(&Status::default()), now)),
            (Life::Silent, Life::Silent)
        );
    }

    #[test]
    fn who_may_not_look_is_told_who_may() {
        let denied = |kind: io::ErrorKind| {
            StatusError::File(FsError::at("read", Path::new("/data/status.json"))(kind.into()))
        };
        assert!(
            denied(io::ErrorKind::PermissionDenied).remedy().contains("sudo -u cis490 cis490-shipper status")
        );
        assert!(denied(io::ErrorKind::NotFound).remedy().contains("paths.data_root"));
        assert!(denied(io::ErrorKind::IsADirectory).remedy().contains("df -h"));
    }
}
