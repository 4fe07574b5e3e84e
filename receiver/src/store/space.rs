//! Free bytes of the file system that holds the store.

use std::io;
use std::path::Path;

/// Bytes that this user may still write at `path`. Answered from memory by the kernel: it waits for no disk.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
