//! The time of a start with a million rows in the index.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use cis490_shared::clock::WallTime;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::row::{IndexRow, SCHEMA_VERSION};
use clap::Args;

use crate::figures::{float, median};
use crate::machine;
use crate::service::Receiver;
use crate::workshop::Workshop;

/// Hosts that the rows are spread over.
const HOSTS: usize = 100;
/// The most names of one file; ext4 has room for 65,000.
const NAMES_PER_FILE: usize = 60_000;

/// The arguments of `start`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// Rows in the index.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Starts of each kind.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Returns the row of the episode with this number. The same number always gives the same pair.
fn row(number: usize, commit: &CommitHash) -> anyhow::Result<IndexRow> {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Ok(IndexRow {
        backfilled: false,
        commit: Some(commit.clone()),
        episode_id: EpisodeId::parse(&format!("01A{number:023}"))?,
        host_id: HostId::parse(&format!("lab-{:03}", number % HOSTS))?,
        received_at_wall: WallTime::now(),
        schema_version: SCHEMA_VERSION,
        sha256: Sha256Digest::from_bytes(digest),
        size_bytes: 0,
    })
}

/// Writes an index of `rows` rows into the state directory `dir`.
pub(crate) fn fill(workshop: &Workshop, dir: &Path, rows: usize) -> anyhow::Result<()> {
    let commit = CommitHash::parse(&workshop.commit)?;
    let mut index = BufWriter::new(File::create(dir.join("index.jsonl"))?);
    for number in 0..rows {
        index.write_all(&row(number, &commit)?.to_line()?)?;
    }
    Ok(index.flush()?)
}

/// Gives every row its archive: a link to one of a few empty files. A start looks at nothing else.
fn link_archives(dir: &Path, rows: usize) -> anyhow::Result<()> {
    let episodes = dir.join("episodes");
    for host in 0..HOSTS {
        fs::create_dir_all(episodes.join(format!("lab-{host:03}")))?;
    }
    for number in 0..rows {
        let file = dir.join(format!("file-{}", number / NAMES_PER_FILE));
        if number % NAMES_PER_FILE == 0 {
            File::create(&file)?;
        }
        let host = episodes.join(format!("lab-{:03}", number % HOSTS));
        fs::hard_link(&file, host.join(format!("01A{number:023}.tar.zst")))?;
    }
    Ok(())
}

/// Times starts: of an empty receiver, of one with rows alone, and of one with rows and archives.
pub(crate) fn run(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    let empty = workshop.fresh_dir("start-empty")?;
    let full = workshop.fresh_dir("start-full")?;
    fill(workshop, &full, flags.rows)?;
    let mut out = io::stdout();
    writeln!(out, "\n**From the start of the receiver to its READY**\n")?;
    writeln!(out, "| state | starts | in the middle s | longest s | peak MiB |\n|---|--:|--:|--:|--:|")?;
    let mut time = |what: &str, dir: &Path| -> anyhow::Result<()> {
        let (mut times, mut peaks) = (Vec::new(), Vec::new());
        for _ in 0..flags.rounds {
            workshop.wait_until_quiet();
            let receiver = Receiver::start(workshop, dir, 5)?;
            times.push(receiver.start.as_secs_f64());
            peaks.push(float(machine::peak_kib(receiver.running.pid())) / 1024.0);
        }
        let longest = times.iter().copied().fold(0.0, f64::max);
        writeln!(
            out,
            "| {what} | {} | {:.2} | {longest:.2} | {:.0} |",
            times.len(),
            median(times.clone()),
            median(peaks)
        )?;
        Ok(())
    };
    time("nothing stored", &empty)?;
    time(&format!("{} rows, no archive", flags.rows), &full)?;
    link_archives(&full, flags.rows)?;
    time(&format!("{} rows, each with its archive", flags.rows), &full)
}
