//! `cis490-receiver`: see the crate `cis490_receiver`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cis490_receiver::cli::run(std::env::args_os())
}
