//! Reading an archive completely: all of its zstd stream and every header of its tar, in bounded memory.
//!
//! Contents are passed over, never kept and never unpacked. What meta.json says is [`super::read`]'s to find. The tar is
//! walked here block by block, because a general reader expands sparse files, of which a few bytes can claim to be any
//! number of zeros, and keeps headers of any length.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use zstd::stream::read::Decoder;

use super::read::ReadLimits;
use crate::excerpt::excerpt;

/// The unit of a tar, in bytes.
const BLOCK: usize = 512;
/// How much is read or passed over at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// The longest extension header that is looked into, in bytes; one for a member's size has a few dozen.
const MAX_EXTENSION_BYTES: u64 = 1024 * 1024;

/// How much of an archive is read.
///
/// An upload has at most a few GiB, and telemetry shrinks to a twentieth: honest archives stay far below these bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeLimits {
    /// The most headers that are read.
    pub max_headers: u64,
    /// The most decompressed bytes that are read.
    pub max_decompressed_bytes: u64,
    /// The largest window that the decoder may be made to hold, as a power of two.
    pub window_log: u32,
    /// How long a processor may work on it.
    pub max_time: Duration,
}

impl Default for WholeLimits {
    fn default() -> Self {
        Self {
            max_headers: 1_000_000,
            max_decompressed_bytes: 256 << 30,
            window_log: ReadLimits::default().window_log,
            max_time: Duration::from_hours(1),
        }
    }
}

/// Why an archive cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum WholeError {
    /// The archive's bytes could not be had; says nothing about the archive.
    #[error("the archive cannot be read: {0}")]
    Source(#[source] io::Error),
    /// The zstd stream ends in the middle.
    #[error("the archive is cut short")]
    Truncated,
    /// Not zstd, damaged, or in need of a larger window than is allowed.
    #[error("the archive cannot be decompressed: {}", excerpt(&.0.to_string()))]
    Compression(#[source] io::Error),
    /// A header that is none.
    #[error("the archive is no usable tar: {0} in header {1}")]
    Header(&'static str, u64),
    /// The tar ends within a member, or without its end mark.
    #[error("the tar in the archive is cut short")]
    TarTruncated,
    /// More headers than are read.
    #[error("the archive has more than {0} members, it was not read to its end")]
    TooManyHeaders(u64),
    /// More data than is read.
    #[error("the archive has more than {0} bytes when decompressed, it was not read to its end")]
    TooMuchData(u64),
    /// More work than is done.
    #[error("the archive was not read to its end after {0:?} of work")]
    TooMuchWork(Duration),
}

/// Reads an archive to its end. Blocks.
///
/// `worked` tells how long a processor has worked by now, from whatever start.
pub fn read_whole(
    archive: impl Read,
    limits: &WholeLimits,
    worked: impl Fn() -> Duration,
) -> Result<(), WholeError> {
    let time = Time { max: limits.max_time, began: worked(), worked: &worked };
    let source = BufReader::with_capacity(CHUNK_BYTES, Source { archive, time: &time });
    let mut decoder = Decoder::with_buffer(source).map_err(of_its_layer)?;
    decoder.window_log_max(limits.window_log).map_err(WholeError::Compression)?;
    let mut tar = Tar {
        decoder,
        time: &time,
        limits,
        left: limits.max_decompressed_bytes,
        chunk: vec![0; CHUNK_BYTES],
    };
    tar.walk()?;
    // Behind the end mark comes padding. The stream must end well too, since its checksum is there.
    while tar.pass(CHUNK_BYTES as u64)? == 0 {}
    Ok(())
}

/// The processor's time.
struct Time<'a> {
    max: Duration,
    began: Duration,
    worked: &'a dyn Fn() -> Duration,
}

impl Time<'_> {
    fn check(&self) -> Result<(), WholeError> {
        match (self.worked)().saturating_sub(self.began) > self.max {
            true => Err(WholeError::TooMuchWork(self.max)),
            false => Ok(()),
        }
    }
}

/// The archive as handed in, with its errors marked as its own.
///
/// The time is looked at here as well, since there can be any number of frames that hold nothing.
struct Source<'a, R> {
    archive: R,
    time: &'a Time<'a>,
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.time.check().map_err(io::Error::other)?;
        loop {
            match self.archive.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| io::Error::other(WholeError::Source(error))),
            }
        }
    }
}

/// Tells the archive's own errors, which come through the decoder unchanged, from the decoder's.
fn of_its_layer(error: io::Error) -> WholeError {
    error.downcast::<WholeError>().unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => WholeError::Truncated,
        _ => WholeError::Compression(error),
    })
}

/// The decompressed archive.
struct Tar<'a, R: io::BufRead> {
    decoder: Decoder<'a, R>,
    time: &'a Time<'a>,
    limits: &'a WholeLimits,
    left: u64,
    chunk: Vec<u8>,
}

