//! `cis490-index-backfill`: see [`cis490_tools::backfill`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cis490_tools::backfill::cli::run(std::env::args_os())
}
