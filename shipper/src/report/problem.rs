//! The most harmful problem, which a person should read first, and the next command.
//!
//! Pure. The order is that of the harm: first problems that stop all recording or shipping, then those that stop a part
//! of it, then those that will do so within days.

use std::path::Path;
use std::time::{Duration, SystemTime};

use cis490_shared::certificate::Remaining;
use cis490_shared::excerpt::excerpt;
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use cis490_shared::terminal;
use cis490_shared::wire::problem::ErrorCode;
use serde::Serialize;

use crate::http::clock_skew;
use crate::report::status::{Life, State, Status};
use crate::report::words;
use crate::store::unshippable::{Obstacle, Unshippable};

/// A queue that waits for less than this is not reported as the first problem.
const SHORT_WAIT: Duration = Duration::from_secs(10);

/// How many directories that cannot be shipped are named, with a command for each.
const SHOWN_OBSTACLES: usize = 3;

/// A problem that a person should fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The problem in a few words, for a short line.
    pub short: String,
    /// The problem.
    pub what: String,
    /// The next step.
    pub help: Option<String>,
    /// The commands to paste into a shell of this host, on lines of their own.
    pub paste: Option<String>,
}

impl Problem {
    fn new(short: impl Into<String>, what: String, help: impl Into<Option<String>>) -> Self {
        Self { short: short.into(), what, help: help.into(), paste: None }
    }
}

/// Returns the most harmful problem, if any.
pub fn first(status: &Status, life: Life, now: SystemTime) -> Option<Problem> {
    not_running(status, life, now)
        .or_else(|| disk(status))
        .or_else(|| scan_failure(status))
        .or_else(|| hold(status, now))
        .or_else(|| unshippable(status))
        .or_else(|| refused_commit(status))
        .or_else(|| no_commit(status))
        .or_else(|| certificate(status, now))
        .or_else(|| clock(status))
}

fn not_running(status: &Status, life: Life, now: SystemTime) -> Option<Problem> {
    let ago = status
        .updated_at
        .as_ref()
        .map(|at| format!("{} ({})", words::clock_time(at), words::relative(at, now)));
    match (life, ago) {
        (Life::Running, _) => None,
        (Life::Silent, ago) => {
            let ago = ago.unwrap_or_else(|| "it began".to_owned());
            let what =
                format!("a shipper works on this data directory, but has not written its status since {ago}");
            let help = "a `--once` run writes no status; otherwise the shipper is stuck: systemctl status \
                        cis490-shipper";
            Some(Problem::new("silent", what, help.to_owned()))
        }
        (Life::NotRunning, ago) => {
            let what = match (ago, status.state) {
                (None, _) => "the shipper is not running, and has written no status here before".to_owned(),
                (Some(ago), State::Stopped) => format!("the shipper is not running since {ago}"),
                (Some(ago), _) => {
                    format!("the shipper is not running; it ended without a clean stop after {ago}")
                }
            };
            Some(Problem::new("not running", what, "systemctl status cis490-shipper".to_owned()))
        }
    }
}

fn disk(status: &Status) -> Option<Problem> {
    let disk = status.disk.filter(|disk| disk.is_nearly_full)?;
    let (free, total) = (terminal::bytes(disk.free_bytes), terminal::bytes(disk.total_bytes));
    let what = format!(
        "the disk of the data directory is nearly full: {free} of {total} are free; when it is full, recording fails"
    );
    let help = "make room: `df -h`, `du -sh` its shipped/ and quarantine/";
    Some(Problem::new(format!("{free} of disk left"), what, help.to_owned()))
}

