//! A new name of an archive, which must be durable before the archive's row is.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cis490_shared::durable;

/// The identity of a file or directory, whatever its path: device and inode.
pub type FileId = (u64, u64);

/// A new name whose sync is still due; one sync serves every name of a directory.
#[derive(Debug)]
pub struct Publication {
    path: PathBuf,
    /// The directory as its publisher opened it; `None` if only its path is known.
    dir: Option<(File, FileId)>,
}

impl Publication {
    /// Creates a publication in an open directory, which is synced even if `path` leads elsewhere by then.
    pub fn in_open(dir: File, id: FileId, path: PathBuf) -> Self {
        Self { path, dir: Some((dir, id)) }
    }

    /// Creates a publication in the directory to which `path` leads at the time of the sync.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), dir: None }
    }

    /// Returns the directory. A path may lead to two directories in turn, because a person moved the first away.
    pub fn place(&self) -> (&Path, Option<FileId>) {
        (&self.path, self.dir.as_ref().map(|(_, id)| *id))
    }

    /// Makes every name in the directory durable. Blocks.
    pub fn sync(&self) -> io::Result<()> {
        match &self.dir {
            Some((dir, _)) => durable::sync_open_dir(dir),
            None => durable::sync_dir(&self.path),
        }
    }
}
