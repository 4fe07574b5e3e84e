//! The shipper as a program. Flags, exit codes and everything printed are in [`cis490_shipper::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cis490_shipper::cli::run(std::env::args_os())
}
