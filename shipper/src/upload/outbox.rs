//! The archive of an episode: packed, or taken as it lies in the outbox. Everything here blocks.
//!
//! State is in the file system alone. An archive gets its final name only after its bytes are on disk, so
//! one that is there is whole, also after a power cut (invariant I2); whether it is still what it was is
//! not trusted but hashed. It deletes no episode and knows no receiver.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cis490_shared::archive::REASON_NAME;
use cis490_shared::archive::pack::{PackError, pack_episode};
use cis490_shared::durable::{self, Temp};
use cis490_shared::ids::{EpisodeId, Sha256Digest};
use cis490_shared::step::Step;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::queue::dirs::Dirs;

const ARCHIVE_MODE: u32 = 0o640;

/// How much is hashed at once, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// Turns true once, when the shipper stops: long work on a file looks at it and gives up.
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
    #[error("cannot {deed} `{}`: {source}", path.display())]
    Io {
        /// What was to be done, as a verb.
        deed: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

fn failed(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OutboxError {
    let path = path.to_owned();
    move |source| OutboxError::Io { deed, path, source }
}

/// Takes the archive of an episode from the outbox, or packs it where there is none; with `rebuild` it is
/// packed in any case. Blocks.
pub fn take_or_pack(
    dirs: &Dirs,
    id: &EpisodeId,
    level: i32,
    rebuild: bool,
    stop: &Stop,
) -> Result<Archive, OutboxError> {
    if rebuild {
        remove(&dirs.archive(id))?;
    } else if let Some(archive) = take(dirs, id, stop)? {
        return Ok(archive);
    }
    pack(dirs, id, level, stop)
}

/// Takes the archive of an episode from the outbox, where there is one. Blocks.
pub fn take(dirs: &Dirs, id: &EpisodeId, stop: &Stop) -> Result<Option<Archive>, OutboxError> {
    let path = dirs.archive(id);
    let Some(file) = open(&path)? else { return Ok(None) };
    let size_bytes = file.metadata().map_err(failed("read", &path))?.len();
    let sha256 = hash(&file, stop).map_err(|error| stopped_or(stop, failed("read", &path)(error)))?;
    Ok(Some(Archive { file: Arc::new(file), sha256, size_bytes }))
}

fn pack(dirs: &Dirs, id: &EpisodeId, level: i32, stop: &Stop) -> Result<Archive, OutboxError> {
    let (dir, partial, path) = (dirs.episode(id), dirs.partial(id), dirs.archive(id));
    // What an earlier life of this episode left: a note that was half written, an archive that was.
    remove(&dir.join(format!("{REASON_NAME}.new")))?;
    remove(&partial)?;
    let mut temp = Temp::create(partial.clone(), ARCHIVE_MODE).map_err(failed("create", &partial))?;
    let packed = pack_episode(&dir, id, Stoppable { out: &mut temp, stop }, level)
        .map_err(|error| stopped_or(stop, OutboxError::Pack(error)))?;
    Step::SyncPacked.take(|| temp.sync()).map_err(failed("write", &partial))?;
    temp.publish_noreplace(&path).map_err(failed("publish", &path))?;
    durable::sync_dir(&dirs.outbox()).map_err(failed("write", &dirs.outbox()))?;
    let file = File::open(&path).map_err(failed("read", &path))?;
    Ok(Archive { file: Arc::new(file), sha256: packed.sha256, size_bytes: packed.size_bytes })
}

fn stopped_or(stop: &Stop, error: OutboxError) -> OutboxError {
    if *stop.borrow() { OutboxError::Stopped } else { error }
}

fn open(path: &Path) -> Result<Option<File>, OutboxError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), OutboxError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
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

/// A writer that fails once the shipper stops, so that packing a large episode does not delay its end.
struct Stoppable<'a> {
    out: &'a mut Temp,
    stop: &'a Stop,
}

impl Write for Stoppable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        check(self.stop)?;
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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

    fn outbox(dirs: &Dirs) -> Vec<String> {
        fs::read_dir(dirs.outbox())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn incident_13_an_archive_that_was_lost_is_packed_to_the_same_bytes() {
        let (_root, dirs) = recorded();
        let first = take_or_pack(&dirs, &id(), 3, false, &running()).unwrap();
        assert_eq!(outbox(&dirs), ["e1.tar.zst"]);
        assert_eq!(hash(&first.file, &running()).unwrap(), first.sha256);
        fs::remove_file(dirs.archive(&id())).unwrap();
        // A refusal and its release in between leave their traces, which are no part of the episode.
        fs::write(dirs.episode(&id()).join(REASON_NAME), "{}").unwrap();
        fs::write(dirs.episode(&id()).join("quarantine_reason.json.new"), "{").unwrap();
        let second = take_or_pack(&dirs, &id(), 3, false, &running()).unwrap();
        assert_eq!((second.sha256, second.size_bytes), (first.sha256, first.size_bytes));
    }

    #[test]
    fn an_archive_that_is_there_is_taken_and_hashed_as_it_is() {
        let (_root, dirs) = recorded();
        fs::write(dirs.archive(&id()), b"packed before").unwrap();
        let taken = take_or_pack(&dirs, &id(), 3, false, &running()).unwrap();
        assert_eq!(
            (taken.size_bytes, taken.sha256),
            (13, Sha256Digest::from_bytes(Sha256::digest(b"packed before").into()))
        );
        let rebuilt = take_or_pack(&dirs, &id(), 3, true, &running()).unwrap();
        assert_ne!(rebuilt.sha256, taken.sha256);
    }

    #[test]
    fn a_partial_of_an_earlier_run_is_in_nobodys_way() {
        let (_root, dirs) = recorded();
        fs::write(dirs.partial(&id()), "torn").unwrap();
        take_or_pack(&dirs, &id(), 3, false, &running()).unwrap();
        assert_eq!(outbox(&dirs), ["e1.tar.zst"]);
    }

    #[test]
    fn a_stop_ends_the_packing_and_leaves_nothing() {
        let (_root, dirs) = recorded();
        let stopped = watch::channel(true).1;
        let error = take_or_pack(&dirs, &id(), 3, false, &stopped).unwrap_err();
        assert!(matches!(error, OutboxError::Stopped), "{error}");
        assert!(outbox(&dirs).is_empty());
        fs::write(dirs.archive(&id()), b"packed before").unwrap();
        assert!(matches!(take_or_pack(&dirs, &id(), 3, false, &stopped), Err(OutboxError::Stopped)));
    }

    #[test]
    fn an_episode_that_cannot_be_packed_leaves_nothing_in_the_outbox() {
        let (_root, dirs) = recorded();
        std::os::unix::fs::symlink("/etc/hostname", dirs.episode(&id()).join("link")).unwrap();
        assert!(matches!(
            take_or_pack(&dirs, &id(), 3, false, &running()),
            Err(OutboxError::Pack(PackError::NotAFile { .. }))
        ));
        assert!(outbox(&dirs).is_empty());
    }
}
