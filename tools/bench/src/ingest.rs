//! How fast uploads are accepted: every load on every peer, round after round, side by side.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::driver::Shape;
use crate::figures::median;
use crate::measure::{self, Measured};
use crate::peer::Peer;
use crate::workshop::Workshop;

/// A load with its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// The name on the command line.
    pub(crate) name: &'static str,
    shape: Shape,
    /// The number of uploads in a quick run.
    quick: usize,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Small, medium and large episodes, over one connection and over several.
pub(crate) const LOADS: [Load; 7] = [
    load("s1", 2000, 64 * KIB, 1, 600),
    load("s8", 4000, 64 * KIB, 8, 2000),
    load("s32", 6000, 64 * KIB, 32, 3000),
    load("m1", 200, 4 * MIB, 1, 60),
    load("m8", 300, 4 * MIB, 8, 120),
    load("l1", 4, 256 * MIB, 1, 2),
    load("l4", 8, 256 * MIB, 4, 4),
];

const fn load(name: &'static str, count: usize, size: usize, connections: usize, quick: usize) -> Load {
    Load { name, shape: Shape { count, size, connections, hosts: Some(1) }, quick }
}

impl Load {
    /// Returns the title in tables.
    pub(crate) fn title(&self, quick: bool) -> String {
        let Shape { size, connections, .. } = self.shape;
        let size = match size < MIB {
            true => format!("{} KiB", size / KIB),
            false => format!("{} MiB", size / MIB),
        };
        format!("{}: {} x {size} over {connections}", self.name, self.shape(quick, Some(1)).count)
    }

    /// Returns the number and the size of the uploads.
    pub(crate) fn shape(&self, quick: bool, hosts: Option<usize>) -> Shape {
        Shape { count: if quick { self.quick } else { self.shape.count }, hosts, ..self.shape }
    }
}

/// Finds loads by their names.
pub(crate) fn loads(names: &[String]) -> anyhow::Result<Vec<Load>> {
    let find = |name: &String| match LOADS.iter().find(|load| load.name == name) {
        Some(load) => Ok(*load),
        None => bail!("there is no load `{name}`, only {}", LOADS.map(|load| load.name).join(", ")),
    };
    names.iter().map(find).collect()
}

/// The arguments of `ingest`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// How often every load is put on every peer.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Which loads, in this order.
    #[arg(long, value_delimiter = ',', default_value = "s1,s8,s32,m1,m8,l1,l4")]
    pub(crate) loads: Vec<String>,
    /// Fewer uploads and two rounds: enough to see that everything works.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Hosts that the uploads of a load are spread over; 0: one for each connection.
    #[arg(long, default_value_t = 1)]
    pub(crate) hosts: usize,
    /// Another server to compare with, as NAME=COMMAND with {port} and {store} in it; may be repeated.
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    pub(crate) peers: Vec<Peer>,
    /// Appends every single run to this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// All runs, by load and peer, in the order of the rounds.
pub(crate) type Results = BTreeMap<(&'static str, String), Vec<Measured>>;

/// Runs all loads, and prints a table for each.
pub(crate) fn run(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    let loads = loads(&flags.loads)?;
    let peers = [Peer::ours(), flags.peers.clone()].concat();
    let rounds = if flags.quick { flags.rounds.min(2) } else { flags.rounds };
    let mut results = Results::new();
    for number in 0..rounds {
        round(workshop, flags, number, &loads, &peers, &mut results)?;
    }
    let mut out = io::stdout();
    for load in &loads {
        writeln!(out, "\n**{}**\n\n{}", load.title(flags.quick), table(load, &peers, &results))?;
    }
    Ok(())
}

/// Puts every load on every peer once, over fresh storage.
///
/// All peers run side by side, so that compared runs follow each other within seconds. The first peer changes from load
/// to load and from round to round.
pub(crate) fn round(
    workshop: &Workshop,
    flags: &Flags,
    round: usize,
    loads: &[Load],
    peers: &[Peer],
    results: &mut Results,
) -> anyhow::Result<()> {
    let hosts = (flags.hosts > 0).then_some(flags.hosts);
    let servers: Vec<_> = peers.iter().map(|peer| peer.start(workshop)).collect::<anyhow::Result<_>>()?;
    servers.iter().try_for_each(|server| measure::warm_up(workshop, server))?;
    for (number, load) in loads.iter().enumerate() {
        for turn in 0..peers.len() {
            let index = (turn + round + number) % peers.len();
            let peer = peers[index].name();
            let measured = measure::measure(workshop, &servers[index], load.shape(flags.quick, hosts))?;
            tell(flags, load, peer, round, &measured)?;
            results.entry((load.name, peer.to_owned())).or_default().push(measured);
        }
    }
    Ok(())
}

/// Reports a run on standard error and in the raw lines.
fn tell(flags: &Flags, load: &Load, peer: &str, round: usize, measured: &Measured) -> anyhow::Result<()> {
    writeln!(
        io::stderr(),
        "round {round} {:4} {peer:12} {:8.1}/s {:8.1} MB/s p99 {:8.2} ms, {:.2} CPU s/GB, {:.0} MiB, others {:.0} %, {} errors",
        load.name,
        measured.requests_per_s,
        measured.megabytes_per_s,
        measured.p99_ms,
        measured.cpu_s_per_gb,
        measured.peak_mib,
        measured.others * 100.0,
        measured.errors
    )?;
    let Some(path) = &flags.json else { return Ok(()) };
    let line = serde_json::json!({
        "measurement": "ingest", "load": load.name, "peer": peer, "round": round, "run": measured
    });
    let mut text = line.to_string();
    text.push('\n');
    add_line(path, &text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Appends a line to a file, which is created if it is missing.
fn add_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().create(true).write(true).truncate(false).open(path)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(line.as_bytes())
}

/// Returns the ratio of a peer's throughput to that of the floor, round by round.
pub(crate) fn ratios(load: &Load, peer: &str, results: &Results) -> Vec<f64> {
    let runs = |peer: &str| results.get(&(load.name, peer.to_owned())).map(Vec::as_slice).unwrap_or_default();
    let pairs = runs(peer).iter().zip(runs(Peer::Floor.name()));
    pairs.map(|(one, floor)| one.megabytes_per_s / floor.megabytes_per_s).collect()
}

fn table(load: &Load, peers: &[Peer], results: &Results) -> String {
    let mut lines = vec![
        "| peer | rounds | req/s | MB/s | to floor | min..max | p50 ms | p99 ms | CPU s/GB | peak MiB | others % | errors |".to_owned(),
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for peer in peers {
        let Some(runs) = results.get(&(load.name, peer.name().to_owned())) else { continue };
        let middle = |value: fn(&Measured) -> f64| median(runs.iter().map(value));
        let ratios = ratios(load, peer.name(), results);
        let (least, most) = (
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        );
        lines.push(format!(
            "| {} | {} | {:.1} | {:.0} | {:.2} | {least:.2}..{most:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} | {} |",
            peer.name(),
            runs.len(),
            middle(|run| run.requests_per_s),
            middle(|run| run.megabytes_per_s),
            median(ratios.iter().copied()),
            middle(|run| run.p50_ms),
            middle(|run| run.p99_ms),
            middle(|run| run.cpu_s_per_gb),
            middle(|run| run.peak_mib),
            middle(|run| run.others * 100.0),
            runs.iter().map(|run| run.errors).sum::<usize>(),
        ));
    }
    lines.join("\n")
}
