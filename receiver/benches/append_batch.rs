//! Appending to the index, by size of the batch: lock, check, write, sync.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may, and its macros document nothing")]

use cis490_receiver::index::log::IndexLog;
use cis490_shared::clock::WallTime;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::row::{IndexRow, SCHEMA_VERSION};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn row(number: u64) -> IndexRow {
    IndexRow {
        backfilled: false,
        commit: Some(CommitHash::parse(&"ab".repeat(20)).unwrap()),
        episode_id: EpisodeId::parse(&format!("01A{number:023}")).unwrap(),
        host_id: HostId::parse("lab-1").unwrap(),
        received_at_wall: WallTime::now(),
        schema_version: SCHEMA_VERSION,
        sha256: Sha256Digest::from_bytes([7; 32]),
        size_bytes: 65_536,
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_batch");
    for size in [1, 8, 64, 512] {
        // The directory for temp files is often in memory, where a sync costs nothing.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut log = IndexLog::open(&dir.path().join("index.jsonl")).unwrap();
        let mut next = 0;
        group.throughput(Throughput::Elements(size));
        group.bench_function(format!("{size} rows"), |bencher| {
            let fresh = || {
                next += size;
                (next - size..next).map(row).collect::<Vec<_>>()
            };
            bencher.iter_batched(fresh, |rows| log.append_batch(&rows).unwrap(), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
