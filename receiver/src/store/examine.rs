//! Reads an archive once and returns its hash, size, time and commit.
//!
//! The bytes are hashed as the decoder asks for them. Once meta.json is found, or known to be missing, the rest is
//! hashed without being decompressed. Only the commit of meta.json is used: a stored archive is in the data set,
//! whatever else its meta.json lacks. Every function here blocks.

use std::fs::{File, Metadata};
use std::io::{self, Read, Take};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use cis490_shared::archive::read::{ReadError, ReadLimits, read_meta};
use cis490_shared::clock::{WallTime, thread_time};
use cis490_shared::excerpt::excerpt;
use cis490_shared::ids::{CommitHash, IdError, Sha256Digest};
use cis490_shared::meta::recorded_commit;
use cis490_shared::regular;
use cis490_shared::row::{IndexRow, SCHEMA_VERSION};
use rustix::fs::CWD;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Runtime;

use super::scan::Archive;
use super::stored::is_void;

/// The bytes that are read at once if nothing is decompressed. They are still in the nearest cache when they are
/// hashed.
const READ_BYTES: usize = 32 * 1024;

/// The row of an archive, and the reason if it names no commit although one was expected.
#[derive(Debug)]
pub struct Examined {
    /// The row to append.
    pub row: IndexRow,
    /// Set if the commit is missing for another reason than that none was recorded.
    pub doubt: Option<Doubt>,
}

/// The reason why a row names no commit. Text from meta.json is kept as an excerpt, because many of these may wait for
/// a report.
#[derive(Debug, thiserror::Error)]
pub enum Doubt {
    /// meta.json cannot be read from the archive.
    #[error(transparent)]
    Unreadable(ReadError),
    /// meta.json is not in the format of the recorder.
    #[error("meta.json cannot be understood: {reason}")]
    Malformed {
        /// The error of the JSON parser.
        reason: String,
    },
    /// meta.json names something that is not a commit.
    #[error("`{excerpt}` in meta.json is no commit: {reason}")]
    NotACommit {
        /// The text that it names.
        excerpt: String,
        /// The error of the parser.
        reason: IdError,
    },
}

/// The archive was written to or truncated while it was read, so its hash would belong to no file.
#[derive(Debug, thiserror::Error)]
#[error("it changed while it was read")]
struct Changed;

/// A file that cannot be an archive. It gets no row, because a row would keep the host from sending the episode.
#[derive(Debug, thiserror::Error)]
#[error(
    "it is empty or begins with zeros, so it is no archive: move it away, and the host can send the episode"
)]
struct Void;

/// Reads archives on the thread that owns it.
#[derive(Debug)]
pub struct Examiner {
    runtime: Runtime,
    chunk: Vec<u8>,
    stop: Stop,
}

/// Set to true to cancel a read: a large archive takes minutes.
pub type Stop = Arc<AtomicBool>;

impl Examiner {
    /// Creates an examiner that always reads to the end.
    pub fn new() -> io::Result<Self> {
        Self::until(Stop::default())
    }

    /// Creates an examiner that gives up once `stop` is set.
    pub fn until(stop: Stop) -> io::Result<Self> {
        // The readers of archives are async, but below they wait for nothing but the file itself.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { runtime, chunk: vec![0; READ_BYTES], stop })
    }

    /// Reads an archive once, from its first byte to its last.
    pub fn examine(&mut self, archive: &Archive) -> io::Result<Examined> {
        let file = regular::open(CWD, &archive.path)?;
        let before = file.metadata()?;
        if is_void(&file)? {
            return Err(io::Error::other(Void));
        }
        self.examine_file(archive, file, &before)
    }

