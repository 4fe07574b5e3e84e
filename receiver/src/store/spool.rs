//! The spool: uploads in flight, each a temp file, apart from the stored archives.
//!
//! It lies below the store's root so that publishing is a rename within one file system. Files that a crash leaves in
//! it were never acknowledged, so the next start removes them (invariant I5).

use std::io;
use std::path::{Path, PathBuf};

use cis490_shared::durable::{self, Temp};

use super::layout::{ARCHIVE_MODE, DIRECTORY_MODE};

/// The name of the spool below the store's root.
pub const INCOMING: &str = ".incoming";
/// The suffix of the name of an upload in flight.
pub const PARTIAL_SUFFIX: &str = ".partial";

/// The directory of uploads in flight.
#[derive(Debug, Clone)]
pub struct Spool(PathBuf);

/// The files that [`Spool::sweep`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of files.
    pub files: u64,
    /// The sum of their sizes, in bytes.
    pub bytes: u64,
}

impl Spool {
    /// Opens the spool of the store at `root`; creates it, durably, if it is missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        let dir = root.join(INCOMING);
        durable::create_dir_all(&dir, DIRECTORY_MODE)?;
        Ok(Self(dir))
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Creates a temp file for one upload. It is removed when it is dropped before it got its final name.
    pub fn begin(&self) -> io::Result<Temp> {
        let name = format!("{:032x}{PARTIAL_SUFFIX}", rand::random::<u128>());
        Temp::create(self.0.join(name), ARCHIVE_MODE)
    }

    /// Removes the partial uploads of an earlier run. Must be called before the first upload is taken.
    ///
    /// Removes only regular files with the suffix of an upload, so other files that a person put there stay.
    pub fn sweep(&self) -> io::Result<Swept> {
        let mut swept = Swept::default();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().ends_with(PARTIAL_SUFFIX) {
                continue;
            }
            let found = entry.metadata()?;
            if found.is_file() {
                std::fs::remove_file(entry.path())?;
                swept.files += 1;
                swept.bytes += found.len();
            }
        }
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_uploads_go_and_everything_else_stays() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(root.path()).unwrap();
        std::fs::write(spool.dir().join(format!("1{PARTIAL_SUFFIX}")), "12345").unwrap();
        std::fs::write(spool.dir().join("README"), "by hand").unwrap();
        std::fs::create_dir(root.path().join("h")).unwrap();
        std::fs::write(root.path().join("h/e.tar.zst"), "stored").unwrap();
        assert_eq!(spool.sweep().unwrap(), Swept { files: 1, bytes: 5 });
        assert_eq!(spool.sweep().unwrap(), Swept::default());
        assert!(spool.dir().join("README").is_file() && root.path().join("h/e.tar.zst").is_file());
    }

    #[test]
    fn a_temp_file_has_a_name_that_is_swept_and_goes_with_its_upload() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(root.path()).unwrap();
        let temp = spool.begin().unwrap();
        assert!(temp.path().to_string_lossy().ends_with(PARTIAL_SUFFIX) && temp.path().is_file());
        drop(temp);
        assert_eq!(std::fs::read_dir(spool.dir()).unwrap().count(), 0);
    }
}
