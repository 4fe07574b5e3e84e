//! Messages of the tools: the shared format on a terminal, lines with a priority in the journal.
//!
//! In the journal a line begins with `<N>` (sd-daemon(3)), so that `journalctl -p err` shows errors and nothing else.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use cis490_shared::terminal::{self, Color};
use clap::Args;
use rustix::fs::fstat;

/// The flags for the amount of output and its colours.
#[derive(Debug, Args)]
pub struct VoiceFlags {
    /// Print findings and errors only: no notes, no totals, no progress
    #[arg(short, long)]
    quiet: bool,
    /// Colour the output: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

/// The priority of a message, in the numbers of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// LOG_ERR
    Error = 3,
    /// LOG_WARNING
    Warning = 4,
    /// LOG_NOTICE
    Notice = 5,
    /// LOG_INFO
    Info = 6,
}

impl Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", *self as u8)
    }
}

/// The output settings of this run.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    is_quiet: bool,
    is_stdout_journal: bool,
    is_stderr_journal: bool,
}

impl VoiceFlags {
    /// Applies the flags to all later output of this process.
    pub fn start(&self) -> Voice {
        self.color.set();
        #[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
        let journal = std::env::var("JOURNAL_STREAM").ok();
        let journal = journal.as_deref();
        Voice {
            is_quiet: self.quiet,
            is_stdout_journal: is_journal(io::stdout(), journal),
            is_stderr_journal: is_journal(io::stderr(), journal),
        }
    }
}

impl Voice {
    /// Returns true if only findings and errors are printed.
    pub const fn is_quiet(self) -> bool {
        self.is_quiet
    }

    /// Returns true if standard output goes to the journal.
    pub const fn is_stdout_journal(self) -> bool {
        self.is_stdout_journal
    }

    /// Returns true if a person watches, so that a progress bar is useful.
    pub fn is_watched(self) -> bool {
        !self.is_quiet && io::stderr().is_terminal()
    }

    /// Prints a note, which needs no action.
    pub fn note(self, note: impl Display) {
        if !self.is_quiet {
            self.tell(Priority::Info, "note", &note, terminal::note);
        }
    }

    /// Prints a warning: the command went on.
    pub fn warning(self, warning: impl Display) {
        self.tell(Priority::Warning, "warning", &warning, terminal::warning);
    }

    /// Prints the reason why the command failed, and the next steps.
    pub fn error(self, error: impl Display, help: &[String]) {
        self.tell(Priority::Error, "error", &error, |error| terminal::error(error, None));
        for help in help {
            self.tell(Priority::Error, "help", help, terminal::help);
        }
    }

    /// Prints a labelled text for a person, or for the journal with its priority.
    fn tell(self, priority: Priority, label: &str, text: &dyn Display, to_a_person: impl Fn(&dyn Display)) {
        if !self.is_stderr_journal {
            return to_a_person(text);
        }
        // If standard error is closed, only the exit code can report the failure.
        let _ = writeln!(io::stderr().lock(), "{}", prioritised(priority, &format!("{label}: {text}")));
    }
}

/// Puts the priority before each line, because the journal stores each line as a message.
pub fn prioritised(priority: Priority, text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("{priority}{line}")).collect();
    lines.join("\n")
}

/// Returns true if the service manager reads the stream. It names its stream by device and inode, because a child may
/// have been given another one.
fn is_journal(stream: impl AsFd, journal: Option<&str>) -> bool {
    let Some((device, inode)) = journal.and_then(|journal| journal.split_once(':')) else { return false };
    fstat(stream).is_ok_and(|found| found.st_dev.to_string() == device && found.st_ino.to_string() == inode)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn every_line_has_its_priority() {
        assert_eq!(prioritised(Priority::Error, "error: a\n  b\n"), "<3>error: a\n<3>  b");
    }

    #[test]
    fn only_the_stream_that_the_service_manager_reads_is_the_journal() {
        let file = File::open("/dev/null").unwrap();
        let found = file.metadata().unwrap();
        assert!(is_journal(&file, Some(&format!("{}:{}", found.dev(), found.ino()))));
        for other in [None, Some(""), Some("8:12345"), Some("null")] {
            assert!(!is_journal(&file, other), "{other:?}");
        }
    }
}
