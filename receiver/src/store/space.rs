//! The free space of the file system that holds the store.

use std::io;
use std::path::Path;

/// Free space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this user may still write.
    pub bytes: u64,
    /// Files that can still be created; `None` on a file system that does not count them.
    pub files: Option<u64>,
}

/// Returns the free space at `path`. For a local disk the kernel answers from memory.
pub fn room(path: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = found.f_bavail.saturating_mul(found.f_frsize);
    Ok(Room { bytes, files: (found.f_files > 0).then_some(found.f_favail) })
}
