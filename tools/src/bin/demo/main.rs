//! `cis490-demo`: the product on an embedded default: a clone, a receiver, a lab host, and what happens between them.
//!
//! - [`story`]: the demo as it is told, from the first commit to the backfilled row
//! - [`stage`]: temporary directories, and the real programs as child processes
//! - [`recorder`]: a real episode: samples of /proc while a small workload runs
//! - [`maintainer`]: the clone that the gate reads, and a host that strayed from it
//! - [`narrator`]: what is printed
//!
//! Nothing here stands in for a part of the product: receiver, shipper and backfill are the programs themselves,
//! started from this executable, so that one `cargo run` needs no other binary.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::narrator::Narrator;

mod maintainer;
mod narrator;
mod recorder;
mod stage;
mod story;

/// Shows an episode's way home, from its recording to its row in the index.
///
/// Everything happens in a temporary directory and on the loopback; git is the only program that it needs.
#[derive(Debug, Parser)]
#[command(name = "cis490-demo", version)]
struct Flags {
    /// Leave the receiver running until Ctrl-C, and print addresses and commands to try.
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
            // Where standard error is closed, the exit code is all that is left to say.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(flags: &Flags) -> anyhow::Result<()> {
    let root = tempfile::Builder::new().prefix("cis490-demo-").tempdir()?;
    story::tell(root.path(), flags.keep, &mut Narrator::new(io::stdout()))
}
