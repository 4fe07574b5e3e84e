//! The command line of `cis490-index-backfill`: flags, printing and exit codes.
//!
//! | code | when |
//! |---|---|
//! | 0 | every archive has its row |
//! | 2 | no episodes directory, or wrong flags |
//! | 1 | any other error |
//!
//! The protocol (section 4) fixes 2 for a missing directory, so it is not 66 as in `cis490-verify`.

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

use cis490_receiver::index::IndexError;
use cis490_receiver::index::known::KnownRows;
use cis490_receiver::store::examine::{Doubt, Examined, Examiner};
use cis490_receiver::store::reconcile::compare;
use cis490_receiver::store::scan::{Archive, Failure, Listing, Misplaced, Scan, ScanError, scan};
use cis490_shared::completion;
use cis490_shared::ids::HostId;
use cis490_shared::terminal::{self, CannotPrint};
use clap::{CommandFactory, Parser};
use clap_complete::engine::ArgValueCompleter;
use indicatif::{ProgressBar, ProgressStyle};

use super::apply::{Applied, Finding, Interrupted, Reason, apply};
use crate::defaults;
use crate::place::{BadConfig, Place, PlaceFlags, complete_host};
use crate::shell::quoted;
use crate::usage;
use crate::voice::{Voice, VoiceFlags};

/// How many rows a dry run shows.
const SHOWN_ROWS: usize = 5;
/// The exit code if there is no episodes directory.
const NO_EPISODES: u8 = 2;

/// Adds a row to the index for every stored archive that has none.
///
/// It may run beside a live receiver, and again at any time: existing rows stay as they are.
#[derive(Debug, Parser)]
#[command(name = "cis490-index-backfill", version, after_help = AFTER_HELP)]
struct Flags {
    #[command(flatten)]
    place: PlaceFlags,
    /// Read only this host's archives
    #[arg(long, value_parser = HostId::parse, add = ArgValueCompleter::new(complete_host))]
    host: Option<HostId>,
    /// Write nothing, and show the first rows that would be added
    #[arg(long)]
    dry_run: bool,
    /// Number of archives read at a time [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    voice: VoiceFlags,
}

const AFTER_HELP: &str =
    "Exit codes: 0 every archive has its row, 2 no episodes directory or wrong flags, 1 any other error.";

impl Flags {
    fn jobs(&self) -> NonZeroUsize {
        self.jobs.unwrap_or_else(defaults::one_per_core)
    }
}

/// Returns every flag, for manual pages and completions.
pub fn command() -> clap::Command {
    Flags::command()
}

