//! The command line of `cis490-verify`: flags, printing and exit codes.
//!
//! | code | when |
//! |---|---|
//! | 0 | it was looked, and nothing is wrong; there may be notes |
//! | 3 | it was looked, and errors or warnings were found: a success of looking (incident 10) |
//! | 2 | there is no episodes directory |
//! | 1 | it could not be looked: flags, permissions, a state file of another run |

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cis490_shared::clock;
use cis490_shared::durable;
use cis490_shared::ids::HostId;
use cis490_shared::rate::{Rate, RateError};
use clap::{CommandFactory, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::advice::Site;
use super::check::{Report, check};
use super::failed::Failed;
use super::report::{Totals, write_human, write_json};
use super::request::{CheckError, Hashing, Request};
use super::resume::is_in_the_store;
use super::sample::Percent;
use super::since;
use crate::defaults;
use crate::place::{Place, PlaceFlags};

/// Something was found.
const FOUND: u8 = 3;
/// The mode of the report that is kept: the group may read.
const REPORT_MODE: u32 = 0o640;

/// Checks that the store and its index agree, and that every archive is still what it was.
///
/// It may run beside a live receiver. It writes nothing but the files of `--resume` and `--report`, and never deletes.
#[derive(Debug, Parser)]
#[command(name = "cis490-verify", version, after_help = AFTER_HELP)]
struct Flags {
    #[command(flatten)]
    place: PlaceFlags,
    /// Look at this host only
    #[arg(long, value_parser = HostId::parse)]
    host: Option<HostId>,
    /// Compare names and sizes, read no archive
    #[arg(long, conflicts_with_all = ["sample", "since", "rate", "jobs", "resume"])]
    no_hash: bool,
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
    /// Write the report to this file as well, as with --json, for the receiver to read [default: as the configuration says]
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
}

const AFTER_HELP: &str = "Exit codes: 0 nothing is wrong, 3 something was found, 2 no episodes directory, \
                          1 it could not be looked.";

impl Flags {
    fn request(&self, place: &Place) -> Request {
        let hashing = Hashing {
            since: self.since,
            sample: self.sample,
            seed: self.seed,
            fresh_seed: rand::random(),
            jobs: self.jobs.unwrap_or_else(defaults::one_per_core),
            rate: self.rate,
            resume: self.resume.clone(),
        };
        Request {
            episodes_root: place.episodes_root.clone(),
            index: place.index.clone(),
            host: self.host.clone(),
            settle: Duration::from_secs(self.settle.into()),
            hashing: (!self.no_hash).then_some(hashing),
            clock: clock::system_time,
        }
    }

    /// Where the report is kept; none where nobody asks for that.
    fn report_file(&self, place: &Place) -> Result<Option<PathBuf>, Failed> {
        let Some(named) = &self.report else { return Ok(None) };
        let path = named.as_ref().or(place.report.as_ref()).ok_or(Failed::NoReportFile)?;
        match is_in_the_store(path, &place.episodes_root, &place.index) {
            true => Err(Failed::InTheStore(path.clone())),
            false => Ok(Some(path.clone())),
        }
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
        Err(usage) => {
            // Where even this cannot be printed, the exit code is all that is left to say.
            let _ = usage.print();
            // Not clap's own code, 2: here that means that there is no episodes directory.
            return if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match look(&flags) {
        Ok(totals) if totals.is_fine() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FOUND),
        Err(error) => {
            tell(format_args!("error: {error}"));
            if let Some(help) = error.remedy() {
                tell(format_args!("help: {help}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Looks, tells, and ends the run.
fn look(flags: &Flags) -> Result<Totals, Failed> {
    let place = flags.place.find()?;
    if let Some(note) = place.note() {
        tell(format_args!("note: {note}"));
    }
    let report_file = flags.report_file(&place)?;
    let request = flags.request(&place);
    let bar = progress_bar();
    let checked = check(&request, &bar);
    bar.finish_and_clear();
    let report = checked?;
    if let Some(error) = &report.unsaved {
        tell(format_args!("warning: {error}; an interruption would have cost more than seconds"));
    }
    if let (Some(host), 0) = (&flags.host, report.archives) {
        let root = request.episodes_root.display();
        tell(format_args!("note: `{root}` holds no archive of host `{host}`"));
    }
    let site = Site::of(&place);
    show(&report, site, flags.json).map_err(Failed::Output)?;
    if let Some(path) = report_file {
        keep(&report, site, &path).map_err(|source| Failed::Report { path, source })?;
    }
    let totals = Totals::of(&report.findings);
    report.finish().map_err(CheckError::Resume)?;
    Ok(totals)
}

fn show(report: &Report, site: Site<'_>, json: bool) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match json {
        true => write_json(report, site, None, &mut stdout)?,
        false => write_human(report, site, &mut stdout)?,
    }
    stdout.flush()
}

/// Keeps the report for the receiver.
fn keep(report: &Report, site: Site<'_>, path: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    write_json(report, site, Some(report.ended.into()), &mut text)?;
    durable::replace_file(path, &text, REPORT_MODE)
}

/// A bar for a person who watches; nothing in a pipe or a log.
fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// Prints a line for a person.
fn tell(line: fmt::Arguments<'_>) {
    // Standard error that is closed was closed by somebody who does not want to know.
    let _ = writeln!(io::stderr(), "{line}");
}
