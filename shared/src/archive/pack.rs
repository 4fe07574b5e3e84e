//! Packing an episode directory, always to the same bytes.
//!
//! What differs between two copies of one episode is left out or fixed: owner, mode, times, the order in
//! which the file system lists names, directory entries, and the shipper's own note. What would make the
//! archive lie is refused by name: a link, a special file, a file that changes its length while it is read.
//! An archive that was not finished is an open zstd frame, which no reader takes for a whole one.
//!
//! It deliberately leaves alone where the output goes, whether it is synced, and what a refusal means for
//! the episode: that is the shipper's business. It guards invariant I4 (sending again is always safe).

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use self::packer::Packer;
use crate::archive::{META_NAME, REASON_NAME};
use crate::ids::{EpisodeId, Sha256Digest};
use crate::meta::{EpisodeMeta, MAX_META_BYTES, MetaError};
use crate::step::Step;
use rustix::fs::OFlags;

/// The archive that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// The hash of all its bytes.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// Why a directory cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The member without which an archive is no episode.
    #[error("`{}` holds no {META_NAME}", .0.display())]
    NoMeta(PathBuf),
    /// It is there but says nothing that can be used.
    #[error("`{}` cannot be used: {source}", path.display())]
    Meta {
        /// The meta.json.
        path: PathBuf,
        /// What is wrong with it.
        source: MetaError,
    },
    /// The directory holds another episode than its name says.
    #[error("`{}` describes episode `{found}`, not `{expected}`", path.display())]
    OtherEpisode {
        /// The meta.json.
        path: PathBuf,
        /// The episode that it names.
        found: EpisodeId,
        /// The episode that was to be packed.
        expected: EpisodeId,
    },
    /// Something that has no content of its own to pack.
    #[error("`{}` is a {kind}: an episode holds only files and directories", path.display())]
    NotAFile {
        /// The odd one.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The episode is still being written, or was cut while it was read.
    #[error("`{}` changed its length while it was packed: it had {expected} bytes and now has {found}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its length when it was opened.
        expected: u64,
        /// Its length after it was read.
        found: u64,
    },
    /// A file or directory of the episode cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The caller stopped the packing; the episode is not at fault.
    #[error("the packing was stopped")]
    Stopped,
    /// The archive itself cannot be written; the episode is not at fault.
    #[error("the archive cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Packs the episode in `dir` into `out`. Blocks, and needs the same memory for every size of episode.
///
/// Whoever packs many keeps a [`Packer`]: the bytes are the same.
pub fn pack_episode(
    dir: &Path,
    episode_id: &EpisodeId,
    out: impl Write + Send,
    level: i32,
) -> Result<Packed, PackError> {
    Packer::new(level).pack(&Episode::look_at(dir, episode_id)?, out, &|| false)
}

/// Makes the checks that cost no more than a listing, without packing. Blocks.
pub fn check_episode(dir: &Path, episode_id: &EpisodeId) -> Result<EpisodeMeta, PackError> {
    Episode::look_at(dir, episode_id).map(|episode| episode.meta)
}

/// An episode whose directory passed the checks that cost no more than a listing.
#[derive(Debug)]
pub struct Episode {
    id: EpisodeId,
    dir: PathBuf,
    meta: EpisodeMeta,
    /// The very bytes that were checked: these are packed, not what the file holds a moment later.
    meta_text: Vec<u8>,
    /// All other members, relative to the directory, in the order of the archive.
    members: Vec<PathBuf>,
    /// The length of all members together, as it was listed.
    bytes: u64,
}

