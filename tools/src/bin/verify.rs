//! `cis490-verify`: see [`cis490_tools::verify`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cis490_tools::verify::cli::run(std::env::args_os())
}
