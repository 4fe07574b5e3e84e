//! Where a file holds anything but zeros, and how a tar says so.
//!
//! A disk image or a memory dump can be zeros for the most part. They need not be compressed, and where the archive is
//! unpacked they need not be written. Which zeros a file system keeps as a hole differs from copy to copy, so the layout
//! follows from the content alone, and the same episode packs to the same bytes; a hole only spares the reading.
//!
//! The format is the sparse member of GNU tar (type `S`, "Storing Sparse Files" in its manual), which GNU tar, bsdtar
//! and Python's tarfile unpack to a file with holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::PackError;
use super::source::Source;

/// A file becomes a sparse member if its blocks of zeros add up to this many bytes. Fewer do not justify a member type that
/// some tar readers lack. Part of the format, as is every constant here.
const WORTHWHILE_BYTES: u64 = 1 << 20;
/// Zeros are left out block by block: the size of a cluster in an image of QEMU.
const BLOCK_BYTES: u64 = 64 << 10;
/// The most blocks of a file, so that its layout fits into half a megabyte. Larger files have larger blocks.
const MAX_BLOCKS: u64 = 1 << 16;
/// The part of a block that is read first, in bytes: nearly every block of data shows there that it is not all zeros.
const SAMPLE_BYTES: u64 = 4096;

/// What of a file stands in the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    length: u64,
    /// Ascending, apart from each other, and each but the last a multiple of the block.
    parts: Vec<Range<u64>>,
}

impl Layout {
    /// Reads as much of a file as it takes. Blocks.
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

    /// How many bytes of the file stand in the archive.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }

    /// Says in the header of the member where its bytes belong, and gives back what has to follow it.
    pub(super) fn describe(&self, header: &mut Header) -> Vec<GnuExtSparseHeader> {
        let Some(gnu) = header.as_gnu_mut().filter(|_| self.stored_bytes() < self.length) else {
            return Vec::new();
        };
        gnu.typeflag = [EntryType::GNUSparse.as_byte()];
        gnu.set_real_size(self.length);
        // A hole at the end is told by a part of no bytes behind it.
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

/// The first byte from `at` on that lies in no hole. A file system that keeps none says `at`.
fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        // One that does not know the question.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(at)),
        Err(error) => Err(error.into()),
    }
}
