//! The output of every program for a person: results on standard output, `error:` and `help:` lines on standard error.
//!
//! A reader that has closed the pipe has read enough, so the program ends quietly. Any other failure to print a result
//! is an error, because a command whose output is lost has not done its work.

use std::fmt::Display;
use std::io::{self, Write};
use std::str::FromStr;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use colorchoice::ColorChoice;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// The exit code if a result cannot be printed.
pub const CANNOT_PRINT: u8 = 1;

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

impl FromStr for Color {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("it is `auto`, `always` or `never`"),
        }
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

fn tell(out: &mut impl Write, (label, style): (&str, Style), text: &dyn Display) -> io::Result<()> {
    writeln!(out, "{style}{label}:{style:#} {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
