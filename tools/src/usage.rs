//! The handling of wrong flags and of `--help`, the same in every program.

use std::process::ExitCode;

use cis490_shared::terminal::CannotPrint;

/// The exit code for wrong flags.
pub const USAGE: u8 = 2;

/// Prints clap's message. Help and version are successes, everything else is a usage error.
pub fn report(said: &clap::Error) -> ExitCode {
    let printed = said.print();
    match (said.use_stderr(), printed) {
        // If this cannot be printed, only the exit code can report the failure.
        (true, _) => ExitCode::from(USAGE),
        (false, Ok(())) => ExitCode::SUCCESS,
        (false, Err(error)) => ExitCode::from(CannotPrint::from(error).report()),
    }
}
