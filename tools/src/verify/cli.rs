//! The command line of `cis490-verify`: flags, printing and exit codes.
//!
//! | code | when |
//! |---|---|
//! | 0 | it was looked, and nothing is wrong; there may be notes |
//! | 3 | it was looked, and errors or warnings were found: a success of looking (incident 10) |
//! | 2 | flags that mean nothing |
//! | 66 | there is no episodes directory, or no index to check a copy against |
//! | 78 | the configuration cannot be used |
//! | 1 | it could not be looked for another reason, such as permissions or a state file of another run |
//!
//! A reader that closes the pipe early changes none of them: what was found stays found.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cis490_shared::clock;
use cis490_shared::durable;
use cis490_shared::ids::HostId;
use cis490_shared::rate::{Rate, RateError};
use cis490_shared::terminal::{self, CannotPrint};
use clap::{CommandFactory, Parser};
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
use crate::place::{Place, PlaceFlags};
use crate::usage;
use crate::voice::{Voice, VoiceFlags};

/// Something was found.
const FOUND: u8 = 3;
/// The mode of what is written to files: the group may read.
const FILE_MODE: u32 = 0o640;

/// Checks that the store and its index agree, and that every archive is still what it was.
///
/// It may run beside a live receiver. It writes nothing but the files of `--resume`, `--report` and `--checksums`, and
/// never deletes.
#[derive(Debug, Parser)]
#[command(name = "cis490-verify", version, after_help = AFTER_HELP)]
#[expect(
    clippy::option_option,
    reason = "a flag that is absent, bare, or has a value is what clap makes this of"
)]
struct Flags {
    #[command(flatten)]
    place: PlaceFlags,
    /// Check a copy of a part of the store instead: what is absent is counted, what is there must be right
    ///
    /// The index is --index, or that of --config, or index.jsonl beside DIR.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["episodes_root", "report"])]
    copy: Option<PathBuf>,
    /// Write the hashes of the index to this file, or to standard output for `-`, as `sha256sum -c` reads them
    ///
    /// Nothing is checked. `sha256sum -c --ignore-missing` takes the file in the directory of a store or of a copy.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "copy", "deep", "no_hash", "sample", "since", "rate", "jobs", "resume", "report", "json",
    ])]
    checksums: Option<PathBuf>,
    /// Look at this host only
    #[arg(long, value_parser = HostId::parse)]
    host: Option<HostId>,
    /// Compare names and sizes, read no archive
    #[arg(long, conflicts_with_all = ["sample", "since", "rate", "jobs", "resume"])]
    no_hash: bool,
    /// Open each archive that is read: decode all of it, and compare its meta.json with its name and its row
    #[arg(long, conflicts_with = "no_hash")]
    deep: bool,
    /// Read a random part of the archives again instead of all
    #[arg(long, value_name = "PERCENT", value_parser = Percent::parse)]
    sample: Option<Percent>,
    /// Draw the sample that an earlier run drew with this seed
    #[arg(long, requires = "sample")]
    seed: Option<u64>,
    /// Read only archives again that were stored then or later: a date in UTC or a moment (RFC 3339)
    ///
    /// It is compared with received_at_wall of the row, and where that cannot be understood with the time at which
    /// the archive was modified.
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// Read no faster than so many bytes per second in all, such as 20MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// How many archives are read at a time [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Keep in this file how far the run has come, and go on from there after an interruption
    ///
    /// It is written every few seconds and removed at the end. It must lie outside the store.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Write the report to this file as well, as with --json, for the receiver to read
    ///
    /// Without FILE it is `store.verify_report` of the configuration. It replaces the report of the last run. A run that
    /// could not look leaves that alone.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    report: Option<Option<PathBuf>>,
    /// For how long a new archive may be without its row, which is written after it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    settle: u32,
    /// Print one JSON object a line: the findings, then a summary
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

    /// Where the report is kept; none where nobody asks for that.
    fn report_file(&self, place: &Place) -> Result<Option<PathBuf>, Failed> {
        let Some(named) = &self.report else { return Ok(None) };
        let path = named.as_ref().or(place.report.as_ref()).ok_or(Failed::NoReportFile)?;
        outside(path, place).map(Some)
    }
}

/// A file that may be written.
fn outside(path: &Path, place: &Place) -> Result<PathBuf, Failed> {
    match is_in_the_store(path, &place.episodes_root, &place.index) {
        true => Err(Failed::InTheStore(path.to_owned())),
        false => Ok(path.to_owned()),
    }
}

/// Says of a rate of zero which flag was meant.
fn parse_rate(text: &str) -> Result<Rate, String> {
    Rate::parse(text).map_err(|error| match error {
        RateError::Zero => format!("{error}; `--no-hash` reads no archive"),
        RateError::NotANumber | RateError::NotAUnit(_) => error.to_string(),
    })
}

/// Every flag, for manual pages and completions.
pub fn command() -> clap::Command {
    Flags::command()
}

/// Runs the program with these arguments, the first of which is its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let flags = match Flags::try_parse_from(arguments) {
        Ok(flags) => flags,
        Err(error) => return usage::report(&error),
    };
    let voice = flags.voice.start();
    let done = match &flags.checksums {
        Some(to) => list(&flags, to, voice).map(|()| 0),
        None => look(&flags, voice).map(|totals| if totals.is_fine() { 0 } else { FOUND }),
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

/// Looks, tells, and ends the run.
fn look(flags: &Flags, voice: Voice) -> Result<Totals, Failed> {
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
    // The receiver is told also where the person cannot be.
    let kept = report_file
        .map_or(Ok(()), |path| keep(&report, site, &path).map_err(|source| Failed::Write { path, source }));
    or_closed(show(&report, site, flags.json, voice))?;
    kept?;
    let totals = Totals::of(&report.findings);
    report.finish().map_err(CheckError::Resume)?;
    Ok(totals)
}

/// A reader that has closed the pipe has read enough.
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

/// Keeps the report for the receiver.
fn keep(report: &Report, site: Site<'_>, path: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    write_json(report, site, Some(report.ended.into()), &mut text)?;
    durable::replace_file(path, &text, FILE_MODE)
}

/// A bar for a person who watches; nothing in a pipe or a log.
fn progress_bar(voice: Voice) -> ProgressBar {
    if !voice.is_watched() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
