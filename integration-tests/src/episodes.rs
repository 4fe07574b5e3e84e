//! Finished recordings like those on a lab host: of any size, and with the same bytes for the same seed.
//!
//! About two thirds are rows of counters, which compress well; the capture hardly compresses at all. The values in the
//! rows are made up, because receiver and shipper never look at them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use cis490_shared::ids::{CommitHash, EpisodeId};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::json;

/// The properties of an episode.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The seed of the id and of every byte.
    pub seed: u64,
    /// The commit in meta.json; `None` for an episode as before the gate existed.
    pub commit: Option<CommitHash>,
    /// The size of all members together in bytes, within a percent.
    pub bytes: u64,
    /// The share of the capture in the size, in percent.
    pub capture_percent: u64,
}

impl Recording {
    /// Describes an episode of `bytes` bytes, a third of which is capture.
    pub fn new(seed: u64, commit: &CommitHash, bytes: u64) -> Self {
        Self { seed, commit: Some(commit.clone()), bytes, capture_percent: 33 }
    }

    /// Returns the id, a ULID: 10 characters of time, which grow with the seed, then 16 that depend on it alone.
    pub fn id(&self) -> EpisodeId {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let minutes = u128::from(self.seed) * 60_000;
        let value = ((START_MS + minutes) << 80) | StdRng::seed_from_u64(self.seed).random::<u128>() >> 48;
        let digit = |n: u32| char::from(ALPHABET[(value >> (5 * n) & 31) as usize]);
        let text: String = (0..26).rev().map(digit).collect();
        EpisodeId::parse(&text).expect("the alphabet is that of an id")
    }

    /// Records the episode below `episodes` and returns its directory. Writes `done.marker` last.
    pub fn write_to(&self, episodes: &Path) -> PathBuf {
        let dir = episodes.join(self.id().as_str());
        fs::create_dir_all(&dir).expect("a directory for the episode");
        self.write_members(&dir).unwrap_or_else(|error| panic!("cannot record `{}`: {error}", dir.display()));
        dir
    }

    fn write_members(&self, dir: &Path) -> io::Result<()> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let capture = self.bytes / 100 * self.capture_percent;
        let rows = self.bytes - capture;
        fs::write(dir.join("meta.json"), self.meta())?;
        write_rows(&dir.join("events.jsonl"), 1_000, &EVENT, &mut rng)?;
        write_rows(&dir.join("labels.jsonl"), 500, &LABEL, &mut rng)?;
        write_rows(&dir.join("telemetry-proc.jsonl"), rows / 10 * 6, &PROC, &mut rng)?;
        write_rows(&dir.join("telemetry-guest.jsonl"), rows / 10 * 2, &GUEST, &mut rng)?;
        write_rows(&dir.join("netflow.jsonl"), rows / 10 * 2, &FLOW, &mut rng)?;
        write_capture(&dir.join("network.pcap"), capture, &mut rng)?;
        fs::write(dir.join("done.marker"), "")
    }

    fn meta(&self) -> String {
        let mut meta = json!({
            "episode_id": self.id(), "schema_version": 1, "profile": "integration-test",
            "vm": {"vcpus": 2, "mem_mib": 2048},
        });
        if let Some(commit) = &self.commit {
            meta["code_version"] = json!({"commit": commit, "dirty": false});
        }
        format!("{meta:#}\n")
    }
}

/// The time of the first episode in milliseconds since 1970.
const START_MS: u128 = 1_760_000_000_000;

/// A kind of row: its name and its counters.
struct Rows {
    kind: &'static str,
    counters: &'static [&'static str],
}

const EVENT: Rows = Rows { kind: "event", counters: &["phase", "input"] };
const LABEL: Rows = Rows { kind: "label", counters: &["from_ms", "to_ms"] };
const PROC: Rows = Rows {
    kind: "proc",
    counters: &[
        "utime", "stime", "rss_kb", "minflt", "vctxt", "rchar", "wchar", "syscr", "syscw", "fd_count",
    ],
};
const GUEST: Rows =
    Rows { kind: "guest", counters: &["ctxt", "intr", "softirq", "rx_bytes", "tx_bytes", "disk_rd"] };
const FLOW: Rows = Rows { kind: "flow", counters: &["sport", "dport", "packets", "bytes"] };

/// Writes rows of counters that sometimes stand still, until they have `bytes` bytes.
fn write_rows(path: &Path, bytes: u64, rows: &Rows, rng: &mut StdRng) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state: Vec<u64> = rows.counters.iter().map(|_| u64::from(rng.next_u32() >> 10)).collect();
    let (mut written, mut row) = (0, Vec::with_capacity(512));
    let mut time_ns: u64 = 0;
    while written < bytes {
        let mut dice = rng.next_u64();
        time_ns += 100_000_000 + (dice & 0xffff);
        row.clear();
        write!(row, "{{\"t_mono_ns\":{time_ns},\"source\":\"{}\"", rows.kind)?;
        for (name, value) in rows.counters.iter().zip(&mut state) {
            *value += (dice & 0x3f).saturating_sub(40);
            dice >>= 6;
            write!(row, ",\"{name}\":{value}")?;
        }
        row.extend_from_slice(b"}\n");
        file.write_all(&row)?;
        written += row.len() as u64;
    }
    file.flush()
}

/// Writes a capture of packets with random content: the classic format, Ethernet, at most `bytes` long.
fn write_capture(path: &Path, bytes: u64, rng: &mut StdRng) -> io::Result<()> {
    const FILE_HEADER: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1];
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    file.write_all(&words(&FILE_HEADER))?;
    let (mut left, mut seconds) = (bytes.saturating_sub(24), 1_760_000_000);
    let mut packet = [0; 9000];
    while left > 16 {
        let length = u32::try_from(left - 16).unwrap_or(u32::MAX).min(60 + rng.next_u32() % 8940);
        seconds += 1;
        file.write_all(&words(&[seconds, 0, length, length]))?;
        let content = &mut packet[..length as usize];
        rng.fill_bytes(content);
        file.write_all(content)?;
        left -= 16 + u64::from(length);
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> CommitHash {
        CommitHash::parse(&"5e".repeat(20)).unwrap()
    }

    fn members(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut members: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(Result::unwrap)
            .map(|entry| (name(&entry), fs::read(entry.path()).unwrap()))
            .collect();
        members.sort();
        members
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let one = members(&Recording::new(1, &commit(), 100_000).write_to(&a));
        assert_eq!(one, members(&Recording::new(1, &commit(), 100_000).write_to(&b)));
        let two = members(&Recording::new(2, &commit(), 100_000).write_to(&a));
        assert!(
            one.iter().zip(&two).all(|(one, two)| one.0 == two.0 && (one.1 != two.1 || one.1.is_empty()))
        );
    }

    #[test]
    fn the_size_is_met_within_a_percent() {
        let dir = tempfile::tempdir().unwrap();
        let asked = 3_000_000;
        let members = members(&Recording::new(7, &commit(), asked).write_to(dir.path()));
        let size: usize = members.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(size.abs_diff(3_000_000) < 30_000, "{size}");
    }

    #[test]
    fn ids_sort_by_their_seed() {
        let id = |seed| Recording::new(seed, &commit(), 0).id();
        assert!(id(1) < id(2) && id(2) < id(1_000) && id(1).as_str().len() == 26);
    }
}
