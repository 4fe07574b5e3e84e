//! The guard of the gate in CI: fails if the receiver has become much slower than the floor, or much larger.
//!
//! Times on a shared machine are worthless, and single ratios are doubtful: two runs of one program can differ by half.
//! So the guard takes the best of a few rounds, and fails only at a ratio that no noise explains.

use std::io::{self, Write};

use anyhow::ensure;
use clap::Args;

use crate::ingest::{self, Load, Results};
use crate::peer::Peer;
use crate::workshop::Workshop;

/// Small uploads in parallel, medium ones in parallel, and a large one alone. They show the costs of commits, of moving
/// bytes, and of the hash.
const LOADS: [&str; 3] = ["s8", "m8", "l1"];

/// The arguments of `guard`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// The ratio to the floor below which the best of all rounds must not fall.
    #[arg(long, default_value_t = 0.5)]
    at_least: f64,
    /// The most resident memory of the receiver, in MiB.
    #[arg(long, default_value_t = 48.0)]
    memory_mib: f64,
    /// The most rounds: the guard ends with the first after which every load has reached its bound once.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
}

/// Runs the loads, prints the results, and fails if one of them is below its bound.
pub(crate) fn run(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    let loads: Vec<Load> = ingest::loads(&LOADS.map(str::to_owned))?;
    let ingest = ingest::Flags {
        rounds: flags.rounds,
        loads: Vec::new(),
        quick: true,
        hosts: 1,
        peers: Vec::new(),
        json: None,
    };
    let receiver = Peer::Receiver.name();
    let mut results = Results::new();
    let best = |load: &Load, results: &Results| {
        ingest::ratios(load, receiver, results).into_iter().fold(0.0, f64::max)
    };
    for round in 0..flags.rounds {
        ingest::round(workshop, &ingest, round, &loads, &Peer::ours(), &mut results)?;
        if loads.iter().all(|load| best(load, &results) >= flags.at_least) {
            break;
        }
    }
    let mut out = io::stdout();
    for load in &loads {
        let rounds = ingest::ratios(load, receiver, &results).len();
        let best = best(load, &results);
        let wanted = flags.at_least;
        writeln!(
            out,
            "{}: {best:.2} of the floor in the best of {rounds} rounds, {wanted:.2} wanted",
            load.title(true)
        )?;
    }
    let runs = || results.iter().filter(|((_, peer), _)| peer == receiver).flat_map(|(_, runs)| runs);
    let peak = runs().map(|run| run.peak_mib).fold(0.0, f64::max);
    let errors: usize = runs().map(|run| run.errors).sum();
    writeln!(out, "memory: {peak:.1} MiB at most, at most {:.0} wanted", flags.memory_mib)?;
    ensure!(errors == 0, "{errors} uploads were not taken");
    let slow: Vec<_> =
        loads.iter().filter(|load| best(load, &results) < flags.at_least).map(|load| load.name).collect();
    ensure!(slow.is_empty(), "the receiver is below {} of the floor in {}", flags.at_least, slow.join(", "));
    ensure!(peak <= flags.memory_mib, "the receiver took {peak:.1} MiB");
    Ok(())
}
