//! Reads the files to be packed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::PackError;

/// A reader that stops between two reads if the packing is stopped.
pub(super) struct Source<'a> {
    pub(super) buffer: &'a mut [u8],
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

impl Source<'_> {
    /// Returns at least one byte from the start of `range`. A file that ends before `range` has changed, which is an
    /// error.
    pub(super) fn read_at(
        &mut self,
        file: &File,
        path: &Path,
        range: Range<u64>,
    ) -> Result<&[u8], PackError> {
        match self.read(file, path, range)? {
            [] => Err(PackError::Changed { path: path.to_owned() }),
            read => Ok(read),
        }
    }

    /// Returns true if the file ends at `at`.
    pub(super) fn is_end(&mut self, file: &File, path: &Path, at: u64) -> Result<bool, PackError> {
        Ok(self.read(file, path, at..at + 1)?.is_empty())
    }

    /// Returns true if all bytes of `range` are zero. Stops reading at the first that is not.
    pub(super) fn is_zero(&mut self, file: &File, path: &Path, range: Range<u64>) -> Result<bool, PackError> {
        let mut at = range.start;
        while at < range.end {
            let read = self.read_at(file, path, at..range.end)?;
            if read.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += read.len() as u64;
        }
        Ok(true)
    }

    fn read(&mut self, file: &File, path: &Path, range: Range<u64>) -> Result<&[u8], PackError> {
        if (self.is_stopped)() {
            return Err(PackError::Stopped);
        }
        let wanted = self.buffer.len().min(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
        loop {
            match file.read_at(&mut self.buffer[..wanted], range.start) {
                Ok(read) => return Ok(&self.buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(PackError::Read { path: path.to_owned(), source }),
            }
        }
    }
}
