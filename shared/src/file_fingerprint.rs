//! Whether a file is another than it was, for programs that read theirs again when it changed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFingerprint {
    inode: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl FileFingerprint {
    /// The state that a file is in.
    pub fn of(file: &Metadata) -> Self {
        Self {
            inode: (file.dev(), file.ino()),
            length: file.len(),
            // The time of the last change of any kind, which no program can set back.
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// The same of what a system call says of one.
    pub fn of_stat(file: &rustix::fs::Stat) -> Self {
        Self {
            inode: (file.st_dev, file.st_ino),
            length: u64::try_from(file.st_size).unwrap_or(0),
            changed: (file.st_ctime, file.st_ctime_nsec.cast_signed()),
        }
    }

    /// The length in bytes.
    pub fn length(self) -> u64 {
        self.length
    }
}
