//! Benchmark: writes one row of the index as a line, and reads its pair from the line.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may, and its macros document nothing")]

use std::hint::black_box;

use cis490_shared::clock::WallTime;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::row::{IndexRow, SCHEMA_VERSION, read_key};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn rows(criterion: &mut Criterion) {
    let row = IndexRow {
        backfilled: false,
        commit: Some(CommitHash::parse(&"ab".repeat(20)).unwrap()),
        episode_id: EpisodeId::parse("01JD8Z5V6T7M3K2Q9W8E4R5T6Y").unwrap(),
        host_id: HostId::parse("lab-1").unwrap(),
        received_at_wall: WallTime::now(),
        schema_version: SCHEMA_VERSION,
        sha256: Sha256Digest::from_bytes([7; 32]),
        size_bytes: 65_536,
    };
    let line = row.to_line().unwrap();
    let mut group = criterion.benchmark_group("row");
    group.throughput(Throughput::Elements(1));
    group.bench_function("to_line", |bencher| bencher.iter(|| black_box(&row).to_line().unwrap()));
    group.bench_function("read_key", |bencher| bencher.iter(|| read_key(black_box(&line)).unwrap()));
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
