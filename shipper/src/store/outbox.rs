//! The archive of an episode: packed, or taken as it lies in the outbox. Everything here blocks.
//!
//! State is in the file system alone. An archive gets its final name only after its bytes are on disk (invariant I2).
//! One that is found there is proved before it is used, by decoding it beside the episode, or made anew (I10). One that was packed can be sent before that, and must not be sent to its end: see
//! [`Unpublished`]. It deletes no episode and knows no receiver.

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
use rustix::fs::CWD;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::warn;

use crate::store::layout::Dirs;

const ARCHIVE_MODE: u32 = 0o640;

/// How much is read at once, in bytes; a small archive as a whole.
pub const READ_BYTES: usize = 256 * 1024;

/// UploadSlots true once, when the shipper stops: long work on a file looks at it and gives up.
pub type Stop = watch::Receiver<bool>;

/// An archive that is open for sending. What is hashed and what is sent are the same descriptor.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The file, open for reading.
    pub file: Arc<File>,
    /// The hash of its bytes.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its first [`READ_BYTES`], so that most are sent without another look at the disk.
    pub first: Bytes,
}

impl Archive {
    fn new(file: File, sha256: Sha256Digest, size_bytes: u64) -> io::Result<Self> {
        let first = read_at(&file, 0, size_bytes)?;
        Ok(Self { file: Arc::new(file), sha256, size_bytes, first })
    }
}

/// An archive that was packed and is not in the outbox yet: its bytes may not be on disk, nor has it its name.
///
/// It is sent meanwhile, but its last bytes only once it is published: what a receiver may have is in the outbox, whatever dies.
#[derive(Debug)]
pub struct Unpublished {
    temp: Temp,
    dirs: Dirs,
    path: PathBuf,
}

