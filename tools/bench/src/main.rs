//! `cis490-bench`: how fast the product is, compared with a floor that does the same job and nothing else.
//!
//! - [`ingest`], [`mixed`]: uploads by size and connections; small ones beside large ones
//! - [`gate`], [`start`], [`ship`], [`backfill`]: the other parts of the product
//! - [`curve`], [`chart`]: how cost grows with the work
//! - [`guard`]: the short run that CI makes
//! - [`floor`]: the least program that keeps the receiver's promise
//! - [`driver`], [`body`], [`wire`]: the load
//! - [`peer`], [`service`]: the measured programs, as child processes
//! - [`measure`](mod@measure), [`machine`], [`figures`]: the cost of a run
//! - [`workshop`], [`episodes`]: scratch directory, clone and programs; episodes as a recorder leaves them
//!
//! It needs only the programs beside it and git. Absolute figures depend on the machine and the hour. The ratio of two
//! programs that ran side by side counts; `docs/performance.md` says how to read it. Criterion measures single
//! functions, in `benches/` of the crate that they belong to.

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

/// Measures the product beside a floor, and prints Markdown tables. Without a command: everything but the curves and
/// the guard.
#[derive(Debug, Parser)]
#[command(name = "cis490-bench", version)]
struct Flags {
    /// Where episodes are stored while they are measured; not in memory. Default: beside this program.
    #[arg(long, global = true, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// How many seconds each run may wait until the rest of the machine is quiet.
    #[arg(long, global = true, default_value_t = 5, value_name = "SECONDS")]
    patience: u64,
    #[command(subcommand)]
    command: Option<Measurement>,
}

/// The measurements.
#[derive(Debug, Subcommand)]
enum Measurement {
    /// Uploads of all sizes, over one connection and over several
    Ingest(ingest::Flags),
    /// Small uploads while large ones are in flight
    Mixed(mixed::Flags),
    /// Fails if the receiver has become much slower than the floor
    Guard(guard::Flags),
    /// Verdicts of the version gate over HTTP
    Gate(gate::Flags),
    /// The cost of a poll of an unchanged clone
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

/// The order in which a reader wants the results. Measurements that create and link many files come last.
const ALL: [&str; 7] = ["ingest", "mixed", "gate", "poll", "ship", "backfill", "start"];

fn main() -> ExitCode {
    match measure(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, only the exit code is left.
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
