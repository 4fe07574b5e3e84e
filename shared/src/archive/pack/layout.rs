//! Finds the parts of a file that are not zeros, and describes them in the header of a sparse tar member.
//!
//! A disk image or a memory dump can consist mostly of zeros. Leaving them out saves compressing them here, and writing
//! them when the archive is unpacked. Two copies of a file can differ in which zeros the file system stores as holes.
//! So the layout depends on the content alone, and the same episode packs to the same bytes. A hole only saves reading.
//!
//! The format is the sparse member of GNU tar (type `S`, "Storing Sparse Files" in its manual). GNU tar, bsdtar and
//! Python's tarfile unpack it to a file with holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::PackError;
use super::source::Source;

/// A file becomes a sparse member if its blocks of zeros add up to this many bytes. Fewer zeros do not justify a member
/// type that some tar readers lack. Part of the format, like the two constants below.
const WORTHWHILE_BYTES: u64 = 1 << 20;
/// Size in bytes of a block of zeros that can be left out: the cluster size of a QEMU image.
const BLOCK_BYTES: u64 = 64 << 10;
/// Maximum number of blocks of a file, so that its layout fits into half a megabyte. Larger files have larger blocks.
const MAX_BLOCKS: u64 = 1 << 16;
/// Number of bytes of a block that are read first. Nearly every block of data has a non-zero byte there.
const SAMPLE_BYTES: u64 = 4096;

/// The parts of a file that the archive stores.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    length: u64,
    /// Ascending and not adjacent; the length of each except the last is a multiple of the block size.
    parts: Vec<Range<u64>>,
}

impl Layout {
    /// Finds the layout of a file, and reads only as much as necessary. Blocks.
    pub(super) fn of(
        file: &File,
        path: &Path,
        length: u64,
        source: &mut Source<'_>,
    ) -> Result<Self, PackError> {
        let whole = Self { length, parts: Vec::from_iter((length > 0).then_some(0..length)) };
        if length < WORTHWHILE_BYTES {
            return Ok(whole);
        }
        let found = Self { length, parts: parts_of(file, path, length, source)? };
        Ok(if length - found.stored_bytes() < WORTHWHILE_BYTES { whole } else { found })
    }

    pub(super) fn parts(&self) -> &[Range<u64>] {
        &self.parts
    }

    /// Returns the number of bytes of the file that the archive stores.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }

    /// Writes the layout into the member's header, and returns the extension headers that must follow it.
    pub(super) fn describe(&self, header: &mut Header) -> Vec<GnuExtSparseHeader> {
        let Some(gnu) = header.as_gnu_mut().filter(|_| self.stored_bytes() < self.length) else {
            return Vec::new();
        };
        gnu.typeflag = [EntryType::GNUSparse.as_byte()];
        gnu.set_real_size(self.length);
        // An empty part at the end of the file describes a hole there.
        let end = self.parts.last().map_or(0, |part| part.end);
        let mut parts =
            self.parts.iter().cloned().chain((end < self.length).then_some(self.length..self.length));
        fill(&mut gnu.sparse, &mut parts);
        let mut parts = parts.peekable();
        gnu.set_is_extended(parts.peek().is_some());
        let mut more = Vec::new();
        while parts.peek().is_some() {
            let mut block = GnuExtSparseHeader::new();
            fill(&mut block.sparse, &mut parts);
            block.set_is_extended(parts.peek().is_some());
            more.push(block);
        }
        more
    }
}

fn fill(entries: &mut [GnuSparseHeader], parts: &mut impl Iterator<Item = Range<u64>>) {
    for (entry, part) in entries.iter_mut().zip(parts) {
        entry.set_offset(part.start);
        entry.set_length(part.end - part.start);
    }
}

fn parts_of(
    file: &File,
    path: &Path,
    length: u64,
    source: &mut Source<'_>,
) -> Result<Vec<Range<u64>>, PackError> {
    let block = length.div_ceil(MAX_BLOCKS).next_power_of_two().max(BLOCK_BYTES);
    let (mut parts, mut at) = (Vec::<Range<u64>>::new(), 0);
    while at < length {
        let end = length.min(at + block);
        if source.is_zero(file, path, at..end.min(at + SAMPLE_BYTES))? {
            let data = next_data(file, at)
                .map_err(|source| PackError::Read { path: path.to_owned(), source })?
                .filter(|data| *data < length);
            let hole_end = data.map_or(length, |data| data - data % block);
            if hole_end > at {
                at = hole_end;
                continue;
            }
            if source.is_zero(file, path, at..end)? {
                at = end;
                continue;
            }
        }
        match parts.last_mut().filter(|last| last.end == at) {
            Some(last) => last.end = end,
            None => parts.push(at..end),
        }
        at = end;
    }
    Ok(parts)
}

/// Returns the first offset from `at` on that is not in a hole; `None` if the rest of the file is a hole. Returns `at`
/// on a file system without holes.
fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        // The file system does not support the call.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(at)),
        Err(error) => Err(error.into()),
    }
}
