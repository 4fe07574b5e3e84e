//! meta.json in a tar.zst. The input is the archive, or after a `T` the tar in it. The checksums of the tar are
//! corrected first, because they would reject almost every change.
//!
//! The result is a part of the tar, it does not depend on the pieces in which a source is read, and an error is a line.
#![no_main]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use cis490_shared::archive::read::{ReadError, ReadLimits, read_meta};
use cis490_shared::meta::EpisodeMeta;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, ReadBuf};

const BLOCK: usize = 512;

fuzz_target!(|input: &[u8]| {
    let limits = ReadLimits {
        max_entries: 50,
        max_decompressed_bytes: 1 << 20,
        max_meta_bytes: 1 << 14,
        ..ReadLimits::default()
    };
    match input.split_first() {
        Some((b'T', tar)) => {
            let tar = with_checksums(tar);
            let archive = zstd::encode_all(&*tar, 1).expect("memory can be written");
            if let Some(meta) = read(&archive, &limits) {
                assert!(tar.windows(meta.len().max(1)).any(|window| window.starts_with(&meta)));
            }
        }
        _ => drop(read(input, &limits)),
    }
});

/// Reads an archive in one piece and in many, which must give the same result.
fn read(archive: &[u8], limits: &ReadLimits) -> Option<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let whole = runtime.block_on(read_meta(archive, limits, || Duration::ZERO));
    let pieces = runtime.block_on(read_meta(Pieces(archive), limits, || Duration::ZERO));
    // The error for a damaged archive may depend on the pieces.
    if let (Ok(whole), Ok(pieces)) = (&whole, &pieces) {
        assert_eq!(whole, pieces);
    }
    match whole {
        Ok(meta) => {
            assert!(meta.len() as u64 <= limits.max_meta_bytes);
            if let Ok(parsed) = EpisodeMeta::parse(&meta) {
                assert!(!parsed.episode_id.as_str().contains(['/', '.', '\0']));
            }
            Some(meta)
        }
        Err(error) => {
            assert!(!matches!(error, ReadError::Source(_)), "memory can be read");
            let told = error.to_string();
            assert!(told.len() < 4000 && !told.contains(char::is_control), "{told:?}");
            None
        }
    }
}

/// A source that returns a few bytes at a time.
struct Pieces<'a>(&'a [u8]);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(7).min(into.remaining()));
        into.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

/// Corrects the checksums of all blocks that a reader takes for headers.
fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = str::from_utf8(&header[124..135])
            .ok()
            .and_then(|text| usize::from_str_radix(text.trim(), 8).ok());
        at += BLOCK + size.unwrap_or(0).min(1 << 20).next_multiple_of(BLOCK);
    }
    tar
}
