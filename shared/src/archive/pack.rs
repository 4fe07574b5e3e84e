//! Packs an episode directory: the same content always gives the same bytes.
//!
//! Two copies of one episode can differ in owner, mode, times, listing order, directory entries and the shipper's own
//! note. All of these are fixed or left out. Some entries would make the archive wrong: a link, a special file, or a
//! file that appears, disappears or changes during packing. Each of them is an error that names the path. An unfinished
//! archive is an open zstd frame, which no reader accepts as complete.
//!
//! This module deliberately does not decide where the output goes, whether it is synced, or what an error means for the
//! episode: the shipper does. It guards invariant I4 (sending again is always safe).

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::listing::{Member, Tree};
pub use self::packer::Packer;
use crate::excerpt::excerpt;
use crate::ids::{EpisodeId, Sha256Digest};
use crate::meta::{EpisodeMeta, META_NAME, MetaError};
use crate::regular::NotAFile;

/// Hash and length of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// The hash of all its bytes.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// The reason why a directory cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The directory holds no meta.json, so it is not an episode.
    #[error("`{}` holds no {META_NAME}", .0.display())]
    NoMeta(PathBuf),
    /// The meta.json is not valid.
    #[error("`{}` cannot be used: {source}", path.display())]
    Meta {
        /// The meta.json.
        path: PathBuf,
        /// The reason.
        source: MetaError,
    },
    /// The meta.json names a different episode.
    #[error("`{}` describes episode `{found}`, not `{expected}`", path.display())]
    OtherEpisode {
        /// The meta.json.
        path: PathBuf,
        /// The episode that it names.
        found: EpisodeId,
        /// The episode to be packed.
        expected: EpisodeId,
    },
    /// An entry is a link or a special file, or a directory stands in the place of meta.json.
    #[error("`{}` is {}: an episode holds only files and directories", path.display(), kind.0)]
    NotAFile {
        /// The entry.
        path: PathBuf,
        /// Its type.
        kind: NotAFile,
    },
    /// The path is too long to be unpacked.
    #[error("`{}` has a path of {length} bytes in the archive, and no more than {MAX_PATH_BYTES} can be unpacked", excerpt(&path.to_string_lossy()))]
    PathTooLong {
        /// The file or directory.
        path: PathBuf,
        /// The length of its path in the archive.
        length: usize,
    },
    /// A file or directory appeared, disappeared or changed, usually because the recorder still writes to the episode.
    #[error("`{}` came, went or changed while the episode was packed: does its recorder still write to it?", path.display())]
    Changed {
        /// The file or directory.
        path: PathBuf,
    },
    /// A file or directory of the episode cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The existing archive cannot be read for comparison; the episode is not at fault.
    #[error(
        "its archive in the outbox cannot be read: {0}; if that does not pass, remove the archive and it is packed anew"
    )]
    ReadArchive(#[source] io::Error),
    /// The caller stopped the packing; the episode is not at fault.
    #[error("the packing was stopped")]
    Stopped,
    /// The archive itself cannot be written; the episode is not at fault.
    #[error("the archive cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Packs the episode in `dir` into `out`. Blocks, and uses the same amount of memory for every size of episode.
///
/// A caller that packs many episodes reuses a [`Packer`], which gives the same bytes.
pub fn pack_episode(
    dir: &Path,
    episode_id: &EpisodeId,
    out: impl Write + Send,
    level: i32,
) -> Result<Packed, PackError> {
    Packer::new(level).pack(&Episode::look_at(dir, episode_id)?, out, &|| false)
}

/// Runs the checks that cost no more than a directory listing, without packing. Blocks.
pub fn check_episode(dir: &Path, episode_id: &EpisodeId) -> Result<EpisodeMeta, PackError> {
    Episode::look_at(dir, episode_id).map(|episode| episode.meta)
}

/// An episode whose directory has passed the checks of [`Episode::look_at`].
#[derive(Debug)]
pub struct Episode {
    id: EpisodeId,
    tree: Tree,
    meta: EpisodeMeta,
    /// The bytes that were checked. These bytes are packed, because the file may change in the meantime.
    meta_text: Vec<u8>,
    /// All members as listed, in the order of the archive.
    members: Vec<Member>,
}

/// Maximum length of a member's path in bytes: Linux allows 4,096 including the terminating zero (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4095;

impl Episode {
    /// Lists the directory and checks it, without packing. Blocks.
    pub fn look_at(dir: &Path, expected: &EpisodeId) -> Result<Self, PackError> {
        let tree = Tree::open(dir, MAX_PATH_BYTES - expected.as_str().len() - "/".len())?;
        let (meta_member, meta_text) = tree.read_meta()?;
        let path = dir.join(META_NAME);
        let meta = match EpisodeMeta::parse(&meta_text) {
            Ok(meta) if meta.episode_id == *expected => meta,
            Ok(EpisodeMeta { episode_id: found, .. }) => {
                return Err(PackError::OtherEpisode { path, found, expected: expected.clone() });
            }
            Err(source) => return Err(PackError::Meta { path, source }),
        };
        let members = tree.list()?;
        match members.first() {
            Some(first) if *first == meta_member => {}
            _ => return Err(PackError::Changed { path }),
        }
        Ok(Self { id: expected.clone(), tree, meta, meta_text, members })
    }

    /// Checks that the directory still holds exactly the listed files, unchanged. The archive may lack any later
    /// change. Blocks.
    pub fn confirm(&self) -> Result<(), PackError> {
        let (then, now) = (&self.members, self.tree.list()?);
        let odd = (0..then.len().max(now.len())).find(|at| then.get(*at) != now.get(*at));
        let either = odd.map(|at| [then.get(at), now.get(at)]).into_iter().flatten().flatten();
        // Both lists are sorted, so the smaller of two different paths is missing from the other list.
        match either.min_by_key(|member| member.sort_key()) {
            Some(member) => Err(self.tree.changed(&member.path)),
            None => Ok(()),
        }
    }

    /// Returns the id of the episode.
    pub fn id(&self) -> &EpisodeId {
        &self.id
    }

    /// Returns the total length of the listed files in bytes.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.stamp.length()).sum()
    }

    /// Returns the content of its meta.json.
    pub fn meta(&self) -> &EpisodeMeta {
        &self.meta
    }
}

mod layout;
mod listing;
mod output;
mod packer;
mod prove;
mod source;
#[cfg(test)]
mod tests;