/// Returns the problem of a `status.json` that is damaged for this reason.
pub fn damaged(file: &Path, reason: &str, life: Life) -> Problem {
    let file = file.display();
    let (who, help) = match life {
        Life::NotRunning => {
            ("the shipper is not running, and", "a start writes it anew: systemctl status cis490-shipper")
        }
        Life::Running | Life::Silent => (
            "a shipper works on this data directory, but",
            "a daemon writes it anew within half a minute, a `--once` run does not; if it stays so: systemctl status cis490-shipper",
        ),
    };
    let what = format!("{who} the status file `{file}` is damaged: {reason}; episodes are not concerned");
    Problem::new("status file damaged", what, help.to_owned())
}

fn scan_failure(status: &Status) -> Option<Problem> {
    let failure = status.scan_failure.as_ref()?;
    let since = failure.since.as_ref().map(words::clock_time).unwrap_or_default();
    let what = format!(
        "cannot scan the data directory for new episodes since {since}: {}",
        excerpt(&failure.reason)
    );
    Some(Problem::new("data directory unreadable", what, failure.help.clone()))
}

/// Describes finished directories that need a person before they can be shipped.
pub(super) fn unshippable(status: &Status) -> Option<Problem> {
    let Unshippable { count, first } = &status.unshippable;
    let named = |one: &Obstacle| format!("`{}`, {}", excerpt(&one.name), excerpt(&one.reason));
    let mut list: Vec<String> = first.iter().take(SHOWN_OBSTACLES).map(named).collect();
    let more = count.saturating_sub(list.len() as u64);
    list.extend((more > 0).then(|| format!("and {more} more")));
    let what = format!("{} in episodes/ cannot be shipped: {}", words::finished(*count), list.join("; "));
    let commands: Vec<&str> =
        first.iter().take(SHOWN_OBSTACLES).filter_map(|one| one.command.as_deref()).collect();
    let then = if commands.is_empty() { "." } else { "; for these directories:" };
    let help = format!(
        "run the recorder as the shipper's user, and name each directory by the \
         `episode_id` in its meta.json{then}"
    );
    (*count > 0).then(|| Problem {
        short: format!("{count} cannot be shipped"),
        what,
        help: Some(help),
        paste: (!commands.is_empty()).then(|| words::block(&commands.join("\n"))),
    })
}

fn hold(status: &Status, now: SystemTime) -> Option<Problem> {
    let hold = status.hold.as_ref()?;
    let began = hold.since.as_ref().and_then(words::moment);
    let is_young = began.and_then(|began| now.duration_since(began).ok()).is_some_and(|age| age < SHORT_WAIT);
    let may_pass = hold.help.is_none() || hold.cause == "unavailable";
    if is_young && may_pass {
        return None;
    }
    let (short, what) = match hold.cause.as_str() {
        "unreachable" => ("receiver unreachable", "the receiver cannot be reached"),
        "distrusted" => {
            ("certificates not trusted", "the receiver or this host rejects the other's TLS certificate")
        }
        "unavailable" => ("receiver accepts no uploads", "the receiver accepts no uploads at the moment"),
        "blocked" => {
            ("receiver accepts nothing from this host", "the receiver accepts nothing from this host")
        }
        "unmovable" => (
            "episodes cannot be moved",
            "delivered or refused episodes cannot be moved out of episodes/, and uploads are paused",
        ),
        "failing" => ("several uploads failed in a row", "several uploads failed in a row"),
        _ => ("uploads paused", "uploads are paused"),
    };
    let since =
        hold.since.as_ref().map(|since| format!(", since {}", words::clock_time(since))).unwrap_or_default();
    let what = format!("{what}{since}: {}", excerpt(&hold.reason));
    let help = hold.help.clone().unwrap_or_else(|| {
        "nothing is lost, and uploads are retried automatically; to test the whole path now: cis490-shipper \
         --ping"
            .to_owned()
    });
    Some(Problem::new(short, what, help))
}

