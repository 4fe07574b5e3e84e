//! What becomes of flags that mean nothing, and of `--help`: the same in every program.

use std::process::ExitCode;

use cis490_shared::terminal::CannotPrint;

/// Flags that mean nothing.
pub const USAGE: u8 = 2;

/// Prints what clap says: help and version are answers, everything else is an error of usage.
pub fn report(said: &clap::Error) -> ExitCode {
    let printed = said.print();
    match (said.use_stderr(), printed) {
        // Where even this cannot be printed, the exit code is all that is left to say.
        (true, _) => ExitCode::from(USAGE),
        (false, Ok(())) => ExitCode::SUCCESS,
        (false, Err(error)) => ExitCode::from(CannotPrint::from(error).report()),
    }
}
