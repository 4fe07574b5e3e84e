//! The outbox: the archive of an episode, packed or taken from there, and the leftovers of a crash (accident 6).
//! Everything here blocks.
//!
//! State is in the file system alone. An archive gets its final name only after its bytes are on disk (invariant I2).
//! An archive that is found there is proved by decoding it beside the episode, or made anew (I10). A packed archive can
//! be sent before it has its name, but not to its end: see [`Unpublished`]. An archive implies its episode directory,
//! and a partial archive implies an upload in flight. [`sweep`] removes files without their counterpart, and nothing
//! else. Nothing here deletes an episode or knows a receiver.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cis490_shared::archive::REASON_NAME;
use cis490_shared::archive::pack::{Episode, PackError, Packed, Packer};
use cis490_shared::durable::Temp;
use cis490_shared::fs_error::FsError;
use cis490_shared::ids::{EpisodeId, Sha256Digest};
use cis490_shared::regular::{self, NotAFile};
use cis490_shared::step::Step;
use cis490_shared::wire::path::ARCHIVE_SUFFIX;
use rustix::fs::CWD;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::warn;

use crate::store::layout::{self, Dirs, DirsError, PARTIAL_SUFFIX};

const ARCHIVE_MODE: u32 = 0o640;

/// The most bytes that are read at once; a small archive is read as a whole.
pub const READ_BYTES: usize = 256 * 1024;

/// Becomes true once, when the shipper stops. Long work on a file checks it and gives up.
pub type Stop = watch::Receiver<bool>;

/// An archive that is open for sending. The bytes that were hashed and those that are sent come from the same open
/// file.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The file, open for reading.
    pub file: Arc<File>,
    /// The hash of its bytes.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its first [`READ_BYTES`], so that most archives are sent without another read.
    pub first: Bytes,
}

impl Archive {
    fn new(file: File, sha256: Sha256Digest, size_bytes: u64) -> io::Result<Self> {
        let first = read_at(&file, 0, size_bytes)?;
        Ok(Self { file: Arc::new(file), sha256, size_bytes, first })
    }
}

/// A packed archive that is not in the outbox yet: its bytes may not be on disk, and it has no final name.
///
/// It is sent meanwhile, but its last bytes only after it is published. So an archive that a receiver may have is in
/// the outbox, whatever dies.
#[derive(Debug)]
pub struct Unpublished {
    temp: Temp,
    dirs: Dirs,
    path: PathBuf,
}

impl Unpublished {
    /// Gives the archive its name. Blocks until bytes and name are on disk.
    pub fn publish(self) -> Result<(), OutboxError> {
        let Self { temp, dirs, path } = self;
        Step::SyncPacked.take(|| temp.sync()).map_err(failed("write", temp.path()))?;
        temp.publish_noreplace(&path).map_err(failed("publish", &path))?;
        dirs.sync_outbox().map_err(failed("write", &dirs.outbox()))
    }
}