impl Unpublished {
    /// Gives it its name. Blocks until bytes and name are on disk.
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

/// Looks at an episode, without what an earlier life of it left: a note that was half written. Blocks.
pub fn look(dirs: &Dirs, id: &EpisodeId) -> Result<Episode, OutboxError> {
    let dir = dirs.episode(id);
    let episode = Episode::look_at(&dir, id).map_err(OutboxError::Pack)?;
    let note = dir.join(format!("{REASON_NAME}.new"));
    match fs::remove_file(&note) {
        Ok(()) => Episode::look_at(&dir, id).map_err(OutboxError::Pack),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(episode),
        Err(error) => Err(failed("remove", &note)(error)),
    }
}

/// Takes the archive of an episode from the outbox, or packs it where there is none; with `rebuild` it is
/// packed in any case. What was packed is to be published. Blocks.
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

/// Takes the archive of an episode from the outbox, where there is one and it is proved; another file of its name is
/// removed. One that cannot be compared, since the episode cannot be read, stays: it may be the last that has the bytes.
/// Blocks.
pub fn take(dirs: &Dirs, episode: &Episode, stop: &Stop) -> Result<Option<Archive>, OutboxError> {
    let path = dirs.archive(episode.id());
    let file = match regular::open(CWD, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // What is no file of ours can never be sent. Any other failure says nothing about the file.
        Err(error) if is_about_the_file(&error) => return remove(&path).map(|()| None),
        Err(error) => return Err(failed("read", &path)(error)),
        Ok(file) => file,
    };
    let packed = episode.packed_in(&file, &|| *stop.borrow()).map_err(not_packed)?;
    if let Some(Packed { sha256, size_bytes }) = packed {
        return Archive::new(file, sha256, size_bytes).map(Some).map_err(failed("read", &path));
    }
    warn!(episode_id = %episode.id(), "an archive in the outbox is not that of its episode, it is packed anew");
    remove(&path).map(|()| None)
}

/// Whether an archive still holds all of its episode: what came or changed since it was packed is on this host alone.
/// Blocks.
pub fn holds_all_of(
    dirs: &Dirs,
    episode: &Episode,
    archive: &Archive,
    stop: &Stop,
) -> Result<bool, OutboxError> {
    match episode.confirm() {
        Ok(()) => Ok(true),
        // Other times and rights are no other content.
        Err(PackError::Changed { .. }) => {
            let packed = look(dirs, episode.id())?.packed_in(&archive.file, &|| *stop.borrow());
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
    // What an earlier life of this episode left, half written.
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

/// Whether a file cannot be opened for what it is: a link, a socket, a directory, another user's.
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

#[cfg(test)]
mod tests {
    use cis490_shared::archive::DONE_MARKER;
    use tempfile::TempDir;

    use super::*;

    fn id() -> EpisodeId {
        EpisodeId::parse("e1").unwrap()
    }

    fn recorded() -> (TempDir, Dirs) {
        let root = tempfile::tempdir().unwrap();
        let (dirs, _) = Dirs::open(root.path()).unwrap();
        let dir = dirs.episode(&id());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("meta.json"), r#"{"episode_id": "e1"}"#).unwrap();
        fs::write(dir.join("events.jsonl"), "{}\n").unwrap();
        fs::write(dir.join(DONE_MARKER), "").unwrap();
        (root, dirs)
    }

    fn running() -> Stop {
        watch::channel(false).1
    }

    fn take_or_pack(dirs: &Dirs, rebuild: bool, stop: &Stop) -> Result<Archive, OutboxError> {
        let episode = look(dirs, &id())?;
        let (archive, unpublished) = super::take_or_pack(dirs, &episode, &mut Packer::new(3), rebuild, stop)?;
        unpublished.map_or(Ok(()), Unpublished::publish).map(|()| archive)
    }

    fn outbox(dirs: &Dirs) -> Vec<String> {
        fs::read_dir(dirs.outbox())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn incident_13_an_archive_that_was_lost_is_packed_to_the_same_bytes() {
        let (_root, dirs) = recorded();
        let first = take_or_pack(&dirs, false, &running()).unwrap();
        assert_eq!(outbox(&dirs), ["e1.tar.zst"]);
        assert_eq!(hash(&first.file, &running()).unwrap(), first.sha256);
        fs::remove_file(dirs.archive(&id())).unwrap();
        // A refusal and its release in between leave their traces, which are no part of the episode.
        fs::write(dirs.episode(&id()).join(REASON_NAME), "{}").unwrap();
        fs::write(dirs.episode(&id()).join("quarantine_reason.json.new"), "{").unwrap();
        let second = take_or_pack(&dirs, false, &running()).unwrap();
        assert_eq!((second.sha256, second.size_bytes), (first.sha256, first.size_bytes));
    }

    #[test]
    fn an_archive_that_was_packed_in_another_way_is_taken_as_it_is() {
        let (_root, dirs) = recorded();
        let episode = look(&dirs, &id()).unwrap();
        let mut other = Vec::new();
        Packer::new(9).pack(&episode, &mut other, &|| false).unwrap();
        fs::write(dirs.archive(&id()), &other).unwrap();
        let taken = take_or_pack(&dirs, false, &running()).unwrap();
        let sha256 = Sha256Digest::from_bytes(Sha256::digest(&other).into());
        assert_eq!((taken.size_bytes, taken.sha256), (other.len() as u64, sha256));
        let rebuilt = take_or_pack(&dirs, true, &running()).unwrap();
        assert_ne!(rebuilt.sha256, taken.sha256);
    }

    #[test]
    fn what_lies_in_the_outbox_and_is_not_the_episode_is_replaced_by_it() {
        let (_root, dirs) = recorded();
        let whole = take_or_pack(&dirs, false, &running()).unwrap();
        let bytes = fs::read(dirs.archive(&id())).unwrap();
        let path = dirs.archive(&id());
        for junk in [&b""[..], b"packed before", &bytes[..bytes.len() - 1]] {
            fs::write(&path, junk).unwrap();
            let taken = take_or_pack(&dirs, false, &running()).unwrap();
            assert_eq!((taken.sha256, fs::read(&path).unwrap()), (whole.sha256, bytes.clone()));
        }
        for odd in [true, false] {
            fs::remove_file(&path).unwrap();
            match odd {
                true => std::os::unix::fs::symlink("/etc/hostname", &path).unwrap(),
                false => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            }
            assert_eq!(take_or_pack(&dirs, false, &running()).unwrap().sha256, whole.sha256);
        }
    }

    #[test]
    fn a_failure_that_is_not_about_the_file_removes_nothing() {
        use rustix::io::Errno;
        let about = |errno: Errno| is_about_the_file(&io::Error::from(errno));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::IO, Errno::NOMEM, Errno::STALE] {
            assert!(!about(errno), "{errno:?}");
        }
        assert!(about(Errno::ACCESS) && is_about_the_file(&NotAFile("a socket").into()));
    }

    #[test]
    fn what_is_not_published_has_no_final_name_and_leaves_nothing_when_it_is_dropped() {
        let (_root, dirs) = recorded();
        let episode = look(&dirs, &id()).unwrap();
        let (archive, unpublished) =
            super::take_or_pack(&dirs, &episode, &mut Packer::new(3), false, &running()).unwrap();
        assert_eq!(outbox(&dirs), ["e1.tar.zst.partial"]);
        assert_eq!(archive.first.len() as u64, archive.size_bytes);
        drop(unpublished);
        assert!(outbox(&dirs).is_empty());
        assert_eq!(
            hash(&archive.file, &running()).unwrap(),
            archive.sha256,
            "what is open can still be sent"
        );
    }

    #[test]
    fn a_partial_of_an_earlier_run_is_in_nobodys_way() {
        let (_root, dirs) = recorded();
        fs::write(dirs.partial(&id()), "torn").unwrap();
        take_or_pack(&dirs, false, &running()).unwrap();
        assert_eq!(outbox(&dirs), ["e1.tar.zst"]);
    }

    #[test]
    fn a_stop_ends_the_packing_and_leaves_nothing() {
        let (_root, dirs) = recorded();
        let stopped = watch::channel(true).1;
        let error = take_or_pack(&dirs, false, &stopped).unwrap_err();
        assert!(matches!(error, OutboxError::Stopped), "{error}");
        assert!(outbox(&dirs).is_empty());
        fs::write(dirs.archive(&id()), b"packed before").unwrap();
        assert!(matches!(take_or_pack(&dirs, false, &stopped), Err(OutboxError::Stopped)));
    }

    #[test]
    fn an_episode_that_cannot_be_packed_leaves_nothing_in_the_outbox() {
        let (_root, dirs) = recorded();
        std::os::unix::fs::symlink("/etc/hostname", dirs.episode(&id()).join("link")).unwrap();
        assert!(matches!(
            take_or_pack(&dirs, false, &running()),
            Err(OutboxError::Pack(PackError::NotAFile { .. }))
        ));
        assert!(outbox(&dirs).is_empty());
    }
}
