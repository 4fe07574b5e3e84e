//! Packing an episode directory, always to the same bytes.
//!
//! What differs between two copies of one episode is left out or fixed: owner, mode, times, the order in
//! which the file system lists names, directory entries, and the shipper's own note. What would make the
//! archive lie is refused by name: a link, a special file, a file that comes, goes or changes while it is packed.
//! An archive that was not finished is an open zstd frame, which no reader takes for a whole one.
//!
//! It deliberately leaves alone where the output goes, whether it is synced, and what a refusal means for
//! the episode: that is the shipper's business. It guards invariant I4 (sending again is always safe).

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::listing::{Member, Tree};
pub use self::packer::Packer;
use crate::archive::META_NAME;
use crate::excerpt::excerpt;
use crate::ids::{EpisodeId, Sha256Digest};
use crate::meta::{EpisodeMeta, MetaError};
use crate::regular::NotAFile;

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
    #[error("`{}` is {}: an episode holds only files and directories", path.display(), kind.0)]
    NotAFile {
        /// The odd one.
        path: PathBuf,
        /// What it is.
        kind: NotAFile,
    },
    /// No system could unpack it under this name.
    #[error("`{}` has a path of {length} bytes in the archive, and no more than {MAX_PATH_BYTES} can be unpacked", excerpt(&path.to_string_lossy()))]
    PathTooLong {
        /// The file or directory.
        path: PathBuf,
        /// The length of its path in the archive.
        length: usize,
    },
    /// The episode is still being written.
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
    /// The archive that was to be compared cannot be read; the episode is not at fault.
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
    tree: Tree,
    meta: EpisodeMeta,
    /// The very bytes that were checked: these are packed, not what the file holds a moment later.
    meta_text: Vec<u8>,
    /// All members as they were listed, in the order of the archive.
    members: Vec<Member>,
}

/// The longest path of a member in bytes: Linux takes 4,096 with the zero at the end (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4095;

impl Episode {
    /// Makes the checks, without packing. Blocks.
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

    /// Makes sure that the directory holds what was listed and nothing else, as it was then: what came or changed since
    /// may be missing from the archive. Blocks.
    pub fn confirm(&self) -> Result<(), PackError> {
        let (then, now) = (&self.members, self.tree.list()?);
        let odd = (0..then.len().max(now.len())).find(|at| then.get(*at) != now.get(*at));
        let either = odd.map(|at| [then.get(at), now.get(at)]).into_iter().flatten().flatten();
        // Of two, the one that comes first in the order is not in the other listing.
        match either.min_by_key(|member| member.sort_key()) {
            Some(member) => Err(self.tree.changed(&member.path)),
            None => Ok(()),
        }
    }

    /// The episode, as its directory is called.
    pub fn id(&self) -> &EpisodeId {
        &self.id
    }

    /// The length of its files together, in bytes, as it was listed.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.stamp.length()).sum()
    }

    /// What its meta.json says.
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
