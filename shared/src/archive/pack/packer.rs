//! The compressor and the tar around it.
//!
//! A packer keeps its compression context from one episode to the next. A context of level 3 takes some megabytes, and
//! creating one takes a good part of the time in which a small episode is compressed. The context is reset for each
//! episode.
//!
//! zstd compresses a large episode on its own threads while this thread reads. That takes a third more processor time,
//! and half the time. The number of threads does not change the bytes of an archive.

use std::io::{self, Write};
use std::path::Path;

use zstd::stream::{raw, zio};
use zstd::zstd_safe::{CCtx, CParameter, ResetDirective, get_error_name};

use super::layout::Layout;
use super::listing::Member;
use super::output::{self, Output};
use super::source::Source;
use super::{Episode, PackError, Packed};
use crate::meta::META_NAME;

/// Number of bytes read from a file at once: as many as zstd compresses at once.
const READ_BYTES: usize = 128 * 1024;

/// Size in bytes from which zstd compresses an episode on its own threads. Part of the format, because the input is
/// then cut into jobs, which changes the bytes of the archive.
const LARGE_BYTES: u64 = 8 << 20;
/// Size in bytes of one job of these threads; zstd holds about four jobs in memory. Part of the format as well. The
/// number of threads is not: any number gives the same bytes.
const JOB_BYTES: u32 = 2 << 20;
/// Number of zstd's threads. Two halve the time of a large episode; the low CPU weight of the unit keeps them from
/// disturbing the recorder of the next one.
const WORKERS: u32 = 2;

/// Highest level whose context is kept for the next episode. It takes about four megabytes; the contexts of the highest
/// levels take nearly a hundred.
const MAX_LEVEL_KEPT: i32 = 4;

/// One tar block of zeros. A member is padded with zeros to a multiple of its length.
const TAR_BLOCK: [u8; 512] = [0; 512];

/// A packer for many episodes. The bytes of an archive do not depend on the episodes packed before it.
pub struct Packer {
    level: i32,
    kept: CCtx<'static>,
    buffer: Vec<u8>,
}

impl Packer {
    /// Creates a packer that compresses with zstd's `level`. Up to level 19 the window stays within the limit of
    /// [`crate::archive::read`].
    pub fn new(level: i32) -> Self {
        Self { level, kept: CCtx::create(), buffer: vec![0; READ_BYTES] }
    }

    /// Packs an episode into `out`. Blocks, and uses the same amount of memory for every size of episode.
    ///
    /// Calls `is_stopped` before every read and not at writes, because a hole of terabytes causes hardly any writes.
    /// After an error `out` holds a partial archive, which the caller discards.
    pub fn pack(
        &mut self,
        episode: &Episode,
        mut out: impl Write + Send,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Packed, PackError> {
        let is_large = episode.bytes() >= LARGE_BYTES;
        // The threads of a large episode hold more memory than an idle shipper should keep.
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
    // Ends the compressor's block, so that a reader of meta.json need not decode the bytes behind it. Those can be 128
    // KiB, and decoding them would be half the work of a backfill of small archives.
    archive.get_mut().flush().map_err(PackError::Write)?;
    for member in &episode.members[1..] {
        append_file(&mut archive, episode, member, source)?;
    }
    episode.confirm()?;
    archive.into_inner().and_then(zstd::Encoder::finish).and_then(Output::finish).map_err(PackError::Write)
}

/// Appends a file, and checks that it has the length stated in the header.
///
/// The builder only writes the headers. It would copy the content in steps of 8 KiB, and would not distinguish a failed
/// read from a failed write.
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

/// Returns the header of a member before its name is set; all fields except the length are constant.
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
