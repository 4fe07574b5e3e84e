//! Bodies that no compressor shortens and that all differ, without copying a byte per upload.

use std::cell::Cell;

use cis490_shared::ids::Sha256Digest;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// Large enough that neighbouring bodies share little of a processor's cache, and small beside a body of 256 MiB.
const POOL_BYTES: usize = 24 * 1024 * 1024;
/// The part of a body that no other body has.
const STAMP_BYTES: usize = 64;
/// Bytes that are handed to the socket at once; more only moves the loop into the kernel.
const PIECE_BYTES: usize = 512 * 1024;

/// The random bytes that all bodies of a run are cut from.
pub(crate) struct Pool {
    bytes: Vec<u8>,
}

impl Pool {
    /// Returns the pool of a seed. The same seed gives the same bytes.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut bytes = vec![0; POOL_BYTES];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        Self { bytes }
    }
}

/// A body: its own stamp, then the pool from some position on, again and again.
pub(crate) struct Body {
    stamp: [u8; STAMP_BYTES],
    start: usize,
    size: usize,
}

impl Body {
    /// Returns a body that `random` has not made before.
    pub(crate) fn new(random: &mut StdRng, size: usize) -> Self {
        let mut stamp = [0; STAMP_BYTES];
        random.fill_bytes(&mut stamp);
        Self { stamp, start: random.random_range(0..POOL_BYTES), size }
    }

    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the bytes in order.
    pub(crate) fn pieces<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = &'a [u8]> {
        let stamp = &self.stamp[..STAMP_BYTES.min(self.size)];
        let (left, place) = (Cell::new(self.size - stamp.len()), Cell::new(self.start));
        let rest = std::iter::from_fn(move || {
            let tail = &pool.bytes[place.get()..];
            let piece = &tail[..tail.len().min(left.get()).min(PIECE_BYTES)];
            left.set(left.get() - piece.len());
            place.set((place.get() + piece.len()) % POOL_BYTES);
            (!piece.is_empty()).then_some(piece)
        });
        std::iter::once(stamp).chain(rest)
    }

    /// Returns the hash of the bytes.
    pub(crate) fn sha256(&self, pool: &Pool) -> Sha256Digest {
        let mut hasher = Sha256::new();
        self.pieces(pool).for_each(|piece| hasher.update(piece));
        Sha256Digest::from_bytes(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_size_and_no_two_are_alike() {
        let pool = Pool::from_seed(1);
        let mut random = StdRng::seed_from_u64(2);
        let mut hashes = Vec::new();
        for size in [0, 1, STAMP_BYTES, 65_536, POOL_BYTES + 1_000_000] {
            let body = Body::new(&mut random, size);
            assert_eq!(body.pieces(&pool).map(<[u8]>::len).sum::<usize>(), size);
            hashes.push(body.sha256(&pool));
        }
        let twin = Body::new(&mut random, 65_536);
        assert!(!hashes.contains(&twin.sha256(&pool)));
    }
}
