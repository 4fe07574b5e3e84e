//! Episode directories as a recorder leaves them: telemetry that compresses well, a capture that does not.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::json;

/// The sizes of an episode's parts, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    /// network.pcap
    pub(crate) capture: usize,
    /// telemetry-proc.jsonl
    pub(crate) telemetry: usize,
}

/// An episode of 200 MiB, two fifths of which are a capture.
pub(crate) const LARGE: Recorded = Recorded { capture: 80 << 20, telemetry: 120 << 20 };
/// An episode of about 60 KiB when packed.
pub(crate) const SMALL: Recorded = Recorded { capture: 52 << 10, telemetry: 64 << 10 };

/// Returns the id of the episode with this number.
pub(crate) fn id(number: usize) -> String {
    format!("01E{number:023}")
}

/// Records the episode `number` into `episodes`; the same number always gives the same bytes.
pub(crate) fn record(episodes: &Path, number: usize, commit: &str, sizes: Recorded) -> anyhow::Result<()> {
    let id = id(number);
    let dir = episodes.join(&id);
    fs::create_dir_all(&dir)?;
    let meta =
        json!({"schema_version": 1, "episode_id": id, "code_version": {"commit": commit, "dirty": false}});
    fs::write(dir.join("meta.json"), meta.to_string())?;
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut capture = vec![0; sizes.capture];
    random.fill_bytes(&mut capture);
    fs::write(dir.join("network.pcap"), capture)?;
    let mut telemetry = BufWriter::new(File::create(dir.join("telemetry-proc.jsonl"))?);
    let (mut written, mut sample) = (0, 0_u64);
    while written < sizes.telemetry {
        // Counters that grow and values that jitter, as in samples of /proc.
        let noise = random.next_u32();
        let row = format!(
            "{{\"t_mono_ns\":{},\"source\":\"proc\",\"pid\":{},\"utime\":{},\"rss_pages\":{}}}\n",
            sample * 100_000_000 + u64::from(noise % 50_000),
            1000 + noise % 7,
            sample / 3,
            20_000 + noise % 997
        );
        telemetry.write_all(row.as_bytes())?;
        written += row.len();
        sample += 1;
    }
    telemetry.flush()?;
    Ok(fs::write(dir.join("done.marker"), "")?)
}
