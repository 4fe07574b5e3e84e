//! `cis490-receiver admit`: admits commits by name, lists and revokes admissions. A running receiver reads the change
//! by itself, a stopped one at its next start.

use std::time::SystemTime;

use cis490_shared::durable;
use cis490_shared::excerpt::excerpt;
use cis490_shared::ids::{CommitHash, HostId, IdError};
use cis490_shared::moment::Moment;
use cis490_shared::terminal;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::complete;
use super::failure::{Failure, NOT_DONE, USAGE};
use super::table;
use super::until::{self, BadUntil};
use crate::config::{GateConfig, ReceiverConfig};
use crate::gate::amnesty::{Amnesty, BadReason, Reason};
use crate::gate::amnesty_file::{self, AmnestyFileError};

/// The flags of `admit`.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    override_usage = "cis490-receiver admit [OPTIONS] --reason <TEXT> <COMMIT>\n       cis490-receiver admit <COMMAND>"
)]
pub(super) struct Admit {
    /// The commit that recorded the episodes, as a full hash of 40 or 64 hex digits
    #[arg(value_name = "COMMIT", required = true, add = ArgValueCompleter::new(complete::commits_outside))]
    commit: Option<String>,
    /// Admit episodes of this lab host only; without it, of every host
    #[arg(long, value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    host: Option<HostId>,
    /// End of the admission: 7d, 12h, a date (00:00 UTC) or a moment such as 2025-10-09T08:53:20Z; without it, the
    /// admission lasts until it is revoked
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Reason in one line, which is logged with every episode that is accepted because of it
    #[arg(long, value_name = "TEXT", required = true)]
    reason: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the commits that are admitted by name
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Revoke an admission: episodes of the commit are refused again, stored ones stay
    Revoke {
        /// The commit
        #[arg(value_name = "COMMIT", add = ArgValueCompleter::new(complete::admitted_commits))]
        commit: String,
        /// Revoke only the admission for this host; without it, every admission of the commit
        #[arg(long, value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostId>,
    },
}

impl Command {
    const fn name(&self) -> &'static str {
        match self {
            Self::List { .. } => "list",
            Self::Revoke { .. } => "revoke",
        }
    }
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmitError {
    /// The argument is no full hash.
    #[error("`{}` is no full commit hash: {reason}", excerpt(text))]
    Commit {
        /// The argument.
        text: String,
        /// The reason.
        reason: IdError,
        /// The path of the clone.
        clone: String,
        /// The argument for `git rev-parse`.
        short: String,
    },
    /// Arguments for an admission are before a subcommand, which would ignore them.
    #[error("the arguments before `{0}` do not apply to it")]
    Mixed(&'static str),
    /// `--reason` cannot be used.
    #[error("`--reason`: {0}")]
    Reason(#[from] BadReason),
    /// `--until` cannot be used.
    #[error(transparent)]
    Until(#[from] BadUntil),
    /// The list cannot be used.
    #[error(transparent)]
    File(#[from] AmnestyFileError),
    /// There is no admission to revoke.
    #[error("{0} is not admitted by name{1}")]
    NotAdmitted(CommitHash, &'static str),
}

impl AdmitError {
    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Commit { clone, short, .. } => format!(
                "`git -c safe.directory='*' -C {clone} rev-parse {short}` prints the full hash, if that clone has the \
                 commit"
            ),
            Self::Mixed(command) => {
                format!("put all arguments after `cis490-receiver admit {command}`")
            }
            Self::Reason(_) | Self::Until(_) => return None,
            Self::File(error) => error.remedy().to_owned(),
            Self::NotAdmitted(..) => "list the admitted commits: `cis490-receiver admit list`".to_owned(),
        })
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Commit { .. } | Self::Mixed(_) | Self::Reason(_) | Self::Until(_) => USAGE,
            Self::File(_) | Self::NotAdmitted(..) => NOT_DONE,
        }
    }
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        Self::new(error.code(), &error).with_help(error.remedy())
    }
}

/// The person who runs the command, and the time.
#[derive(Debug)]
pub(super) struct RequestOrigin {
    /// The user that the environment names.
    pub(super) user: Option<String>,
    /// The current time.
    pub(super) now: SystemTime,
}

/// Runs the command and prints its result.
pub(super) fn run(admit: &Admit, config: &ReceiverConfig, asking: &RequestOrigin) -> Result<(), Failure> {
    let lines = lines(admit, config, asking)?;
    // An empty list in JSON prints no line.
    if lines.is_empty() { Ok(()) } else { Ok(terminal::print(&lines.join("\n"))?) }
}

fn lines(admit: &Admit, config: &ReceiverConfig, asking: &RequestOrigin) -> Result<Vec<String>, AdmitError> {
    let path = amnesty_file::path_in(durable::parent(&config.store.index));
    let gate = &config.version_gate;
    // clap could check this, but would also refuse the global flags.
    let is_given = [&admit.commit, &admit.until, &admit.reason].iter().any(|given| given.is_some());
    if let Some(command) = admit.command.as_ref().filter(|_| is_given || admit.host.is_some()) {
        return Err(AdmitError::Mixed(command.name()));
    }
    match &admit.command {
        None => {
            let amnesty = amnesty(admit, gate, asking)?;
            let new = amnesty.clone();
            let replaced = amnesty_file::edit(&path, asking.now, |list| list.admit(new))?;
            Ok(admitted(&amnesty, replaced.as_ref(), gate))
        }
        Some(Command::List { json }) => {
            let list = amnesty_file::list(&path)?;
            Ok(if *json { objects(list.all(), asking.now) } else { rows(list.all(), asking.now) })
        }
        Some(Command::Revoke { commit, host }) => {
            let commit = full_hash(commit, gate)?;
            let taken = amnesty_file::edit(&path, asking.now, |list| list.revoke(&commit, host.as_ref()))?;
            if taken.is_empty() {
                let of_the_host = host.as_ref().map_or("", |_| " for that host alone");
                return Err(AdmitError::NotAdmitted(commit, of_the_host));
            }
            Ok(revoked(&taken))
        }
    }
}