impl Episode {
    /// Makes the checks, without packing. Blocks.
    pub fn look_at(dir: &Path, expected: &EpisodeId) -> Result<Self, PackError> {
        let kind = fs::symlink_metadata(dir).map_err(|source| read_error(dir, source))?.file_type();
        if !kind.is_dir() {
            return Err(PackError::NotAFile { path: dir.to_owned(), kind: name_of(kind) });
        }
        let path = dir.join(META_NAME);
        let meta_text = read_meta_text(&path).map_err(|error| match error {
            PackError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                PackError::NoMeta(dir.to_owned())
            }
            other => other,
        })?;
        let meta = match EpisodeMeta::parse(&meta_text) {
            Ok(meta) if meta.episode_id == *expected || !Step::MatchEpisode.is_taken() => meta,
            Ok(EpisodeMeta { episode_id: found, .. }) => {
                return Err(PackError::OtherEpisode { path, found, expected: expected.clone() });
            }
            Err(source) => return Err(PackError::Meta { path, source }),
        };
        let (members, bytes) = list_members(dir)?;
        let bytes = bytes + meta_text.len() as u64;
        Ok(Self { id: expected.clone(), dir: dir.to_owned(), meta, meta_text, members, bytes })
    }

    /// The episode, as its directory is called.
    pub fn id(&self) -> &EpisodeId {
        &self.id
    }

    /// The length of its files together, in bytes, as it was listed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What its meta.json says.
    pub fn meta(&self) -> &EpisodeMeta {
        &self.meta
    }
}

/// Reads meta.json, and one byte more than it may have where it is too large.
fn read_meta_text(path: &Path) -> Result<Vec<u8>, PackError> {
    let (file, _) = open_regular(path)?;
    let mut text = Vec::new();
    file.take(MAX_META_BYTES + 1).read_to_end(&mut text).map_err(|source| read_error(path, source))?;
    Ok(text)
}

/// Lists every file below `dir` but meta.json and the shipper's note, sorted by the bytes of the whole path, and how
/// many bytes they hold together.
///
/// Directories become members of no archive: they hold nothing but a time and a mode.
fn list_members(dir: &Path) -> Result<(Vec<PathBuf>, u64), PackError> {
    let (mut members, mut bytes) = (Vec::new(), 0);
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        for entry in fs::read_dir(&path).map_err(|source| read_error(&path, source))? {
            let entry = entry.map_err(|source| read_error(&path, source))?;
            let member = folder.join(entry.file_name());
            if member == Path::new(META_NAME) || member == Path::new(REASON_NAME) {
                continue;
            }
            let kind = entry.file_type().map_err(|source| read_error(&entry.path(), source))?;
            if kind.is_dir() {
                folders.push(member);
            } else if kind.is_file() {
                members.push(member);
                // By its path, which the tests of faults can aim at.
                let path = entry.path();
                bytes += fs::symlink_metadata(&path).map_err(|source| read_error(&path, source))?.len();
            } else if Step::RefuseLinks.is_taken() {
                return Err(PackError::NotAFile { path: entry.path(), kind: name_of(kind) });
            }
        }
    }
    if Step::SortMembers.is_taken() {
        members.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    }
    Ok((members, bytes))
}

/// Opens a regular file for reading, and only that: no link is followed, no pipe waited for.
fn open_regular(path: &Path) -> Result<(File, u64), PackError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|source| {
        if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return PackError::NotAFile { path: path.to_owned(), kind: "symbolic link" };
        }
        read_error(path, source)
    })?;
    let metadata = file.metadata().map_err(|source| read_error(path, source))?;
    if !metadata.is_file() {
        return Err(PackError::NotAFile { path: path.to_owned(), kind: name_of(metadata.file_type()) });
    }
    Ok((file, metadata.len()))
}

fn read_error(path: &Path, source: io::Error) -> PackError {
    PackError::Read { path: path.to_owned(), source }
}

fn changed(path: &Path, file: &File, expected: u64) -> PackError {
    match file.metadata() {
        Ok(now) => PackError::Changed { path: path.to_owned(), expected, found: now.len() },
        Err(source) => read_error(path, source),
    }
}

fn name_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_symlink() => "symbolic link",
        kind if kind.is_fifo() => "named pipe",
        kind if kind.is_socket() => "socket",
        kind if kind.is_dir() => "directory",
        kind if kind.is_file() => "file",
        _ => "device",
    }
}

mod output;
mod packer;
mod prove;
#[cfg(test)]
mod tests;
