//! What the file system that holds the store has room for.

use std::io;
use std::path::Path;

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this user may still write.
    pub bytes: u64,
    /// Files that can still be created; none on a file system that does not count them.
    pub files: Option<u64>,
}

/// The room at `path`. Answered from memory by the kernel where the disk is a local one.
pub fn room(path: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = found.f_bavail.saturating_mul(found.f_frsize);
    Ok(Room { bytes, files: (found.f_files > 0).then_some(found.f_favail) })
}
