//! The compressor and the tar around it.
//!
//! What it keeps from one episode to the next are memory and tables that are valid for none but the next: a context
//! of level 3 is some megabytes, and making one costs a small episode a good part of compressing it.
//!
//! A large episode is compressed by threads of zstd's own while this one reads. They take a third more of the processor
//! and half of the time, and the bytes of an archive do not depend on how many there are.

use std::io::{self, Write};
use std::path::Path;

use zstd::stream::{raw, zio};
use zstd::zstd_safe::{CCtx, CParameter, ResetDirective, get_error_name};

use super::layout::Layout;
use super::listing::Member;
use super::output::{self, Output};
use super::source::Source;
use super::{Episode, PackError, Packed};
use crate::archive::META_NAME;

/// How much of a file is read at once, in bytes: as much as zstd compresses at once.
const READ_BYTES: usize = 128 * 1024;

/// From so many bytes on, a thread of zstd's compresses while this one reads. Part of the format in so far as the
/// bytes of an archive depend on it: they are cut into jobs then.
const LARGE_BYTES: u64 = 8 << 20;
/// How much such a thread compresses as one job, in bytes; zstd holds about four of them in memory. Part of the format
/// as well. The number of threads is not: any number gives the same bytes.
const JOB_BYTES: u32 = 2 << 20;
/// Two halve the time of a large episode; the unit's low weight keeps them out of the way of what records the next one.
const WORKERS: u32 = 2;

/// The highest level whose context is kept for the next episode: it takes some four megabytes, those of the highest
/// levels nearly a hundred.
const MAX_LEVEL_KEPT: i32 = 4;

/// A member's length is rounded up to this in a tar, with zeros.
const TAR_BLOCK: [u8; 512] = [0; 512];

/// Packs one episode after the other, always to the same bytes, whatever was packed before.
pub struct Packer {
    level: i32,
    kept: CCtx<'static>,
    buffer: Vec<u8>,
}

impl Packer {
    /// A packer that compresses with zstd's `level`; up to 19 the window stays within what [`crate::archive::read`]
    /// accepts.
    pub fn new(level: i32) -> Self {
        Self { level, kept: CCtx::create(), buffer: vec![0; READ_BYTES] }
    }

    /// Packs an episode into `out`. Blocks, and needs the same memory for every size of episode.
    ///
    /// Asks `is_stopped` before every read, not when something is written: a hole of terabytes packs to next to nothing.
    /// After an error `out` holds a part of an archive, which the caller throws away.
    pub fn pack(
        &mut self,
        episode: &Episode,
        mut out: impl Write + Send,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Packed, PackError> {
        let is_large = episode.bytes() >= LARGE_BYTES;
        // The threads of a large one hold more memory than a shipper should that waits for the next.
        let mut fresh = (is_large || self.level > MAX_LEVEL_KEPT).then(CCtx::create);
        let context = fresh.as_mut().unwrap_or(&mut self.kept);
        prepare(context, self.level, is_large).map_err(PackError::Write)?;
        let mut source = Source { buffer: &mut self.buffer, is_stopped };
        output::through(&mut out, |out| pack_members(episode, compressor(out, context), &mut source))
    }
}

pub(super) fn prepare(context: &mut CCtx<'static>, level: i32, is_large: bool) -> io::Result<()> {
    let failed = |code| io::Error::other(get_error_name(code));
    context.reset(ResetDirective::SessionAndParameters).map_err(failed)?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    context.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
    if is_large {
        context.set_parameter(CParameter::NbWorkers(WORKERS)).map_err(failed)?;
        context.set_parameter(CParameter::JobSize(JOB_BYTES)).map_err(failed)?;
    }
    Ok(())
}

pub(super) fn compressor<'a, W: Write>(out: W, context: &'a mut CCtx<'static>) -> zstd::Encoder<'a, W> {
    let encoder = raw::Encoder::with_context(context);
    zstd::Encoder::with_writer(zio::Writer::new_with_capacity(out, encoder, CCtx::out_size()))
}

fn pack_members(
    episode: &Episode,
    compressor: zstd::Encoder<'_, Output<'_, '_>>,
    source: &mut Source<'_>,
) -> Result<Packed, PackError> {
    let (mut archive, top) = (tar::Builder::new(compressor), Path::new(episode.id.as_str()));
    let meta = episode.meta_text.as_slice();
    archive
        .append_data(&mut header(meta.len() as u64), top.join(META_NAME), meta)
        .map_err(PackError::Write)?;
    // Ends the compressor's block, so that whoever wants no more than meta.json need not decode what comes behind it:
    // up to 128 KiB, which is half of what a backfill of small archives would spend.
    archive.get_mut().flush().map_err(PackError::Write)?;
    for member in &episode.members[1..] {
        append_file(&mut archive, episode, member, source)?;
    }
    episode.confirm()?;
    archive.into_inner().and_then(zstd::Encoder::finish).and_then(Output::finish).map_err(PackError::Write)
}

/// Appends a file and makes sure that it has the length that the header promises.
///
/// The builder writes the headers only: it would copy the content in steps of 8 KiB, and report a read and a write
/// that failed alike.
fn append_file(
    archive: &mut tar::Builder<impl Write>,
    episode: &Episode,
    member: &Member,
    source: &mut Source<'_>,
) -> Result<(), PackError> {
    let (file, length) = (episode.tree.open_member(member)?, member.stamp.length());
    let path = episode.tree.path(&member.path);
    let name = Path::new(episode.id.as_str()).join(&member.path);
    let layout = Layout::of(&file, &path, length, source)?;
    let mut header = header(layout.stored_bytes());
    let extensions = layout.describe(&mut header);
    archive.append_data(&mut header, name, io::empty()).map_err(PackError::Write)?;
    let out = archive.get_mut();
    for extension in &extensions {
        out.write_all(extension.as_bytes()).map_err(PackError::Write)?;
    }
    for part in layout.parts() {
        let mut at = part.start;
        while at < part.end {
            let read = source.read_at(&file, &path, at..part.end)?;
            out.write_all(read).map_err(PackError::Write)?;
            at += read.len() as u64;
        }
    }
    if !source.is_end(&file, &path, length)? {
        return Err(PackError::Changed { path });
    }
    let begun = usize::try_from(layout.stored_bytes() % TAR_BLOCK.len() as u64).unwrap_or_default();
    match begun {
        0 => Ok(()),
        begun => out.write_all(&TAR_BLOCK[begun..]).map_err(PackError::Write),
    }
}

/// The header of a member: everything but its length is the same for all.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}
