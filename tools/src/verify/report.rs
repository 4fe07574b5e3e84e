//! The findings of a run, as text for people and as JSON for programs.
//!
//! In JSON every finding is one object on a line of its own, and the last line is the summary. Members are only ever
//! added.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use cis490_shared::clock::WallTime;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::advice::{Site, next};
use super::check::Report;
use super::findings::{Finding, Severity};
use super::reread::{Proof, Sample};
use crate::voice::{Priority, Voice, prioritised};

/// The number of findings of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// See [`Severity::Error`].
    pub errors: usize,
    /// See [`Severity::Warning`].
    pub warnings: usize,
    /// See [`Severity::Note`].
    pub notes: usize,
}

impl Totals {
    /// Counts findings.
    pub fn of(findings: &[Finding]) -> Self {
        let count = |severity| findings.iter().filter(|finding| finding.severity() == severity).count();
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
        }
    }

    /// Returns true if no finding needs an action.
    pub const fn is_fine(self) -> bool {
        self.errors == 0 && self.warnings == 0
    }
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Green.on_default().bold();

/// Returns the report for people: every finding with its next command, and the totals. With `--quiet` it has no notes
/// and no totals.
pub fn human(report: &Report, site: Site<'_>, voice: Voice) -> String {
    let is_told = |finding: &&Finding| !voice.is_quiet() || finding.severity() != Severity::Note;
    let findings = report.findings.iter().filter(is_told);
    let mut findings = findings.map(|finding| (finding, next(finding, site))).peekable();
    let mut text = String::new();
    while let Some((finding, commands)) = findings.next() {
        let (priority, label, style) = match finding.severity() {
            Severity::Error => (Priority::Error, "error", ERROR),
            Severity::Warning => (Priority::Warning, "warning", WARNING),
            Severity::Note => (Priority::Notice, "note", NOTE),
        };
        let mut told = format!("{style}{label}:{style:#} {finding}\n");
        // If several findings in a row have the same commands, they are printed once, after the last finding.
        let is_last =
            |(other, next): &(&Finding, _)| *next != commands || other.severity() != finding.severity();
        if findings.peek().is_none_or(is_last) {
            told.extend(commands.iter().map(|command| format!("    {command}\n")));
        }
        add(&mut text, &told, priority, voice);
    }
    if !voice.is_quiet() {
        add(&mut text, &totals(report), Priority::Info, voice);
    }
    text
}

/// Adds complete lines, with their priority if they go to the journal.
fn add(text: &mut String, lines: &str, priority: Priority, voice: Voice) {
    match voice.is_stdout_journal() {
        true => text.extend([prioritised(priority, lines).as_str(), "\n"]),
        false => text.push_str(lines),
    }
}

/// Returns the totals of the run.
fn totals(report: &Report) -> String {
    let mut text =
        format!("looked at {} and {}\n", count(report.archives, "archive"), count(report.rows, "row"));
    text.push_str(&report.proof.as_ref().map_or("read no archive\n".to_owned(), told));
    if let Some(absent) = report.absent {
        text.extend([format!("not in this copy: {} of the index\n", count(absent, "archive"))]);
    }
    let Totals { errors, warnings, notes } = Totals::of(&report.findings);
    let [errors, warnings, notes] =
        [(errors, "error"), (warnings, "warning"), (notes, "note")].map(|(number, what)| count(number, what));
    text.extend([format!("found {errors}, {warnings}, {notes}\n")]);
    text
}

fn told(proof: &Proof) -> String {
    let Proof { archives, bytes, earlier, sample, deep } = proof;
    let mut text = String::new();
    if let Some(Sample { percent, of, seed }) = sample {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "drew {percent} % of {} with seed {seed}", count(*of, "archive"));
    }
    let how = if *deep { "opened" } else { "read again" };
    let _ = write!(text, "{how} and found good: {}, {}", count(*archives, "archive"), BinaryBytes(*bytes));
    if *earlier > 0 {
        let _ = write!(text, "; {earlier} of them before the run was interrupted");
    }
    text.push('\n');
    text
}

fn count(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Finding {
        severity: Severity,
        #[serde(flatten)]
        finding: &'a Finding,
        message: String,
        next: Vec<String>,
    },
    Summary {
        archives: usize,
        rows: u64,
        #[serde(flatten)]
        totals: Totals,
        read_again: Option<ReadAgain>,
        episodes_root: Cow<'a, str>,
        index: Cow<'a, str>,
        /// The number of archives that are in the index but not in the copy.
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<usize>,
        /// The configuration that named store and index.
        config: Option<Cow<'a, str>>,
        /// The time when the run ended, only in the kept report.
        #[serde(skip_serializing_if = "Option::is_none")]
        ended: Option<WallTime>,
    },
}

#[derive(Serialize)]
struct ReadAgain {
    good_archives: u64,
    good_bytes: u64,
    before_interruption: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    opened: bool,
    sample: Option<Drawn>,
}

#[derive(Serialize)]
struct Drawn {
    percent: String,
    of_archives: usize,
    seed: u64,
}

/// Writes the report for programs, one object per line. The kept report also has the time at which the run ended.
pub fn write_json(
    report: &Report,
    site: Site<'_>,
    ended: Option<WallTime>,
    to: &mut impl Write,
) -> io::Result<()> {
    for finding in &report.findings {
        let (severity, message) = (finding.severity(), finding.to_string());
        write_line(&Line::Finding { severity, finding, message, next: next(finding, site) }, to)?;
    }
    let read_again = report.proof.as_ref().map(|proof| ReadAgain {
        good_archives: proof.archives,
        good_bytes: proof.bytes,
        before_interruption: proof.earlier,
        opened: proof.deep,
        sample: proof.sample.as_ref().map(|sample| Drawn {
            percent: sample.percent.to_string(),
            of_archives: sample.of,
            seed: sample.seed,
        }),
    });
    let totals = Totals::of(&report.findings);
    let (archives, rows) = (report.archives, report.rows);
    let (episodes_root, index) = (site.episodes_root.to_string_lossy(), site.index.to_string_lossy());
    let config = site.config.map(Path::to_string_lossy);
    let absent = report.absent;
    let summary =
        Line::Summary { archives, rows, totals, read_again, episodes_root, index, absent, config, ended };
    write_line(&summary, to)
}

fn write_line(line: &Line<'_>, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}
