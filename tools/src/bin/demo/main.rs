//! `cis490-demo`: runs the product with a clone, a receiver and a lab host on one machine.
//!
//! - [`story`]: the steps of the demo, from the first commit to the backfilled row
//! - [`stage`]: temporary directories, and the real programs as child processes
//! - [`recorder`]: a real episode: samples of /proc while a small workload runs
//! - [`maintainer`]: the clone that the gate reads, and a clone with a local commit
//! - [`narrator`]: the output
//!
//! Nothing here replaces a part of the product: receiver, shipper and backfill are the real programs, started from this
//! executable, so that `cargo run` needs no other binary.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::narrator::Narrator;

mod maintainer;
mod narrator;
mod recorder;
mod stage;
mod story;

/// Records an episode, ships it and shows its row in the index.
///
/// The demo uses a temporary directory and the loopback only; it needs no program but git.
#[derive(Debug, Parser)]
#[command(name = "cis490-demo", version)]
struct Flags {
    /// Keep the receiver running until Ctrl-C, and print addresses and commands to try.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = stage::play_role(&arguments) {
        return code;
    }
    match tell(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, only the exit code can report the failure.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(flags: &Flags) -> anyhow::Result<()> {
    let root = tempfile::Builder::new().prefix("cis490-demo-").tempdir()?;
    story::tell(root.path(), flags.keep, &mut Narrator::new(io::stdout()))
}
