//! The command line of `cis490-verify`: flags, printing and exit codes.
//!
//! | code | when |
//! |---|---|
//! | 0 | the check is complete and nothing is wrong; there may be notes |
//! | 3 | the check is complete and found errors or warnings (incident 10) |
//! | 2 | wrong flags |
//! | 66 | no episodes directory, or no index to check a copy against |
//! | 78 | the configuration cannot be used |
//! | 1 | the check failed for another reason, such as permissions or a state file of another run |
//!
//! A reader that closes the pipe early does not change the exit code.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cis490_shared::clock;
use cis490_shared::completion;
use cis490_shared::durable;
use cis490_shared::ids::HostId;
use cis490_shared::rate::{Rate, RateError};
use cis490_shared::terminal::{self, CannotPrint};
use clap::{CommandFactory, Parser};
use clap_complete::engine::ArgValueCompleter;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::advice::Site;
use super::check::{Report, check};
use super::checksums::write_checksums;
use super::failed::Failed;
use super::ledger::Ledger;
use super::report::{Totals, human, write_json};
use super::request::{CheckError, Hashing, Request};
use super::resume::is_in_the_store;
use super::sample::Percent;
use super::since;
use crate::defaults;
use crate::place::{Place, PlaceFlags, complete_host};
use crate::usage;
use crate::voice::{Voice, VoiceFlags};

/// The exit code if errors or warnings were found.
const FOUND: u8 = 3;
/// The mode of written files: the group may read.
const FILE_MODE: u32 = 0o640;

/// Checks the store against its index, and every archive against the hash in its row.
///
/// It may run beside a live receiver. It writes only the files of `--resume`, `--report` and `--checksums`, and never
/// changes the store.
#[derive(Debug, Parser)]
#[command(name = "cis490-verify", version, after_help = AFTER_HELP)]
#[expect(
    clippy::option_option,
    reason = "a flag that is absent, bare, or has a value is what clap makes this of"
)]
struct Flags {
    #[command(flatten)]
    place: PlaceFlags,
    /// Check a partial copy of the store instead; absent archives are counted, the others must be right
    ///
    /// The index is --index, or the index of --config, or index.jsonl beside DIR.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["episodes_root", "report"])]
    copy: Option<PathBuf>,
    /// Write the hashes of the index to this file (`-`: standard output) for `sha256sum -c`, and check nothing
    ///
    /// Run `sha256sum -c --ignore-missing FILE` in the directory of a store or of a copy.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "copy", "deep", "no_hash", "sample", "since", "rate", "jobs", "resume", "report", "json",
    ])]
    checksums: Option<PathBuf>,
    /// Check only this host
    #[arg(long, value_parser = HostId::parse, add = ArgValueCompleter::new(complete_host))]
    host: Option<HostId>,
    /// Compare names and sizes only, read no archive
    #[arg(long, conflicts_with_all = ["sample", "since", "rate", "jobs", "resume"])]
    no_hash: bool,
    /// Decode each archive completely, and compare its meta.json with its name and its row
    #[arg(long, conflicts_with = "no_hash")]
    deep: bool,
    /// Read only a random part of the archives
    #[arg(long, value_name = "PERCENT", value_parser = Percent::parse)]
    sample: Option<Percent>,
    /// Draw the same sample as an earlier run with this seed
    #[arg(long, requires = "sample")]
    seed: Option<u64>,
    /// Read only archives stored then or later: a date in UTC or a moment (RFC 3339)
    ///
    /// TIME is compared with received_at_wall of the row, or with the modification time of the archive if the row holds
    /// no valid time.
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// Limit the read rate of all jobs together, in bytes per second, such as 20MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// Number of archives read at a time [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Keep the progress of the run in this file, and resume from it after an interruption
    ///
    /// The file is written every few seconds and removed at the end. It must be outside the store.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Write the report also to this file, as JSON, for the receiver to read
    ///
    /// Without FILE, `store.verify_report` of the configuration is written. A complete run replaces the last report; a
    /// failed run does not.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    report: Option<Option<PathBuf>>,
    /// Time that a new archive may be without its row, which is written after it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    settle: u32,
    /// Print one JSON object per line: the findings, then a summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    voice: VoiceFlags,
}

const AFTER_HELP: &str = "Exit codes: 0 nothing is wrong, 3 something was found, 2 wrong flags, 66 no episodes directory \
                          (with --copy: or no index), 78 an unusable configuration, 1 any other error.";

impl Flags {
    fn place(&self) -> Result<Place, Failed> {
        Ok(match &self.copy {
            Some(copy) => self.place.find_copy(copy)?,
            None => self.place.find()?,
        })
    }

    fn request(&self, place: &Place) -> Request {
        let hashing = Hashing {
            since: self.since,
            sample: self.sample,
            seed: self.seed,
            fresh_seed: rand::random(),
            jobs: self.jobs.unwrap_or_else(defaults::one_per_core),
            rate: self.rate,
            deep: self.deep,
            resume: self.resume.clone(),
        };
        Request {
            episodes_root: place.episodes_root.clone(),
            index: place.index.clone(),
            is_copy: self.copy.is_some(),
            host: self.host.clone(),
            settle: Duration::from_secs(self.settle.into()),
            hashing: (!self.no_hash).then_some(hashing),
            clock: clock::system_time,
        }
    }