    /// Reads an open archive. Its size and modification time must still be those of `before` at the end.
    fn examine_file(&mut self, archive: &Archive, file: File, before: &Metadata) -> io::Result<Examined> {
        // One byte more than the file has, to notice that it grows; not more, because it could grow for ever.
        let file = file.take(before.len().saturating_add(1));
        let stop = Arc::clone(&self.stop);
        let mut hashed = Hashed { file, hash: Sha256::new(), size_bytes: 0, stop };
        let meta = self.runtime.block_on(read_meta(&mut hashed, &ReadLimits::default(), thread_time));
        let (commit, doubt) = match meta.map_err(Doubt::Unreadable).and_then(|text| commit_of(&text)) {
            // A failed read says nothing about the contents of the file.
            Err(Doubt::Unreadable(ReadError::Source(error))) => return Err(error),
            Err(doubt) => (None, Some(doubt)),
            Ok(commit) => (commit, None),
        };
        while hashed.read(&mut self.chunk)? > 0 {}
        let (after, received_at) = (hashed.file.get_ref().metadata()?, before.modified()?);
        if hashed.size_bytes != before.len()
            || after.len() != before.len()
            || after.modified()? != received_at
        {
            return Err(io::Error::other(Changed));
        }
        let row = IndexRow {
            backfilled: true,
            commit,
            episode_id: archive.episode_id.clone(),
            host_id: archive.host_id.clone(),
            received_at_wall: WallTime::from(received_at),
            schema_version: SCHEMA_VERSION,
            sha256: Sha256Digest::from_bytes(hashed.hash.finalize().into()),
            size_bytes: hashed.size_bytes,
        };
        Ok(Examined { row, doubt })
    }
}

/// Returns the commit in meta.json; `None` if it records none, as before the gate.
fn commit_of(meta: &[u8]) -> Result<Option<CommitHash>, Doubt> {
    let malformed = |error: serde_json::Error| Doubt::Malformed { reason: excerpt(&error.to_string()) };
    let Some(text) = recorded_commit(meta).map_err(malformed)? else { return Ok(None) };
    CommitHash::parse(&text).map(Some).map_err(|reason| Doubt::NotACommit { excerpt: excerpt(&text), reason })
}

/// A file whose bytes are hashed and counted as either of two readers reads them.
#[derive(Debug)]
struct Hashed {
    file: Take<File>,
    hash: Sha256,
    size_bytes: u64,
    stop: Stop,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("the reading was stopped"));
            }
            match self.file.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(read) => {
                    self.hash.update(&into[..read]);
                    self.size_bytes += read as u64;
                    return Ok(read);
                }
            }
        }
    }
}

