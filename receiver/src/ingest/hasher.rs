//! The hash of an upload, computed where it costs least: in place for a small body, on a separate thread for a large
//! one, so that hashing and writing run at the same time.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use cis490_shared::ids::Sha256Digest;
use sha2::{Digest, Sha256};

/// The length, in bytes, from which a separate thread is worth its start.
const BESIDE_FROM: u64 = 4 << 20;
/// The number of parts that may wait for that thread.
const WAITING_PARTS: usize = 4;

/// See the module's documentation.
#[derive(Debug)]
pub enum Hasher {
    /// On the thread of the caller.
    InPlace(Sha256),
    /// On a thread that ends when the channel of parts closes.
    Beside {
        /// Takes the parts in order.
        parts: SyncSender<Bytes>,
        /// Returns the hash at the end.
        thread: JoinHandle<Sha256>,
    },
}

impl Hasher {
    /// Creates a hasher for a body of this length, in bytes.
    pub fn begin(length: u64) -> io::Result<Self> {
        if length < BESIDE_FROM {
            return Ok(Self::InPlace(Sha256::new()));
        }
        let (parts, waiting) = sync_channel::<Bytes>(WAITING_PARTS);
        let thread = Builder::new().name("hash".to_owned()).spawn(move || {
            let mut hash = Sha256::new();
            for part in waiting {
                hash.update(&part);
            }
            hash
        })?;
        Ok(Self::Beside { parts, thread })
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &Bytes) -> io::Result<()> {
        match self {
            Self::InPlace(hash) => {
                hash.update(bytes);
                Ok(())
            }
            Self::Beside { parts, .. } => parts.send(bytes.clone()).map_err(|_| gone()),
        }
    }

    /// Returns the hash of all bytes.
    pub fn finish(self) -> io::Result<Sha256Digest> {
        let hash = match self {
            Self::InPlace(hash) => hash,
            Self::Beside { parts, thread } => {
                drop(parts);
                thread.join().map_err(|_| gone())?
            }
        };
        Ok(Sha256Digest::from_bytes(hash.finalize().into()))
    }
}

/// Returns the error for a hashing thread that panicked; the panic has been printed.
fn gone() -> io::Error {
    io::Error::other("the hashing thread is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_wherever_it_is_made() {
        let parts = [Bytes::from(vec![1; 70_000]), Bytes::from(vec![2; 3])];
        let hash = |length| {
            let mut hasher = Hasher::begin(length).unwrap();
            for part in &parts {
                hasher.update(part).unwrap();
            }
            (matches!(hasher, Hasher::Beside { .. }), hasher.finish().unwrap())
        };
        let (small, large) = (hash(70_003), hash(BESIDE_FROM));
        assert_eq!((small.0, large.0), (false, true));
        assert_eq!(small.1, large.1);
        assert_eq!(small.1, Sha256Digest::from_bytes(Sha256::digest(parts.concat()).into()));
    }
}
