//! What is stored under a name.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use cis490_shared::ids::Sha256Digest;
use sha2::{Digest, Sha256};

/// How much of a file is read at a time, in bytes.
const READ_BUFFER: usize = 128 * 1024;

/// Size and hash of a stored archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// In bytes.
    pub size_bytes: u64,
    /// Of all bytes.
    pub sha256: Sha256Digest,
}

/// The size of the archive at `path`; none where there is no file.
pub fn size_of(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads and hashes the archive at `path`; none where there is no file.
pub fn hash_of(path: &Path) -> io::Result<Option<Stored>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let (mut hasher, mut buffer, mut size_bytes) = (Sha256::new(), vec![0; READ_BUFFER], 0);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            let sha256 = Sha256Digest::from_bytes(hasher.finalize().into());
            return Ok(Some(Stored { size_bytes, sha256 }));
        }
        hasher.update(&buffer[..length]);
        size_bytes += length as u64;
    }
}
