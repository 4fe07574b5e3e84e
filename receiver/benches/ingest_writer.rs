//! Hashing and writing one upload, without network and syncs: the cost of each byte on its way to the temp file.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may, and its macros document nothing")]

use std::hint::black_box;

use bytes::Bytes;
use cis490_receiver::ingest::DeclaredUpload;
use cis490_receiver::ingest::writer::EpisodeWriter;
use cis490_receiver::store::spool::Spool;
use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sha2::{Digest, Sha256};

/// The bytes from one read of a socket.
const CHUNK: usize = 64 * 1024;

fn write(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let mut group = criterion.benchmark_group("ingest_writer");
    for size in [64 * 1024, 4 * 1024 * 1024] {
        let body = vec![7_u8; size];
        let declared = DeclaredUpload {
            host_id: HostId::parse("h").unwrap(),
            episode_id: EpisodeId::parse("e").unwrap(),
            sha256: Sha256Digest::from_bytes(Sha256::digest(&body).into()),
            length: size as u64,
            commit: None,
            amnesty: None,
        };
        let parts: Vec<Bytes> = body.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{} KiB", size / 1024), |bencher| {
            bencher.iter(|| {
                let mut writer = EpisodeWriter::begin(&spool, declared.clone()).unwrap();
                for part in &parts {
                    writer.write(black_box(part)).unwrap();
                }
                // Dropping it removes the temp file; the removal is part of the figure.
                writer.seal().unwrap()
            });
        });
        group.bench_function(format!("{} KiB, the hash alone", size / 1024), |bencher| {
            bencher.iter(|| Sha256::digest(black_box(&body)));
        });
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
