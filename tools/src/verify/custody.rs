//! The owners of the index and its lock: both must belong to the owner of their directory, who must be able to write.
//!
//! Incident 1 began with an index that belonged to root. The group is not checked, because it gives readers access.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cis490_shared::durable;

/// The lock is beside the index (protocol section 3.1).
const LOCK_NAME: &str = "index.lock";

/// Read and write for the owner.
const OWNER_MAY: u32 = 0o600;
/// Write for anyone else.
const OTHERS_MAY_NOT: u32 = 0o022;

/// A file that the receiver must be able to use, and its directory, whose owner is the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custody {
    /// The file.
    pub path: PathBuf,
    /// Its owner and permission bits.
    pub file: Holder,
    /// The owner and permission bits of its directory.
    pub dir: Holder,
}

/// An owner and permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The owner.
    pub uid: u32,
    /// The permission bits.
    pub mode: u32,
}

impl From<&Metadata> for Holder {
    fn from(found: &Metadata) -> Self {
        Self { uid: found.uid(), mode: found.mode() & 0o7777 }
    }
}

impl Custody {
    /// Returns true if the owner of the directory does not own the file.
    pub const fn is_foreign(&self) -> bool {
        self.file.uid != self.dir.uid
    }

    /// Returns true if its owner cannot read and write it, or others can write it.
    pub const fn is_open_or_shut(&self) -> bool {
        self.file.mode & OWNER_MAY != OWNER_MAY || self.file.mode & OTHERS_MAY_NOT != 0
    }
}

/// Reads owners and modes of the index and its lock; a missing file is left out. Blocks.
pub fn inspect(index: &Path) -> io::Result<Vec<Custody>> {
    let dir = match fs::metadata(durable::parent(index)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => Holder::from(&other?),
    };
    let mut found = Vec::new();
    for path in [index.to_owned(), index.with_file_name(LOCK_NAME)] {
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => found.push(Custody { file: Holder::from(&other?), path, dir }),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custody(uid: u32, mode: u32) -> Custody {
        Custody {
            path: "index.jsonl".into(),
            file: Holder { uid, mode },
            dir: Holder { uid: 998, mode: 0o750 },
        }
    }

    #[test]
    fn the_index_belongs_to_the_owner_of_its_directory() {
        assert!(!custody(998, 0o640).is_foreign());
        assert!(custody(0, 0o640).is_foreign(), "incident 1");
    }

    #[test]
    fn its_owner_alone_may_write_it() {
        for mode in [0o640, 0o600, 0o644, 0o604] {
            assert!(!custody(998, mode).is_open_or_shut(), "{mode:o}");
        }
        for mode in [0o440, 0o444, 0o200, 0o660, 0o646, 0o666, 0o000] {
            assert!(custody(998, mode).is_open_or_shut(), "{mode:o}");
        }
    }

    #[test]
    fn what_is_missing_is_in_nobodys_custody() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index.jsonl");
        assert_eq!(inspect(&index).unwrap(), []);
        assert_eq!(inspect(&dir.path().join("gone/index.jsonl")).unwrap(), []);
        fs::write(dir.path().join("index.lock"), "").unwrap();
        assert_eq!(inspect(&index).unwrap().len(), 1);
    }
}