/// Describes episodes in quarantine whose commit is refused, until it is admitted or this host is updated.
pub(super) fn refused_commit(status: &Status) -> Option<Problem> {
    let last = status.last_refusal.as_ref().filter(|refusal| refusal.remediation.is_some());
    let (commits, episodes) = match (&status.quarantined, last) {
        (Some(quarantined), _) => {
            let commits = &quarantined.by_commit;
            (commits.len(), commits.iter().map(|commit| commit.episodes).sum::<u64>())
        }
        (None, Some(_)) => (1, 0),
        (None, None) => (0, 0),
    };
    let newest = match (&status.quarantined, last) {
        (_, Some(last)) => last.commit.as_deref(),
        (Some(quarantined), None) => quarantined.by_commit.first()?.commit.as_deref(),
        (None, None) => return None,
    };
    let (short, what) = match (commits, episodes) {
        (0, _) => return None,
        (1, 0) => (
            "1 refused commit".to_owned(),
            format!("episodes of commit {} are refused", words::short_commit(newest)),
        ),
        (1, count) => (
            format!("1 refused commit ({})", words::episodes(count)),
            format!("{} of commit {} refused", words::episodes(count), words::short_commit(newest)),
        ),
        (commits, count) => (
            format!("{commits} refused commits ({})", words::episodes(count)),
            format!(
                "{} of {commits} commits refused, the newest of {}",
                words::episodes(count),
                words::short_commit(newest)
            ),
        ),
    };
    let what = format!(
        "{what}; kept in quarantine until the gate admits it. New episodes are taken once this host is up to date:"
    );
    let remediation = last.and_then(|last| last.remediation.as_deref()).unwrap_or(DEFAULT_REMEDIATION);
    Some(Problem { short, what, help: None, paste: Some(words::block(remediation)) })
}

/// Describes the latest refusal if meta.json names no commit: the recorder is at fault, and no update helps.
fn no_commit(status: &Status) -> Option<Problem> {
    let last = status.last_refusal.as_ref()?;
    let is = |code: ErrorCode| last.error == code.as_str();
    let fault = if is(ErrorCode::CommitMissing) {
        "is missing".to_owned()
    } else if is(ErrorCode::CommitMalformed) {
        format!("is `{}`, which is no commit", excerpt(last.commit.as_deref().unwrap_or_default()))
    } else {
        return None;
    };
    let id = excerpt(&last.episode_id);
    let file = format!("{}/quarantine/{id}/meta.json", excerpt(&status.data_root));
    let what = format!("episode {id} was refused: `code_version.commit` in `{file}` {fault}");
    let help = "run the recorder from a git checkout. Episodes in quarantine stay there: correct that member, then \
                run `cis490-shipper quarantine release`";
    Some(Problem::new("recorder names no commit", what, help.to_owned()))
}

fn certificate(status: &Status, now: SystemTime) -> Option<Problem> {
    let expires = status.certificate_expires.as_ref().and_then(words::moment)?;
    let remaining = Remaining::of(expires, now);
    let help = "put a new one in place of `receiver.client_cert_file` and `receiver.client_key_file`; nothing needs a restart";
    let short = format!("certificate {remaining}");
    remaining
        .is_short()
        .then(|| Problem::new(short, format!("the certificate of this host {remaining}"), help.to_owned()))
}

fn clock(status: &Status) -> Option<Problem> {
    let too_much = clock_skew::TOO_MUCH.as_secs().unsigned_abs();
    let skew = status.clock_skew_s.filter(|skew| skew.unsigned_abs() > too_much)?;
    let what = format!("{}; with a wrong clock, certificates are refused", skew_in_words(skew));
    let help = "see which of the two is wrong, and set it: timedatectl";
    Some(Problem::new("clocks differ", what, help.to_owned()))
}

/// Returns a text such as `the receiver's clock is 5 min behind this host's`.
pub(crate) fn skew_in_words(skew_s: i64) -> String {
    let side = if skew_s < 0 { "behind" } else { "ahead of" };
    let distance = words::duration(Duration::from_secs(skew_s.unsigned_abs()));
    format!("the receiver's clock is {distance} {side} this host's")
}
