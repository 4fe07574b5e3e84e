//! Reads small files that other programs and users write: whole or not at all, and without waiting for a pipe. Blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::file_fingerprint::FileFingerprint;

/// An open file, so that its state and its bytes belong together.
#[derive(Debug)]
pub struct SmallFile {
    file: File,
    stamp: FileFingerprint,
    limit: u64,
}

impl SmallFile {
    /// Opens a regular file, of which at most `limit` bytes are read. A FIFO in its place is an error and does not
    /// block.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(Self { stamp: FileFingerprint::of(&metadata), file, limit })
    }

    /// Returns the state of the file when it was opened.
    pub fn stamp(&self) -> FileFingerprint {
        self.stamp
    }

    /// Reads all bytes. A file longer than the limit is an error of the kind `FileTooLarge`, because a part of a list
    /// could be the wrong part.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&self.file).take(self.limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.limit {
            let reason = format!("it has more than {} bytes", self.limit);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        Ok(bytes)
    }

    /// Reads all bytes as text, which must be UTF-8.
    pub fn text(&self) -> io::Result<String> {
        String::from_utf8(self.bytes()?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Reads the whole text of a file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    SmallFile::open(path, limit)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert_eq!(read_text(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_pipe_in_its_place_is_an_error_and_waits_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(read_text(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_text(dir.path(), 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_text(&dir.path().join("gone"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
