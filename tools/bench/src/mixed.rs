//! The time of a small upload while large ones are in flight.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::driver::{self, Run, Shape};
use crate::figures::{median, millis, percentile};
use crate::machine;
use crate::measure;
use crate::peer::{Peer, Server};
use crate::workshop::Workshop;

/// Small uploads, one after the other, as a host sends them; more than ever begin while the large ones run.
const SMALL: Shape = Shape { count: 20_000, size: 64 << 10, connections: 1, hosts: Some(1) };
/// Small uploads in a quiet time, enough for a p99.
const QUIET: usize = 1500;
/// Four large uploads at any time, six times over, so that there are enough small ones beside them.
const LARGE: Shape = Shape { count: 24, size: 256 << 20, connections: 4, hosts: Some(4) };
/// By then the large uploads have begun, and none has ended.
const HEAD_START: Duration = Duration::from_millis(200);

/// The arguments of `mixed`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// How often every peer is measured.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Another server to compare with, as NAME=COMMAND with {port} and {store} in it; may be repeated.
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    pub(crate) peers: Vec<Peer>,
}

/// The small uploads of one round, without and with large ones beside them.
struct Beside {
    quiet: Run,
    loaded: Run,
    large: Run,
}

/// Runs the measurement and prints one table.
pub(crate) fn run(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    let peers = [Peer::ours(), flags.peers.clone()].concat();
    let mut found: Vec<Vec<Beside>> = peers.iter().map(|_| Vec::new()).collect();
    for round in 0..flags.rounds {
        for turn in 0..peers.len() {
            let index = (turn + round) % peers.len();
            let server = peers[index].start(workshop)?;
            measure::warm_up(workshop, &server)?;
            found[index].push(beside(workshop, &server)?);
        }
    }
    let mut out = io::stdout();
    writeln!(out, "\n**64 KiB uploads alone and beside 4 x 256 MiB in flight**\n")?;
    writeln!(
        out,
        "| peer | rounds | p50 quiet ms | p99 quiet ms | p50 beside ms | p99 beside ms | p99 to quiet p99 | small beside | large MB/s | errors |"
    )?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for (peer, rounds) in peers.iter().zip(&found) {
        // All rounds together, because one round has too few small uploads beside large ones for a p99 of its own.
        let all = |run: fn(&Beside) -> &Run| {
            let mut times: Vec<Duration> =
                rounds.iter().flat_map(|round| run(round).latencies.clone()).collect();
            times.sort_unstable();
            times
        };
        let (quiet, loaded) = (all(|round| &round.quiet), all(|round| &round.loaded));
        let at = |times: &[Duration], permille| millis(percentile(times, permille));
        writeln!(
            out,
            "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} | {:.0} | {} |",
            peer.name(),
            rounds.len(),
            at(&quiet, 500),
            at(&quiet, 990),
            at(&loaded, 500),
            at(&loaded, 990),
            at(&loaded, 990) / at(&quiet, 990),
            loaded.len(),
            median(rounds.iter().map(|round| round.large.megabytes())),
            rounds.iter().map(|round| round.loaded.errors() + round.large.errors()).sum::<usize>(),
        )?;
    }
    Ok(())
}

fn beside(workshop: &Workshop, server: &Server) -> anyhow::Result<Beside> {
    let (target, pool) = (&server.target, &workshop.pool);
    let small = driver::prepare(target, pool, SMALL);
    let large = driver::prepare(target, pool, LARGE);
    rustix::fs::sync();
    workshop.wait_until_quiet();
    let (quiet_part, loaded_part) = small.split_at(QUIET);
    let never = AtomicBool::new(false);
    let quiet = driver::drive(target, pool, quiet_part, SMALL.connections, &never);
    let large_ended = AtomicBool::new(false);
    let (loaded, large_run) = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let run = driver::drive(target, pool, &large, LARGE.connections, &never);
            large_ended.store(true, Ordering::Relaxed);
            run
        });
        machine::pause(HEAD_START);
        let loaded = driver::drive(target, pool, loaded_part, SMALL.connections, &large_ended);
        (loaded, sending.join().unwrap_or_default())
    });
    // Refused uploads have no file. The table shows their number.
    if large_run.errors() == 0 {
        server.truncate(&large)?;
    }
    Ok(Beside { quiet, loaded, large: large_run })
}