    fn site<'a>(&self, place: &'a Place) -> Site<'a> {
        Site {
            episodes_root: &place.episodes_root,
            index: &place.index,
            config: place.config.as_deref(),
            is_copy: self.copy.is_some(),
        }
    }

    /// Returns the path of the report; `None` without `--report`.
    fn report_file(&self, place: &Place) -> Result<Option<PathBuf>, Failed> {
        let Some(named) = &self.report else { return Ok(None) };
        let path = named.as_ref().or(place.report.as_ref()).ok_or(Failed::NoReportFile)?;
        outside(path, place).map(Some)
    }
}

/// Returns the path if it is outside the store and not the index.
fn outside(path: &Path, place: &Place) -> Result<PathBuf, Failed> {
    match is_in_the_store(path, &place.episodes_root, &place.index) {
        true => Err(Failed::InTheStore(path.to_owned())),
        false => Ok(path.to_owned()),
    }
}

/// Parses a rate; for a rate of zero the error names `--no-hash`.
fn parse_rate(text: &str) -> Result<Rate, String> {
    Rate::parse(text).map_err(|error| match error {
        RateError::Zero => format!("{error}; `--no-hash` reads no archive"),
        RateError::NotANumber | RateError::NotAUnit(_) => error.to_string(),
    })
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
    let done = match &flags.checksums {
        Some(to) => list(&flags, to, voice).map(|()| 0),
        None => check_store(&flags, voice).map(|totals| if totals.is_fine() { 0 } else { FOUND }),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        voice.error(&error, error.remedy().as_slice());
        error.exit_code()
    }))
}

/// Writes the hashes of the index.
fn list(flags: &Flags, to: &Path, voice: Voice) -> Result<(), Failed> {
    let place = flags.place()?;
    let ledger = Ledger::read(&place.index, flags.host.as_ref()).map_err(CheckError::Index)?;
    if ledger.is_missing() {
        return Err(Failed::Check(CheckError::NoIndex(place.index)));
    }
    let mut text = Vec::new();
    let without_hash = write_checksums(&ledger, &mut text).map_err(CannotPrint::from)?;
    if without_hash > 0 {
        voice.warning(format_args!("rows without a hash, which have no line: {without_hash}"));
    }
    if to == Path::new("-") {
        return or_closed(print(&text));
    }
    let path = outside(to, &place)?;
    durable::replace_file(&path, &text, FILE_MODE).map_err(|source| Failed::Write { path, source })
}

/// Checks the store, reports the findings, and ends the run.
fn check_store(flags: &Flags, voice: Voice) -> Result<Totals, Failed> {
    let place = flags.place()?;
    let report_file = flags.report_file(&place)?;
    if let Some(note) = place.note() {
        voice.note(note);
    }
    let (request, site) = (flags.request(&place), flags.site(&place));
    let bar = progress_bar(voice);
    let checked = check(&request, &bar);
    bar.finish_and_clear();
    let report = checked?;
    if let Some(error) = &report.unsaved {
        voice.warning(format_args!(
            "{error}; an interruption would have lost more than a few seconds of work"
        ));
    }
    if let (Some(host), 0) = (&flags.host, report.archives) {
        voice.note(format_args!("`{}` holds no archive of host `{host}`", place.episodes_root.display()));
    }
    // The report is kept even if it cannot be printed.
    let kept = report_file
        .map_or(Ok(()), |path| keep(&report, site, &path).map_err(|source| Failed::Write { path, source }));
    or_closed(show(&report, site, flags.json, voice))?;
    kept?;
    let totals = Totals::of(&report.findings);
    report.finish().map_err(CheckError::Resume)?;
    Ok(totals)
}

/// Ignores a closed pipe, because its reader wants no more.
fn or_closed(printed: Result<(), CannotPrint>) -> Result<(), Failed> {
    match printed {
        Err(error) if !error.is_closed_pipe() => Err(error.into()),
        _ => Ok(()),
    }
}

fn show(report: &Report, site: Site<'_>, json: bool, voice: Voice) -> Result<(), CannotPrint> {
    let mut text = Vec::new();
    match json {
        true => write_json(report, site, None, &mut text)?,
        false => text = human(report, site, voice).into_bytes(),
    }
    print(&text)
}

/// Prints lines, if there are any.
fn print(text: &[u8]) -> Result<(), CannotPrint> {
    match String::from_utf8_lossy(text).strip_suffix('\n') {
        Some(lines) => terminal::print(lines),
        None => Ok(()),
    }
}

/// Writes the report for the receiver.
fn keep(report: &Report, site: Site<'_>, path: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    write_json(report, site, Some(report.ended.into()), &mut text)?;
    durable::replace_file(path, &text, FILE_MODE)
}

/// Creates a progress bar for a person who watches; it is hidden in a pipe or a log.
fn progress_bar(voice: Voice) -> ProgressBar {
    if !voice.is_watched() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
