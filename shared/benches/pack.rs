//! Benchmark: packs an episode from the page cache into nothing (reading, tar, zstd and the hash).

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may, and its macros document nothing")]

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use cis490_shared::archive::pack::pack_episode;
use cis490_shared::ids::EpisodeId;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ID: &str = "01JD8Z5V6T7M3K2Q9W8E4R5T6Y";
/// The default level of the shipper.
const LEVEL: i32 = 3;

/// Records an episode: three fifths of telemetry, which compresses well, and two fifths of a capture, which does not.
/// Returns the size of both in bytes.
fn record(dir: &Path, size: usize) -> u64 {
    fs::create_dir(dir).unwrap();
    fs::write(dir.join("meta.json"), format!("{{\"episode_id\":\"{ID}\",\"schema_version\":1}}")).unwrap();
    let mut state = 490_u64;
    let mut random = || {
        // Marsaglia's xorshift (13, 7, 17), whose output no compressor can shrink.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let capture: Vec<u8> = (0..size / 5 * 2 / 8).flat_map(|_| random().to_le_bytes()).collect();
    let mut telemetry = String::new();
    for sample in 0.. {
        if telemetry.len() >= size / 5 * 3 {
            break;
        }
        let noise = random();
        writeln!(
            telemetry,
            "{{\"t_mono_ns\":{},\"pid\":{},\"rss_pages\":{}}}",
            sample * 100_000_000 + noise % 50_000,
            1000 + noise % 7,
            20_000 + noise % 997
        )
        .unwrap();
    }
    fs::write(dir.join("network.pcap"), &capture).unwrap();
    fs::write(dir.join("telemetry-proc.jsonl"), &telemetry).unwrap();
    (capture.len() + telemetry.len()) as u64
}

fn pack(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir().unwrap();
    let id = EpisodeId::parse(ID).unwrap();
    let mut group = criterion.benchmark_group("pack");
    group.sample_size(10);
    for (name, size) in [("100 KiB", 100 << 10), ("20 MiB", 20 << 20)] {
        let dir = scratch.path().join(name);
        group.throughput(Throughput::Bytes(record(&dir, size)));
        group.bench_function(name, |bencher| {
            bencher.iter(|| pack_episode(&dir, &id, io::sink(), LEVEL).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, pack);
criterion_main!(benches);
