//! Detects that a file has changed, for programs that then read it again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// The state of a file: device, inode, length and time of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFingerprint {
    inode: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl FileFingerprint {
    /// Returns the current state of a file.
    pub fn of(file: &Metadata) -> Self {
        Self {
            inode: (file.dev(), file.ino()),
            length: file.len(),
            // The time of the last change of any kind, which no program can set back.
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Like [`FileFingerprint::of`], for the result of a system call.
    pub fn of_stat(file: &rustix::fs::Stat) -> Self {
        Self {
            inode: (file.st_dev, file.st_ino),
            length: u64::try_from(file.st_size).unwrap_or(0),
            changed: (file.st_ctime, file.st_ctime_nsec.cast_signed()),
        }
    }

    /// Returns the length in bytes.
    pub fn length(self) -> u64 {
        self.length
    }
}
