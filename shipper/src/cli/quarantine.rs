//! `cis490-shipper quarantine`: lists refused episodes, and releases some on command. Both may run beside the shipper.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use cis490_shared::clock::WallTime;
use cis490_shared::completion::{beginning, typed};
use cis490_shared::fs_error::FsError;
use cis490_shared::terminal::{self, CannotPrint};
use clap::{Args, Subcommand};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde::Serialize;

use super::AS_THE_SERVICE;
use crate::answers::outcome::Refusal;
use crate::config::{self, Config};
use crate::store::layout::{Dirs, DirsError};
use crate::store::quarantine::{Entry, entries, release};

/// The commands on refused episodes.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the episodes in quarantine, and why they were refused
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Move refused episodes back to episodes/, so that they are sent again
    Release(Which),
}

/// The choice of episodes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// Ids of episodes, as `quarantine list` prints them
    #[arg(value_name = "ID", add = ArgValueCompleter::new(complete_names))]
    names: Vec<String>,
    /// Release all episodes in quarantine
    #[arg(long)]
    all: bool,
}

/// Offers the episodes in quarantine.
fn complete_names(current: &OsStr) -> Vec<CompletionCandidate> {
    let path = typed("--config").map_or_else(|| config::DEFAULT_PATH.into(), PathBuf::from);
    let root = config::load(&path).ok().map(|config| Dirs::beside(&config.paths.data_root).quarantine_root());
    let names = root.and_then(|root| entries(&root).ok()).into_iter().flatten().flatten();
    beginning(current, names.map(|entry| entry.name))
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuarantineError {
    /// The directory cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FsError),
    /// Some names are not in quarantine; nothing was released.
    #[error("not in quarantine: {}; nothing was released", .0.join(", "))]
    Unknown(Vec<String>),
    /// Some episodes could not be moved back.
    #[error("{released} released; `{name}` and perhaps others stay: {source}")]
    Stayed {
        /// The number of released episodes.
        released: usize,
        /// An episode that stays.
        name: String,
        /// The reason.
        source: DirsError,
    },
    /// The command succeeded, but its result could not be printed.
    #[error(transparent)]
    Print(#[from] CannotPrint),
}

impl QuarantineError {
    /// Returns the next step.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some(AS_THE_SERVICE)
            }
            Self::Unreadable(_) => Some("check `paths.data_root`: cis490-shipper --check-config"),
            Self::Unknown(_) => Some("cis490-shipper quarantine list"),
            Self::Stayed { source: DirsError::Io(error), .. } => match error.kind() {
                io::ErrorKind::PermissionDenied => Some(AS_THE_SERVICE),
                io::ErrorKind::AlreadyExists => Some(
                    "compare it with the episode of the same id in episodes/, which is shipped first; then run this \
                     again",
                ),
                _ => None,
            },
            Self::Stayed { .. } | Self::Print(_) => None,
        }
    }
}

/// Runs the command.
pub(super) fn run(command: &Command, config: &Config) -> Result<(), QuarantineError> {
    let dirs = Dirs::beside(&config.paths.data_root);
    match command {
        Command::List { json } => list(&dirs, *json),
        Command::Release(which) => release_some(&dirs, which),
    }
}

/// One line of the list.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    refused_at_wall: Option<String>,
    /// True if it goes back by itself once the gate admits its commit.
    awaits_commit: bool,
    #[serde(flatten)]
    refusal: Refusal,
}

fn list(dirs: &Dirs, json: bool) -> Result<(), QuarantineError> {
    let (mut names, mut waiting) = (BTreeSet::new(), 0);
    for entry in all(dirs)? {
        names.insert(entry?.name);
    }
    if !json && !names.is_empty() {
        let head = ["EPISODE", "REFUSED", "STATUS", "ERROR", "COMMIT"];
        terminal::print(&row(head.map(str::to_owned)))?;
    }
    for name in &names {
        let entry = Entry { path: dirs.quarantine_root().join(name), name: name.clone() };
        let note = entry.note();
        let awaits_commit = note.as_ref().is_some_and(|note| entry.awaited_commit(note).is_some());
        waiting += usize::from(awaits_commit);
        let refused_at = entry.refused_at().map(|time| WallTime::from(time).to_string());
        let note = note.unwrap_or_default();
        let line = Line {
            name,
            refused_at_wall: note.refused_at_wall.or(refused_at),
            awaits_commit,
            refusal: note.refusal,
        };
        terminal::print(&text_of(&line, json))?;
    }
    if !json {
        terminal::print(&summary(names.len(), waiting))?;
    }
    Ok(())
}

fn text_of(line: &Line<'_>, json: bool) -> String {
    if json {
        // Texts and numbers can always be serialised.
        return serde_json::to_string(line).unwrap_or_default();
    }
    let Refusal { status, error, commit, .. } = &line.refusal;
    let error = if error.is_empty() { "no note that can be read" } else { error };
    let seconds = line.refused_at_wall.as_deref().and_then(|time| time.get(..19)).unwrap_or("-");
    row([
        line.name.to_owned(),
        seconds.replace('T', " "),
        status.map_or("-".to_owned(), |status| status.to_string()),
        error.escape_debug().to_string(),
        commit.as_deref().map_or("-".to_owned(), |text| text.chars().take(12).collect()),
    ])
}

fn row([name, refused, status, error, commit]: [String; 5]) -> String {
    format!("{name:<26}  {refused:<19}  {status:<6}  {error:<22}  {commit}")
}

fn summary(total: usize, waiting: usize) -> String {
    match total {
        0 => "nothing is in quarantine".to_owned(),
        _ => format!(
            "{total} in quarantine; {waiting} of them return by themselves once the gate admits their commit"
        ),
    }
}

fn release_some(dirs: &Dirs, which: &Which) -> Result<(), QuarantineError> {
    let wanted: BTreeSet<&str> = which.names.iter().map(|name| name.trim_end_matches('/')).collect();
    let mut unknown = wanted.clone();
    for entry in all(dirs)? {
        unknown.remove(entry?.name.as_str());
    }
    if !unknown.is_empty() {
        return Err(QuarantineError::Unknown(unknown.into_iter().map(str::to_owned).collect()));
    }
    let is_wanted = |entry: &Entry| which.all || wanted.contains(entry.name.as_str());
    let released = release(dirs, usize::MAX, &AtomicBool::new(false), is_wanted)
        .map_err(|source| unreadable(dirs, source))?;
    let count = released.count;
    match released.stayed.into_iter().next() {
        Some((name, source)) => Err(QuarantineError::Stayed { released: count, name, source }),
        None => Ok(terminal::print(&format!(
            "{count} released: a running shipper sends them at its next look at episodes/"
        ))?),
    }
}

fn all(
    dirs: &Dirs,
) -> Result<impl Iterator<Item = Result<Entry, QuarantineError>> + use<'_>, QuarantineError> {
    let found = entries(&dirs.quarantine_root()).map_err(|source| unreadable(dirs, source))?;
    Ok(found.map(|entry| entry.map_err(|source| unreadable(dirs, source))))
}

fn unreadable(dirs: &Dirs, source: io::Error) -> QuarantineError {
    FsError::at("read", &dirs.quarantine_root())(source).into()
}