impl AsyncRead for Hashed {
    /// Is always ready: it blocks instead, which is right on a thread that has nothing else to do.
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.read(into.initialize_unfilled());
        Poll::Ready(read.map(|read| into.advance(read)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use cis490_shared::ids::{EpisodeId, HostId};

    use super::*;

    fn archive_at(path: &Path) -> Archive {
        Archive {
            host_id: HostId::parse("h1").unwrap(),
            episode_id: EpisodeId::parse("e1").unwrap(),
            path: path.to_owned(),
        }
    }

    /// Returns an archive whose meta.json contains `code_version`, followed by half a megabyte of data.
    fn packed(dir: &Path, code_version: &str) -> (Archive, Sha256Digest, u64) {
        let noise = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0];
        let noise: Vec<u8> = (0..500_000).map(noise).collect();
        let meta = format!("{{\"note\": 1{code_version}}}");
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in [("e1/meta.json", meta.as_bytes()), ("e1/network.pcap", &noise)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        }
        let bytes = zstd::encode_all(tar.into_inner().unwrap().as_slice(), 3).unwrap();
        let path = dir.join("e1.tar.zst");
        fs::write(&path, &bytes).unwrap();
        (archive_at(&path), sha256(&bytes), bytes.len() as u64)
    }

    fn sha256(bytes: &[u8]) -> Sha256Digest {
        Sha256Digest::from_bytes(Sha256::digest(bytes).into())
    }

    #[test]
    fn hash_size_time_and_commit_come_from_one_read() {
        let dir = tempfile::tempdir().unwrap();
        let commit = "AB".repeat(20);
        let (archive, sha256, size_bytes) =
            packed(dir.path(), &format!(r#", "code_version": {{"commit": "{commit}", "dirty": true}}"#));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        File::options().write(true).open(&archive.path).unwrap().set_modified(time).unwrap();
        let examined = Examiner::new().unwrap().examine(&archive).unwrap();
        let expected = IndexRow {
            backfilled: true,
            commit: Some(CommitHash::parse(&commit).unwrap()),
            episode_id: archive.episode_id,
            host_id: archive.host_id,
            received_at_wall: WallTime::from(time),
            schema_version: 1,
            sha256,
            size_bytes,
        };
        assert_eq!(examined.row, expected);
        assert!(examined.doubt.is_none());
    }

    #[test]
    fn an_archive_without_a_usable_commit_has_its_row_and_the_reason() {
        let cases = [
            ("", None),
            (r#", "code_version": null"#, None),
            (r#", "code_version": {"commit": null}"#, None),
            (r#", "code_version": {"commit": "abc"}"#, Some("`abc` in meta.json is no commit")),
            (r#", "code_version": {"commit": 7}"#, Some("cannot be understood")),
        ];
        for (code_version, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let (archive, sha256, size_bytes) = packed(dir.path(), code_version);
            let Examined { row, doubt } = Examiner::new().unwrap().examine(&archive).unwrap();
            assert_eq!(
                (row.commit, row.sha256, row.size_bytes),
                (None, sha256, size_bytes),
                "{code_version}"
            );
            let doubt = doubt.map(|doubt| doubt.to_string());
            assert_eq!(doubt.is_some(), expected.is_some(), "{code_version}: {doubt:?}");
            assert!(doubt.unwrap_or_default().contains(expected.unwrap_or_default()), "{code_version}");
        }
    }

    #[test]
    fn a_damaged_archive_is_hashed_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e1.tar.zst");
        let mut examiner = Examiner::new().unwrap();
        for bytes in [b"not zstd".to_vec(), vec![0x28, 0xb5, 0x2f, 0xfd], vec![7; 3 << 20]] {
            fs::write(&path, &bytes).unwrap();
            let Examined { row, doubt } = examiner.examine(&archive_at(&path)).unwrap();
            assert_eq!((row.sha256, row.size_bytes), (sha256(&bytes), bytes.len() as u64));
            assert!(matches!(doubt, Some(Doubt::Unreadable(_))));
        }
    }

    #[test]
    fn what_can_be_no_archive_is_an_error_and_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e1.tar.zst");
        for bytes in [&b""[..], &[0], &[0; 4], &[0; 5000]] {
            fs::write(&path, bytes).unwrap();
            let error = Examiner::new().unwrap().examine(&archive_at(&path)).unwrap_err();
            assert!(error.to_string().contains("is no archive"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let mut examiner = Examiner::new().unwrap();
        let gone = examiner.examine(&archive_at(&dir.path().join("gone"))).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        let error = examiner.examine(&archive_at(dir.path())).unwrap_err();
        assert_eq!(error.to_string(), "it is a directory and no regular file");
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_has_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e1.tar.zst");
        let mut examiner = Examiner::new().unwrap();
        let mut examined_after = |change: &dyn Fn(&File)| {
            fs::write(&path, vec![7; 100_000]).unwrap();
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let before = file.metadata().unwrap();
            change(&file);
            let outcome = examiner.examine_file(&archive_at(&path), file, &before);
            outcome.map(drop).map_err(|error| error.to_string())
        };
        let changed = Err("it changed while it was read".to_owned());
        assert_eq!(examined_after(&|_| {}), Ok(()));
        assert_eq!(examined_after(&|file| file.set_len(10).unwrap()), changed);
        assert_eq!(examined_after(&|file| file.set_len(200_000).unwrap()), changed);
        assert_eq!(examined_after(&|file| file.set_modified(SystemTime::UNIX_EPOCH).unwrap()), changed);
        // This file reports a size of zero bytes, and has many.
        let error = examiner.examine(&archive_at(Path::new("/proc/self/status"))).unwrap_err();
        assert_eq!(Err(error.to_string()), changed);
    }

    #[test]
    fn what_a_doubt_keeps_of_an_archive_is_short() {
        let dir = tempfile::tempdir().unwrap();
        let long = "\u{202e}".repeat(200_000);
        for code_version in [format!("\"{long}\""), format!("{{\"commit\": \"{long}\"}}")] {
            let (archive, ..) = packed(dir.path(), &format!(", \"code_version\": {code_version}"));
            let doubt = Examiner::new().unwrap().examine(&archive).unwrap().doubt.unwrap().to_string();
            assert!(doubt.len() < 3000 && doubt.contains("more characters"), "{} bytes", doubt.len());
        }
    }
}