/// Why there is no archive to send.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The shipper is stopping.
    #[error("stopped")]
    Stopped,
    /// The episode cannot be packed.
    #[error(transparent)]
    Pack(PackError),
    /// The outbox cannot be used.
    #[error(transparent)]
    Io(#[from] FsError),
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OutboxError {
    move |source| FsError::at(verb, path)(source).into()
}

/// Inspects an episode, after removing a half-written note of an earlier refusal. Blocks.
pub fn inspect(dirs: &Dirs, id: &EpisodeId) -> Result<Episode, OutboxError> {
    let dir = dirs.episode(id);
    let episode = Episode::look_at(&dir, id).map_err(OutboxError::Pack)?;
    let note = dir.join(format!("{REASON_NAME}.new"));
    match fs::remove_file(&note) {
        Ok(()) => Episode::look_at(&dir, id).map_err(OutboxError::Pack),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(episode),
        Err(error) => Err(failed("remove", &note)(error)),
    }
}

/// Takes the archive of an episode from the outbox, or packs it if there is none. With `rebuild`, packs it in any case.
/// The caller must publish a packed archive. Blocks.
pub fn take_or_pack(
    dirs: &Dirs,
    episode: &Episode,
    packer: &mut Packer,
    rebuild: bool,
    stop: &Stop,
) -> Result<(Archive, Option<Unpublished>), OutboxError> {
    let id = episode.id();
    if rebuild {
        remove(&dirs.archive(id))?;
    } else if let Some(archive) = take(dirs, episode, stop)? {
        return Ok((archive, None));
    }
    pack(dirs, episode, packer, stop).map(|(archive, unpublished)| (archive, Some(unpublished)))
}

/// Takes the archive of an episode from the outbox, if there is one and it is proved. Any other file of its name is
/// removed. An archive that cannot be compared stays, because it may be the last copy: the episode cannot be read.
/// Blocks.
pub fn take(dirs: &Dirs, episode: &Episode, stop: &Stop) -> Result<Option<Archive>, OutboxError> {
    let path = dirs.archive(episode.id());
    let file = match regular::open(CWD, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A link, a directory or another user's file can never be sent. Any other failure says nothing about the file.
        Err(error) if is_about_the_file(&error) => return remove(&path).map(|()| None),
        Err(error) => return Err(failed("read", &path)(error)),
        Ok(file) => file,
    };
    let packed = episode.packed_in(&file, &|| *stop.borrow()).map_err(not_packed)?;
    if let Some(Packed { sha256, size_bytes }) = packed {
        return Archive::new(file, sha256, size_bytes).map(Some).map_err(failed("read", &path));
    }
    warn!(episode_id = %episode.id(), "outbox archive does not match its episode, repacking");
    remove(&path).map(|()| None)
}

/// Returns true if an archive still contains all of its episode. Anything that was added or changed since is on this
/// host alone. Blocks.
pub fn holds_all_of(
    dirs: &Dirs,
    episode: &Episode,
    archive: &Archive,
    stop: &Stop,
) -> Result<bool, OutboxError> {
    match episode.confirm() {
        Ok(()) => Ok(true),
        // Other times and permissions are not other content.
        Err(PackError::Changed { .. }) => {
            let packed = inspect(dirs, episode.id())?.packed_in(&archive.file, &|| *stop.borrow());
            packed.map(|packed| packed.is_some()).map_err(not_packed)
        }
        Err(error) => Err(not_packed(error)),
    }
}

fn pack(
    dirs: &Dirs,
    episode: &Episode,
    packer: &mut Packer,
    stop: &Stop,
) -> Result<(Archive, Unpublished), OutboxError> {
    let id = episode.id();
    let (partial, path) = (dirs.partial(id), dirs.archive(id));
    // A half-written archive of an earlier try.
    remove(&partial)?;
    let mut temp = Temp::create(partial.clone(), ARCHIVE_MODE).map_err(failed("create", &partial))?;
    let written = packer.pack(episode, &mut temp, &|| *stop.borrow()).map_err(not_packed)?;
    let file = File::open(&partial).map_err(failed("read", &partial))?;
    let archive = Archive::new(file, written.sha256, written.size_bytes).map_err(failed("read", &partial))?;
    Ok((archive, Unpublished { temp, dirs: dirs.clone(), path }))
}

fn not_packed(error: PackError) -> OutboxError {
    match error {
        PackError::Stopped => OutboxError::Stopped,
        error => OutboxError::Pack(error),
    }
}

/// Returns true if a file cannot be opened because of its kind or owner: a link, a socket, a directory, another user's
/// file.
fn is_about_the_file(error: &io::Error) -> bool {
    NotAFile::in_error(error).is_some() || error.kind() == io::ErrorKind::PermissionDenied
}

fn remove(path: &Path) -> Result<(), OutboxError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Reads up to [`READ_BYTES`] of the first `size_bytes` of a file, from `offset` on. Blocks.
pub fn read_at(file: &File, offset: u64, size_bytes: u64) -> io::Result<Bytes> {
    let left = usize::try_from(size_bytes - offset).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(READ_BYTES)];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Bytes::from(bytes))
}

/// Hashes a file from its beginning to its end. Blocks.
pub fn hash(file: &File, stop: &Stop) -> io::Result<Sha256Digest> {
    let (mut hash, mut buffer, mut offset) = (Sha256::new(), vec![0; READ_BYTES], 0);
    loop {
        check(stop)?;
        match file.read_at(&mut buffer, offset)? {
            0 => return Ok(Sha256Digest::from_bytes(hash.finalize().into())),
            read => {
                hash.update(&buffer[..read]);
                offset += read as u64;
            }
        }
    }
}

fn check(stop: &Stop) -> io::Result<()> {
    if *stop.borrow() { Err(io::Error::other("the shipper is stopping")) } else { Ok(()) }
}

/// Removes the leftovers of a crash from the outbox, and returns their number. `in_flight` must not grow meanwhile.
/// Running twice changes nothing. Blocks.
pub fn sweep(dirs: &Dirs, in_flight: &BTreeSet<EpisodeId>) -> Result<usize, DirsError> {
    let outbox = dirs.outbox();
    let failed = |source| layout::failed("read", &outbox)(source);
    let mut names = Vec::new();
    for entry in fs::read_dir(&outbox).map_err(failed)? {
        // A name that is not text is not ours.
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    let orphans = orphans(names, in_flight, |id| dirs.has_episode(id))?;
    orphans.iter().try_for_each(|name| dirs.remove_from_outbox(name))?;
    Ok(orphans.len())
}

/// Returns the names to remove. Pure, except for the question whether an episode is there.
fn orphans<E>(
    names: impl IntoIterator<Item = String>,
    in_flight: &BTreeSet<EpisodeId>,
    has_episode: impl Fn(&EpisodeId) -> Result<bool, E>,
) -> Result<Vec<String>, E> {
    let mut orphans = Vec::new();
    for name in names {
        let (archive, is_partial) = match name.strip_suffix(PARTIAL_SUFFIX) {
            Some(archive) => (archive, true),
            None => (name.as_str(), false),
        };
        let Some(Ok(id)) = archive.strip_suffix(ARCHIVE_SUFFIX).map(EpisodeId::parse) else { continue };
        if !in_flight.contains(&id) && (is_partial || !has_episode(&id)?) && Step::SweepOutbox.is_taken() {
            orphans.push(name);
        }
    }
    Ok(orphans)
}

#[cfg(test)]
mod tests;
