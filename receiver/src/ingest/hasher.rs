//! The hash of an upload, made where it costs least: in place for a small body, on a thread of its own for a large
//! one, so that hashing and writing go on at the same time.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use cis490_shared::ids::Sha256Digest;
use sha2::{Digest, Sha256};

/// From this length on, in bytes, a thread of its own is worth what it costs to start.
const BESIDE_FROM: u64 = 4 << 20;
/// Parts that may wait for that thread.
const WAITING_PARTS: usize = 4;

/// See the module's documentation.
#[derive(Debug)]
pub enum Hasher {
    /// On the thread of the caller.
    InPlace(Sha256),
    /// On a thread that ends when no more parts can come.
    Beside {
        /// Takes the parts in their order.
        parts: SyncSender<Bytes>,
        /// Gives the hash at the end.
        thread: JoinHandle<Sha256>,
    },
}

impl Hasher {
    /// For a body of so many bytes.
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

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &Bytes) -> io::Result<()> {
        match self {
            Self::InPlace(hash) => {
                hash.update(bytes);
                Ok(())
            }
            Self::Beside { parts, .. } => parts.send(bytes.clone()).map_err(|_| gone()),
        }
    }

    /// The hash of all bytes.
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

/// Said where the thread has panicked, which has been printed.
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
