//! A small but real recorder: it samples /proc ten times a second while a workload goes through labelled phases.
//!
//! The episode has the form of protocol section 3.3. `done.marker` is written last, as the shipper expects.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use cis490_shared::clock::WallTime;
use cis490_shared::ids::EpisodeId;
use serde_json::json;
use sha2::{Digest, Sha256};

/// The interval between samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// The phases of the workload, all of the same length.
const PHASES: [&str; 3] = ["idle", "hash", "idle"];

/// The settings of a recording.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recording<'a> {
    /// The shipper's data_root.
    pub(crate) data_root: &'a Path,
    /// The lab host.
    pub(crate) host_id: &'a str,
    /// The commit of the recording code.
    pub(crate) commit: &'a str,
    /// How long each phase of the workload takes.
    pub(crate) phase: Duration,
}

/// Records one episode of this process and its children, and returns its id.
pub(crate) fn record(recording: Recording<'_>) -> anyhow::Result<EpisodeId> {
    let id = EpisodeId::parse(&ulid::Ulid::generate().to_string())?;
    let dir = recording.data_root.join("episodes").join(id.as_str());
    fs::create_dir_all(&dir)?;
    let meta = json!({
        "schema_version": 1, "episode_id": id, "host_id": recording.host_id,
        "started_at_wall": WallTime::now(), "profile": "demo",
        "code_version": {"commit": recording.commit, "dirty": false},
    });
    fs::write(dir.join("meta.json"), serde_json::to_vec_pretty(&meta)?)?;
    let mut events = BufWriter::new(fs::File::create(dir.join("events.jsonl"))?);
    let mut labels = BufWriter::new(fs::File::create(dir.join("labels.jsonl"))?);
    let mut telemetry = BufWriter::new(fs::File::create(dir.join("telemetry-proc.jsonl"))?);
    let began = Instant::now();
    for phase in PHASES {
        let from_ms = began.elapsed().as_millis();
        writeln!(events, "{}", json!({"t_ms": from_ms, "kind": "phase", "name": phase}))?;
        run_phase(phase, recording.phase, || sample(&mut telemetry, began))?;
        let to_ms = began.elapsed().as_millis();
        writeln!(labels, "{}", json!({"from_ms": from_ms, "to_ms": to_ms, "label": phase}))?;
    }
    writeln!(events, "{}", json!({"t_ms": began.elapsed().as_millis(), "kind": "stop"}))?;
    for file in [&mut events, &mut labels, &mut telemetry] {
        file.flush()?;
    }
    fs::write(dir.join("done.marker"), "")?;
    Ok(id)
}

/// Runs a phase of the workload and samples until it ends.
#[expect(clippy::disallowed_methods, reason = "a recorder samples by the clock")]
fn run_phase(phase: &str, length: Duration, mut sample: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let until = Instant::now() + length;
    thread::scope(|scope| {
        if phase == "hash" {
            scope.spawn(|| hash_until(until));
        }
        while Instant::now() < until {
            sample()?;
            thread::sleep(SAMPLE_EVERY.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    })
}

fn hash_until(until: Instant) {
    let mut digest = Sha256::digest([0; 32]);
    while Instant::now() < until {
        digest = Sha256::digest([digest; 64].concat());
    }
}

/// Writes one row for this process and for each of its descendants.
fn sample(out: &mut impl Write, began: Instant) -> io::Result<()> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut stats: Vec<Stat> = pids.filter_map(Stat::read).collect();
    // A child has a higher number than its parent (until numbers wrap around), so one walk finds the tree.
    stats.sort_by_key(|stat| stat.pid);
    let mut tree = Vec::new();
    for stat in stats {
        if stat.pid != process::id() && !tree.contains(&stat.parent) {
            continue;
        }
        tree.push(stat.pid);
        let row = json!({
            "t_mono_ns": began.elapsed().as_nanos(), "source": "proc", "pid": stat.pid,
            "utime": stat.utime, "stime": stat.stime, "nthreads": stat.threads, "rss_pages": stat.rss_pages,
        });
        writeln!(out, "{row}")?;
    }
    Ok(())
}

/// A few fields of /proc/PID/stat (proc(5)).
#[derive(Debug)]
struct Stat {
    pid: u32,
    parent: u32,
    utime: u64,
    stime: u64,
    threads: u64,
    rss_pages: u64,
}

impl Stat {
    /// Reads the fields of a process; `None` if it has ended.
    fn read(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, text: &str) -> Option<Self> {
        // The program's name is in parentheses and may hold any text, so fields are counted after it.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: u32::try_from(number(1)?).ok()?,
            utime: number(11)?,
            stime: number(12)?,
            threads: number(17)?,
            rss_pages: number(21)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_a_name_that_holds_anything() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 11 12 0 0 20 0 3 0 100 1000 55 0";
        let stat = Stat::parse(42, text).unwrap();
        assert_eq!((stat.parent, stat.utime, stat.stime), (7, 11, 12));
        assert_eq!((stat.threads, stat.rss_pages), (3, 55));
    }

    #[test]
    fn an_episode_has_samples_of_every_phase_and_ends_with_its_marker() {
        let dir = tempfile::tempdir().unwrap();
        let commit = "ab".repeat(20);
        let recording = Recording {
            data_root: dir.path(),
            host_id: "lab-1",
            commit: &commit,
            phase: Duration::from_millis(20),
        };
        let id = record(recording).unwrap();
        let read = |name: &str| {
            fs::read_to_string(dir.path().join("episodes").join(id.as_str()).join(name)).unwrap()
        };
        assert_eq!(read("labels.jsonl").lines().count(), PHASES.len());
        assert!(read("telemetry-proc.jsonl").lines().count() >= PHASES.len());
        assert!(read("telemetry-proc.jsonl").contains(&format!("\"pid\":{}", process::id())));
        assert!(read("meta.json").contains(&commit) && read("done.marker").is_empty());
    }
}