impl<R: io::BufRead> Tar<'_, R> {
    /// Reads header after header up to the end mark.
    fn walk(&mut self) -> Result<(), WholeError> {
        let mut extended_size = None;
        for number in 1..=self.limits.max_headers {
            let header = self.block()?;
            if header.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            let broken = |what| WholeError::Header(what, number);
            if !has_its_checksum(&header) {
                return Err(broken("a wrong checksum"));
            }
            let size = number_in(&header[124..136]).ok_or_else(|| broken("a size that is no number"))?;
            match header[156] {
                b'x' if size <= MAX_EXTENSION_BYTES => extended_size = size_in(&self.content(size)?),
                b'x' => return Err(broken("too long an extension")),
                // Of all members that follow, and the long name of the next.
                b'g' | b'L' | b'K' => self.pass_whole(size)?,
                kind => {
                    if kind == b'S' {
                        self.pass_sparse_map(header[482])?;
                    }
                    self.pass_whole(extended_size.take().unwrap_or(size))?;
                }
            }
        }
        Err(WholeError::TooManyHeaders(self.limits.max_headers))
    }

    fn block(&mut self) -> Result<[u8; BLOCK], WholeError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            filled += match self.read(BLOCK - filled)? {
                0 => return Err(WholeError::TarTruncated),
                read => {
                    block[filled..filled + read].copy_from_slice(&self.chunk[..read]);
                    read
                }
            };
        }
        Ok(block)
    }

    /// The content of a short extension, with its padding passed over.
    fn content(&mut self, size: u64) -> Result<Vec<u8>, WholeError> {
        let mut content = Vec::new();
        for _ in 0..size.div_ceil(BLOCK as u64) {
            content.extend_from_slice(&self.block()?);
        }
        content.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(content)
    }

    /// The blocks that go on with the map of a sparse file, as GNU tar writes it; each says whether one more follows.
    fn pass_sparse_map(&mut self, mut goes_on: u8) -> Result<(), WholeError> {
        while goes_on != 0 {
            goes_on = self.block()?[504];
        }
        Ok(())
    }

    /// Passes over a content and its padding, all of which must be there.
    fn pass_whole(&mut self, size: u64) -> Result<(), WholeError> {
        let padded = size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
        match self.pass(padded)? {
            0 => Ok(()),
            _ => Err(WholeError::TarTruncated),
        }
    }

    /// Skips this number of bytes; returns how many of them were missing.
    fn pass(&mut self, mut bytes: u64) -> Result<u64, WholeError> {
        while bytes > 0 {
            let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
            match self.read(wanted)? {
                0 => break,
                read => bytes -= read as u64,
            }
        }
        Ok(bytes)
    }

    /// Reads at most this number of bytes into the chunk.
    fn read(&mut self, at_most: usize) -> Result<usize, WholeError> {
        self.time.check()?;
        let length = at_most.min(self.chunk.len());
        let read = self.decoder.read(&mut self.chunk[..length]).map_err(of_its_layer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or(WholeError::TooMuchData(self.limits.max_decompressed_bytes))?;
        Ok(read)
    }
}

/// Whether the sum of all bytes, with blanks in place of the sum itself, is what the header says.
fn has_its_checksum(header: &[u8; BLOCK]) -> bool {
    let bytes = header[..148].iter().chain(b"        ").chain(&header[156..]);
    let (unsigned, signed) = bytes.fold((0_i64, 0_i64), |(unsigned, signed), byte| {
        (unsigned + i64::from(*byte), signed + i64::from(byte.cast_signed()))
    });
    // Some writers of old summed signed bytes.
    number_in(&header[148..156])
        .and_then(|sum| i64::try_from(sum).ok())
        .is_some_and(|sum| sum == unsigned || sum == signed)
}

/// A number as tar writes it: octal digits, or big-endian behind a set bit where they would not do.
fn number_in(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let (high, low) = field.split_at(field.len() - 8);
        let fits = high[1..].iter().all(|byte| *byte == 0);
        return fits.then(|| low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let digits = field[..end].trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8).map(|number| number + u64::from(digit - b'0')),
        _ => None,
    })
}

/// The size of the next member where an extension header gives it: `LENGTH size=NUMBER\n` among other records.
fn size_in(extension: &[u8]) -> Option<u64> {
    let mut rest = extension;
    while let Some(blank) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
        let record = rest.get(blank + 1..length)?;
        if let Some(size) = record.strip_prefix(b"size=") {
            return std::str::from_utf8(size.trim_ascii_end()).ok()?.parse().ok();
        }
        rest = &rest[length..];
    }
    None
}

#[cfg(test)]
mod tests;
