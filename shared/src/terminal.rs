//! The output of every program for a person: results on standard output, `error:` and `help:` lines on standard error.
//!
//! A reader that has closed the pipe has read enough, so the program ends quietly. Any other failure to print a result
//! is an error, because a command whose output is lost has not done its work.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::builder::PossibleValue;
use clap::{ArgAction, Args, ValueEnum};
use colorchoice::ColorChoice;

use crate::completion::value_of;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();
const NOTE: Style = AnsiColor::Green.on_default().bold();

/// The exit code if a result cannot be printed.
pub const CANNOT_PRINT: u8 = 1;

/// The flags of both services' programs for what they print.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputFlags {
    /// Colour the output; `auto` follows NO_COLOR, CLICOLOR_FORCE and TERM=dumb
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Log less: warnings only; twice: errors only; takes precedence over RUST_LOG
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
    /// Log more: debugging; twice: everything; takes precedence over RUST_LOG
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The value of `--color`: when output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` is set; everywhere with `CLICOLOR_FORCE`.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Color {
    /// Returns the value of `--color` among arguments that are not parsed yet, so that help and errors about flags have
    /// the right colours. The parser refuses a wrong value.
    pub fn among(arguments: &[OsString]) -> Self {
        let value = value_of("--color", arguments).and_then(|text| Self::from_str(text, false).ok());
        value.unwrap_or_default()
    }

    /// Applies the choice to everything that this process prints from now on.
    pub fn set(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

// Derived, it would put the comments of the variants into `--help`.
impl ValueEnum for Color {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Always, Self::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }))
    }
}

/// Returns true if standard error is coloured.
pub fn stderr_has_color() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// The error of a result that cannot be printed.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written to: {0}")]
pub struct CannotPrint(#[from] io::Error);

impl CannotPrint {
    /// Returns true if the reader has closed the pipe.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }

    /// Prints the error, unless the reader has closed the pipe, and returns the exit code.
    pub fn report(&self) -> u8 {
        if self.is_closed_pipe() {
            return 0;
        }
        error(self, None);
        CANNOT_PRINT
    }
}

/// Prints a result and a newline. Returns an error unless all of it was written.
pub fn print(text: &str) -> Result<(), CannotPrint> {
    Ok(write_line(&mut anstream::stdout().lock(), text)?)
}

fn write_line(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints why a command failed, and what to do next.
pub fn error(error: &dyn Display, help: Option<&str>) {
    let mut stderr = anstream::stderr().lock();
    // If standard error is closed too, only the exit code can report the failure.
    let _ = tell(&mut stderr, ("error", ERROR), error);
    let _ = help.map(|help| tell(&mut stderr, ("help", HELP), &help));
}

/// Prints a warning about a problem that did not stop the command.
pub fn warning(warning: &dyn Display) {
    // As above.
    let _ = tell(&mut anstream::stderr().lock(), ("warning", WARNING), warning);
}

/// Prints a remark that needs no action.
pub fn note(note: &dyn Display) {
    // As above.
    let _ = tell(&mut anstream::stderr().lock(), ("note", NOTE), note);
}

/// Tells a person the next step after something that was done.
pub fn help(help: &dyn Display) {
    // As above.
    let _ = tell(&mut anstream::stderr().lock(), ("help", HELP), help);
}

fn tell(out: &mut impl Write, (label, style): (&str, Style), text: &dyn Display) -> io::Result<()> {
    writeln!(out, "{style}{label}:{style:#} {text}")
}

/// Returns a number of bytes as a person reads it, such as `3.1 MB`: powers of 1000, as disks and networks are sold.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1000.0, 0);
    // A value that would be rounded to 1000 gets the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colour_is_known_before_wrong_flags_are_reported() {
        let color =
            |arguments: &[&str]| Color::among(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(color(&["x", "--color", "never", "--help"]), Color::Never);
        assert_eq!(color(&["x", "--twice", "--color=always"]), Color::Always);
        for arguments in [&["x", "--colorful", "never"][..], &["x", "--color=loud"], &["x"]] {
            assert_eq!(color(arguments), Color::Auto, "{arguments:?}");
        }
    }

    #[test]
    fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
        let code = |kind: io::ErrorKind| CannotPrint(kind.into()).report();
        assert_eq!([code(io::ErrorKind::BrokenPipe), code(io::ErrorKind::StorageFull)], [0, CANNOT_PRINT]);
    }

    #[test]
    fn a_result_that_does_not_fit_is_an_error_though_its_beginning_was_taken() {
        let mut small = [0; 4];
        write_line(&mut &mut small[..], "12345").unwrap_err();
        let mut buffered = io::BufWriter::with_capacity(64, std::fs::File::create("/dev/full").unwrap());
        write_line(&mut buffered, "x").unwrap_err();
    }

    #[test]
    fn labels_begin_the_line() {
        let mut out = Vec::new();
        tell(&mut anstream::StripStream::new(&mut out), ("error", ERROR), &"it is broken").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "error: it is broken\n");
    }

    #[test]
    fn sizes_read_well() {
        let sizes = [0, 999, 1000, 3_140_000, 9_960_000, 999_600, 2_000_000_000_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "3.1 MB", "10 MB", "1.0 MB", "2.0 TB", "18447 PB"]);
    }
}
