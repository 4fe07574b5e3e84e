//! How every program talks to a person: results on standard output, `error:` and `help:` lines on standard error.
//!
//! A reader that has closed the pipe has read enough: the program ends quietly. Anything else that keeps a result from
//! being printed is an error, because a command whose output nobody saw did not do what it was asked for.

use std::fmt::Display;
use std::io::{self, Write};
use std::str::FromStr;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use colorchoice::ColorChoice;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// The exit code after a result could not be printed.
pub const CANNOT_PRINT: u8 = 1;

/// When output has colours: the value of `--color`.
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
    /// Holds for everything that this process prints from now on.
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

/// Whether standard error has colours.
pub fn stderr_has_color() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// A result could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written to: {0}")]
pub struct CannotPrint(#[from] io::Error);

impl CannotPrint {
    /// Whether the reader has read enough.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }

    /// Says so, unless the reader has closed the pipe, and returns the exit code.
    pub fn report(&self) -> u8 {
        if self.is_closed_pipe() {
            return 0;
        }
        error(self, None);
        CANNOT_PRINT
    }
}

/// Prints a result and a newline, all of it or an error.
pub fn print(text: &str) -> Result<(), CannotPrint> {
    Ok(write_line(&mut anstream::stdout().lock(), text)?)
}

fn write_line(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}")?;
    out.flush()
}

/// Tells a person why a command was not done, and what to do next.
pub fn error(error: &dyn Display, help: Option<&str>) {
    let mut stderr = anstream::stderr().lock();
    // Where standard error is closed too, the exit code is all that is left to say.
    let _ = tell(&mut stderr, ("error", ERROR), error);
    let _ = help.map(|help| tell(&mut stderr, ("help", HELP), &help));
}

/// Tells a person of something that did not keep the command from being done.
pub fn warning(warning: &dyn Display) {
    // As above.
    let _ = tell(&mut anstream::stderr().lock(), ("warning", WARNING), warning);
}

/// Tells a person the next step after something that was done.
pub fn help(help: &dyn Display) {
    // As above.
    let _ = tell(&mut anstream::stderr().lock(), ("help", HELP), help);
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