fn amnesty(admit: &Admit, gate: &GateConfig, asking: &RequestOrigin) -> Result<Amnesty, AdmitError> {
    // clap requires both. An empty text would be refused below.
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let commit = full_hash(&given(&admit.commit), gate)?;
    let until = admit.until.as_deref().map(|text| until::parse(text, asking.now)).transpose()?;
    let reason = Reason::parse(&given(&admit.reason))?;
    let user = asking.user.as_deref().and_then(|name| Reason::parse(name).ok());
    let by = match user {
        Some(name) => name,
        None => Reason::parse(&format!("uid {}", rustix::process::getuid().as_raw()))?,
    };
    Ok(Amnesty { commit, host: admit.host.clone(), until, reason, by, at: Moment::of(asking.now) })
}

fn full_hash(text: &str, gate: &GateConfig) -> Result<CommitHash, AdmitError> {
    CommitHash::parse(text).map_err(|reason| {
        let clone = gate.repo_path.display().to_string();
        let clone = if clone.is_empty() { "CLONE".to_owned() } else { clone };
        // The text is pasted into a shell, so an unsafe one is replaced.
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
        let is_plain = is_plain && !text.is_empty() && !text.starts_with('-');
        let short = if is_plain { text } else { "SHORT" }.to_owned();
        AdmitError::Commit { text: text.to_owned(), reason, clone, short }
    })
}

fn admitted(amnesty: &Amnesty, replaced: Option<&Amnesty>, gate: &GateConfig) -> Vec<String> {
    let mut lines = vec![format!("admitted: {}", described(amnesty))];
    if let Some(old) = replaced {
        lines.push(format!(
            "replaces the entry of {} from {}: {} ({})",
            old.by,
            old.at,
            end(old),
            old.reason
        ));
    }
    if gate.enabled {
        lines.push(
            "A running receiver applies it within 5 seconds, without a restart. Within another minute, lab hosts \
             release the episodes of this commit from quarantine."
                .to_owned(),
        );
    } else {
        lines.push(
            "The gate is off (`version_gate.enabled = false`), so every commit is accepted. This entry takes effect \
             once the gate is on."
                .to_owned(),
        );
    }
    lines.push(format!("To revoke it: {}", revoke_command(amnesty)));
    lines
}

fn revoked(taken: &[Amnesty]) -> Vec<String> {
    let mut lines: Vec<String> =
        taken.iter().map(|amnesty| format!("revoked: {} ({})", described(amnesty), amnesty.reason)).collect();
    lines.push(
        "A running receiver refuses its episodes again within 5 seconds, unless the window admits them. Stored \
         episodes stay."
            .to_owned(),
    );
    lines
}

fn described(amnesty: &Amnesty) -> String {
    let whose = amnesty.host.as_ref().map_or("every host".to_owned(), |host| format!("host {host}"));
    format!("commit {} of {whose}, {}", amnesty.commit, end(amnesty))
}

fn end(amnesty: &Amnesty) -> String {
    amnesty.until.map_or("until it is revoked".to_owned(), |until| format!("until {until}"))
}

fn revoke_command(amnesty: &Amnesty) -> String {
    let host = amnesty.host.as_ref().map(|host| format!(" --host {host}")).unwrap_or_default();
    format!("cis490-receiver admit revoke {}{host}", amnesty.commit)
}

/// Returns a line for each entry; expired ones are marked.
fn rows(list: &[Amnesty], now: SystemTime) -> Vec<String> {
    if list.is_empty() {
        return vec!["No commit is admitted by name.".to_owned()];
    }
    let titles = ["COMMIT", "HOST", "STATE", "UNTIL", "BY", "AT", "REASON"].map(str::to_owned);
    let rows = list.iter().map(|amnesty| {
        [
            amnesty.commit.to_string(),
            amnesty.host.as_ref().map_or("all".to_owned(), ToString::to_string),
            state(amnesty, now).to_owned(),
            amnesty.until.map_or("revoked".to_owned(), |until| until.to_string()),
            amnesty.by.to_string(),
            amnesty.at.to_string(),
            amnesty.reason.to_string(),
        ]
    });
    table::lines(std::iter::once(titles).chain(rows).collect())
}

fn state(amnesty: &Amnesty, now: SystemTime) -> &'static str {
    if amnesty.is_over(now) { "expired" } else { "in force" }
}

/// An entry as `--json` prints it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    amnesty: &'a Amnesty,
    expired: bool,
}

fn objects(list: &[Amnesty], now: SystemTime) -> Vec<String> {
    let listed = list.iter().map(|amnesty| Listed { amnesty, expired: amnesty.is_over(now) });
    // Texts and a flag can always be serialised.
    listed.filter_map(|entry| serde_json::to_string(&entry).ok()).collect()
}
