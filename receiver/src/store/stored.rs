//! Size and hash of stored archives.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};
use sha2::{Digest, Sha256};

use super::host_dir::HostDir;
use super::layout::Store;

/// The bytes of a file that are read at a time.
const READ_BUFFER: usize = 128 * 1024;

/// Size and hash of a stored archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// In bytes.
    pub size_bytes: u64,
    /// Of all bytes.
    pub sha256: Sha256Digest,
}

/// Returns the size of an archive; `None` if there is no file.
pub fn size_of(store: &Store, host: &HostId, episode: &EpisodeId) -> io::Result<Option<u64>> {
    store.open_host(host)?.map_or(Ok(None), |dir| dir.size_of(episode))
}

/// Reads and hashes an archive; returns `None` if there is no file.
pub fn hash_of(store: &Store, host: &HostId, episode: &EpisodeId) -> io::Result<Option<Stored>> {
    store.open_host(host)?.map_or(Ok(None), |dir| hash_in(&dir, episode))
}

/// Reads and hashes an archive in an open directory; returns `None` if there is no file.
pub fn hash_in(dir: &HostDir, episode: &EpisodeId) -> io::Result<Option<Stored>> {
    let Some(mut file) = dir.archive(episode)? else { return Ok(None) };
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

/// Returns true if a file cannot be an archive. It is empty, or begins with zeros, as if a crash had left its blocks
/// unwritten. The first four bytes of an archive are its magic number (RFC 8878, section 3.1.1).
pub fn is_void(file: &File) -> io::Result<bool> {
    let mut magic = [0; 4];
    let read = file.read_at(&mut magic, 0)?;
    Ok(magic[..read].iter().all(|byte| *byte == 0))
}