/// Runs the program with these arguments; the first is its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Some(answered) = completion::answer(command) {
        return answered;
    }
    let flags = match Flags::try_parse_from(arguments) {
        Ok(flags) => flags,
        Err(error) => return usage::report(&error),
    };
    let voice = flags.voice.start();
    match work(&flags, voice) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(error) = error.downcast_ref::<CannotPrint>() {
                return ExitCode::from(error.report());
            }
            voice.error(&error, &help_with(&error));
            match error.downcast_ref() {
                Some(ScanError::NoRoot(_)) => ExitCode::from(NO_EPISODES),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn work(flags: &Flags, voice: Voice) -> anyhow::Result<()> {
    let place = flags.place.find()?;
    if let Some(note) = place.note() {
        voice.note(note);
    }
    let Place { episodes_root, index, .. } = place;
    let Scan { listing, skipped, misplaced } = scan(&episodes_root, flags.host.as_ref())?;
    for Misplaced { path, what } in &misplaced {
        let path = quoted(path);
        voice.warning(format_args!("`{path}` gets no row: {what}; `ls -ld {path}` shows whose it is"));
    }
    if let Some(first) = skipped.first() {
        let (count, first) = (skipped.len(), quoted(first));
        voice.note(format_args!(
            "skipped {count} names that are no host and no archive, the first is `{first}`"
        ));
    }
    let scanned = listing.count();
    if let (Some(host), 0) = (&flags.host, scanned) {
        voice.note(format_args!("`{}` holds no archive of host `{host}`", episodes_root.display()));
    }
    let (without_row, _) = compare(&listing, &KnownRows::read(&index)?);
    let missing = without_row.len();
    let indexed = scanned - missing;
    let counts = format!("scanned: {scanned} already-indexed: {indexed} to-backfill: {missing}");
    say(&counts, voice)?;

    let Listing { hosts, failed: mut unread, .. } = listing;
    // Frees the memory, because a backfill can take hours.
    drop(hosts);
    unread.extend(if flags.dry_run {
        show(&without_row, voice)?
    } else {
        backfill(&without_row, &index, flags.jobs(), voice)?
    });
    if unread.is_empty() { Ok(()) } else { Err(Unread(unread).into()) }
}

/// Prints the first rows that would be written, and the number of the others.
fn show(archives: &[Archive], voice: Voice) -> anyhow::Result<Vec<Failure>> {
    let mut examiner = Examiner::new()?;
    let (mut unread, mut rows) = (Vec::new(), String::new());
    let (first, more) = archives.split_at(archives.len().min(SHOWN_ROWS));
    for archive in first {
        match examiner.examine(archive) {
            Ok(Examined { row, doubt }) => {
                if let Some(doubt) = doubt {
                    warn(&archive.path, &doubt, voice);
                }
                rows.push_str(&String::from_utf8(row.to_line()?)?);
            }
            Err(source) => unread.push(Failure { path: archive.path.clone(), source }),
        }
    }
    if !more.is_empty() {
        rows.extend([format!("... ({} more)\n", more.len())]);
    }
    if let Some(rows) = rows.strip_suffix('\n') {
        terminal::print(rows)?;
    }
    Ok(unread)
}

/// Appends the rows and prints their number.
fn backfill(
    archives: &[Archive],
    index: &Path,
    jobs: NonZeroUsize,
    voice: Voice,
) -> anyhow::Result<Vec<Failure>> {
    let progress = progress_bar(archives.len(), voice);
    let mut watch = |finding: &Finding<'_>| {
        if let Ok(Some(doubt)) = finding.outcome.as_ref().map(|examined| &examined.doubt) {
            progress.suspend(|| warn(&finding.archive.path, doubt, voice));
        }
        progress.inc(1);
    };
    // Without rows to add, the index is neither opened nor created.
    let applied =
        if archives.is_empty() { Ok(Applied::default()) } else { apply(archives, index, jobs, &mut watch) };
    progress.finish_and_clear();
    let applied = applied?;
    if applied.already_known > 0 {
        voice.note(format_args!("{} rows were added by another program meanwhile", applied.already_known));
    }
    say(&format!("backfilled {} rows into {}", applied.appended, index.display()), voice)?;
    Ok(applied.failed)
}

/// Creates a progress bar for a person who watches; it is hidden in a pipe or a log.
fn progress_bar(archives: usize, voice: Voice) -> ProgressBar {
    if !voice.is_watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} archives, {eta} left");
    ProgressBar::new(archives as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn warn(archive: &Path, doubt: &Doubt, voice: Voice) {
    voice.warning(format_args!("`{}` gets no commit: {doubt}", archive.display()));
}

/// Prints a count. A closed pipe is no error, so that the rows are still added.
fn say(count: &str, voice: Voice) -> Result<(), CannotPrint> {
    if voice.is_quiet() {
        return Ok(());
    }
    terminal::print(count).or_else(|error| if error.is_closed_pipe() { Ok(()) } else { Err(error) })
}

/// Archives and directories that could not be read in an otherwise complete run.
#[derive(Debug, thiserror::Error)]
struct Unread(Vec<Failure>);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be read and got no row:", self.0.len())?;
        self.0.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

/// Returns the next steps for a maintainer after an error.
fn help_with(error: &anyhow::Error) -> Vec<String> {
    let again = "once that is repaired, run the same command again: it adds what is missing";
    if let Some(Interrupted { applied, reason }) = error.downcast_ref() {
        let durable = format!("{} rows were added and are durable; {again}", applied.appended);
        let remedy = if let Reason::Index(error) = reason { Some(error.remedy()) } else { None };
        return remedy.into_iter().chain([durable]).collect();
    }
    if let Some(error) = error.downcast_ref::<IndexError>() {
        return vec![error.remedy()];
    }
    if let Some(error) = error.downcast_ref::<BadConfig>() {
        return vec![error.remedy("cis490-index-backfill")];
    }
    if error.is::<Unread>() {
        return vec![format!(
            "check their permissions with `ls -l` and the disk with `dmesg | tail`; {again}"
        )];
    }
    match error.downcast_ref() {
        Some(ScanError::NoRoot(_)) => vec!["name the directory with `--episodes-root DIR`".to_owned()],
        Some(ScanError::Root { root, .. }) => {
            vec![format!("check its permissions: `ls -ld {}`", root.display())]
        }
        None => Vec::new(),
    }
}
