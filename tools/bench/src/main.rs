//! `cis490-bench`: how fast the product is, beside a floor that does the same job and nothing else.
//!
//! - [`ingest`], [`mixed`]: uploads by size and connections; small ones beside large ones
//! - [`gate`], [`start`], [`ship`], [`backfill`]: the other parts of the product
//! - [`curve`], [`chart`]: how cost grows with the work
//! - [`guard`]: the short run that CI makes
//! - [`floor`]: the least program that keeps the receiver's promise
//! - [`driver`], [`body`], [`wire`]: the load
//! - [`peer`], [`service`]: what is measured, as child processes
//! - [`measure`](mod@measure), [`machine`], [`figures`]: what it took
//! - [`workshop`], [`episodes`]: scratch directory, clone, programs; what a recorder would have left
//!
//! It needs nothing but the programs beside it and git. Absolute figures belong to the machine and the hour; what
//! counts is the ratio of two that ran side by side. `docs/performance.md` says how to read them. A function alone is
//! measured by criterion, in `benches/` of the crate that it belongs to.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::workshop::Workshop;

mod backfill;
mod body;
mod chart;
mod curve;
mod driver;
mod episodes;
mod figures;
mod floor;
mod gate;
mod guard;
mod ingest;
mod machine;
mod measure;
mod mixed;
mod peer;
mod service;
mod ship;
mod start;
mod wire;
mod workshop;

/// Measures the product beside a floor, and prints Markdown tables. Without a command: everything but the curves.
#[derive(Debug, Parser)]
#[command(name = "cis490-bench", version)]
struct Flags {
    /// Where episodes are stored while they are measured; not in memory. Default: beside this program.
    #[arg(long, global = true, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// How many seconds each run may wait for the rest of the machine to be quiet.
    #[arg(long, global = true, default_value_t = 5, value_name = "SECONDS")]
    patience: u64,
    #[command(subcommand)]
    command: Option<Measurement>,
}

/// What is measured.
#[derive(Debug, Subcommand)]
enum Measurement {
    /// Uploads of all sizes, over one connection and over several
    Ingest(ingest::Flags),
    /// Small uploads while large ones are in flight
    Mixed(mixed::Flags),
    /// Whether the receiver has become much slower than the floor; fails where it has
    Guard(guard::Flags),
    /// Verdicts of the version gate over HTTP
    Gate(gate::Flags),
    /// What looking at an unchanged clone costs
    Poll(gate::PollFlags),
    /// From the start to READY with a full index
    Start(start::Flags),
    /// The shipper: a large episode, a backlog, idle daemons
    Ship(ship::Flags),
    /// Backfill and verify, on large archives and on small ones
    Backfill(backfill::Flags),
    /// Throughput and memory against size, connections, hosts and rows, as pictures
    Curve(curve::Flags),
    /// The floor itself, as a server
    #[command(hide = true)]
    Floor(floor::Flags),
}

/// The order in which a reader wants to know; what makes and links many files comes last.
const ALL: [&str; 7] = ["ingest", "mixed", "gate", "poll", "ship", "backfill", "start"];

fn main() -> ExitCode {
    match measure(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit code is all that is left to say.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(flags: Flags) -> anyhow::Result<()> {
    if let Some(Measurement::Floor(floor)) = flags.command {
        return floor::serve(floor);
    }
    if cfg!(debug_assertions) {
        writeln!(io::stderr(), "note: this is a debug build, its figures mean nothing: use --release")?;
    }
    let workshop = Workshop::open(flags.scratch.as_deref(), Duration::from_secs(flags.patience))?;
    let default = |name: &&str| Flags::try_parse_from(["cis490-bench", name]).map(|flags| flags.command);
    let measurements = match flags.command {
        Some(one) => vec![one],
        None => ALL.iter().map(default).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
    };
    for measurement in &measurements {
        match measurement {
            Measurement::Ingest(flags) => ingest::run(&workshop, flags)?,
            Measurement::Mixed(flags) => mixed::run(&workshop, flags)?,
            Measurement::Guard(flags) => guard::run(&workshop, flags)?,
            Measurement::Gate(flags) => gate::verdicts(&workshop, flags)?,
            Measurement::Poll(flags) => gate::polls(&workshop, flags)?,
            Measurement::Start(flags) => start::run(&workshop, flags)?,
            Measurement::Ship(flags) => ship::run(&workshop, flags)?,
            Measurement::Backfill(flags) => backfill::run(&workshop, flags)?,
            Measurement::Curve(flags) => curve::run(&workshop, flags)?,
            Measurement::Floor(_) => {}
        }
    }
    Ok(())
}
