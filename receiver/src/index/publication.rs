//! A name that was given to an archive, and has to be durable before the archive's row is.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cis490_shared::durable;

/// What tells one file or directory from another, whatever its path: device and inode.
pub type FileId = (u64, u64);

/// A name that was given and whose sync is still due: one sync serves every name of a directory.
#[derive(Debug)]
pub struct Publication {
    path: PathBuf,
    /// The directory as its publisher opened it; none where it is known by its path alone.
    dir: Option<(File, FileId)>,
}

impl Publication {
    /// A name in a directory that is open: what is synced is that one, whatever `path` leads to by then.
    pub fn in_open(dir: File, id: FileId, path: PathBuf) -> Self {
        Self { path, dir: Some((dir, id)) }
    }

    /// A name in the directory that `path` leads to when it is synced.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), dir: None }
    }

    /// The directory. Two directories may have had one path: a person moved the first away.
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
