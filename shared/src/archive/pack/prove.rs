//! Checks whether an existing archive holds exactly the files of an episode.
//!
//! An existing archive cannot be trusted: a dying disk, another program or another episode may have left it there. It
//! is decoded to its end, which verifies the compressor's checksum, and every member is compared with the recorded
//! file. An archive that another version has compressed to different bytes is accepted, because a receiver may already
//! have those bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Episode, PackError, Packed};
use crate::ids::Sha256Digest;

/// Number of bytes compared at once.
const CHUNK_BYTES: usize = 128 * 1024;

impl Episode {
    /// Reads an archive from the current position of `file`. Returns its hash and length if it holds exactly this
    /// episode, otherwise `None`. Blocks, and calls `is_stopped` as it reads.
    ///
    /// Returns an error if a file of the episode cannot be read. The archive may still be good, and may be the last
    /// copy of those bytes.
    pub fn packed_in(&self, file: &File, is_stopped: &dyn Fn() -> bool) -> Result<Option<Packed>, PackError> {
        let mut seen = Seen { file, hash: Sha256::new(), size_bytes: 0, failed: None };
        let is_ours = self.is_all_of(&mut seen, is_stopped)?;
        if is_stopped() {
            return Err(PackError::Stopped);
        }
        // The decoder has seen a disk error as the end of the file, so it cannot report it.
        if let Some(error) = seen.failed {
            return Err(PackError::ReadArchive(error));
        }
        if is_ours {
            self.confirm()?;
        }
        Ok(is_ours.then(|| Packed {
            sha256: Sha256Digest::from_bytes(seen.hash.finalize().into()),
            size_bytes: seen.size_bytes,
        }))
    }

    fn is_all_of(&self, seen: &mut Seen<'_>, is_stopped: &dyn Fn() -> bool) -> Result<bool, PackError> {
        let Ok(decoder) = zstd::Decoder::new(&mut *seen) else { return Ok(false) };
        let mut archive = tar::Archive::new(decoder.single_frame());
        let Ok(entries) = archive.entries() else { return Ok(false) };
        let (mut members, top) = (self.members.iter(), Path::new(self.id.as_str()));
        for (number, entry) in entries.enumerate() {
            let Ok(mut entry) = entry else { return Ok(false) };
            let member = members.next().filter(|member| is_named(&entry, &top.join(&member.path)));
            let Some(member) = member else { return Ok(false) };
            let path = self.tree.path(&member.path);
            let is_same = match number {
                // meta.json is compared with the bytes that were checked.
                0 => same(&mut entry, &mut self.meta_text.as_slice(), &path, is_stopped)?,
                _ => same(&mut entry, &mut self.tree.open_member(member)?, &path, is_stopped)?,
            };
            if !is_same {
                return Ok(false);
            }
        }
        if members.next().is_some() {
            return Ok(false);
        }
        // Other packers pad the end with blocks of zeros. Reading to the end of the frame verifies its checksum.
        let (mut decoder, mut padding) = (archive.into_inner(), vec![0; CHUNK_BYTES]);
        loop {
            match fill(&mut decoder, &mut padding) {
                Ok(0) => break,
                Ok(read) if padding[..read].iter().all(|byte| *byte == 0) && !is_stopped() => {}
                _ => return Ok(false),
            }
        }
        let has_more = !decoder.finish().buffer().is_empty();
        Ok(!has_more && matches!(seen.read(&mut [0]), Ok(0)))
    }
}

fn is_named(entry: &tar::Entry<'_, impl Read>, name: &Path) -> bool {
    let kind = entry.header().entry_type();
    (kind.is_file() || kind.is_gnu_sparse()) && *entry.path_bytes() == *name.as_os_str().as_bytes()
}

/// Returns true if a member has exactly the bytes of its file.
fn same(
    member: &mut impl Read,
    recorded: &mut impl Read,
    path: &Path,
    is_stopped: &dyn Fn() -> bool,
) -> Result<bool, PackError> {
    let (mut ours, mut theirs) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    loop {
        let wanted = fill(recorded, &mut theirs)
            .map_err(|source| PackError::Read { path: path.to_owned(), source })?;
        let Ok(read) = fill(member, &mut ours) else { return Ok(false) };
        if ours[..read] != theirs[..wanted] || is_stopped() {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The bytes of the archive, hashed as they are read.
struct Seen<'a> {
    file: &'a File,
    hash: Sha256,
    size_bytes: u64,
    /// The error, if the file could not be read.
    failed: Option<io::Error>,
}

impl Read for Seen<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match self.file.read(into) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.failed = Some(error);
                // The decoder takes this for the end of the file.
                return Ok(0);
            }
            other => other?,
        };
        self.hash.update(&into[..read]);
        self.size_bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::super::pack_episode;
    use super::*;
    use crate::ids::EpisodeId;

    fn recorded(name: &str) -> (TempDir, Episode, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (dir, archive) = (root.path().join(name), root.path().join("archive"));
        fs::create_dir_all(dir.join("deep")).unwrap();
        fs::write(dir.join("meta.json"), format!(r#"{{"episode_id": "{name}"}}"#)).unwrap();
        fs::write(dir.join("events.jsonl"), "{}\n".repeat(100_000)).unwrap();
        fs::write(dir.join("deep/empty"), "").unwrap();
        fs::write(dir.join("done.marker"), "").unwrap();
        let id = EpisodeId::parse(name).unwrap();
        pack_episode(&dir, &id, File::create(&archive).unwrap(), 3).unwrap();
        (root, Episode::look_at(&dir, &id).unwrap(), archive)
    }

    fn proof(episode: &Episode, bytes: &[u8]) -> Option<Packed> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        episode.packed_in(&File::open(file.path()).unwrap(), &|| false).unwrap()
    }

    #[test]
    fn an_archive_of_the_episode_is_known_by_what_it_holds_and_not_by_how_it_is_compressed() {
        let (_root, episode, archive) = recorded("e1");
        let bytes = fs::read(&archive).unwrap();
        let packed = proof(&episode, &bytes).unwrap();
        assert_eq!(packed.size_bytes, bytes.len() as u64);
        assert_eq!(packed.sha256, Sha256Digest::from_bytes(Sha256::digest(&bytes).into()));
        let tar = zstd::decode_all(bytes.as_slice()).unwrap();
        assert!(proof(&episode, &zstd::encode_all(tar.as_slice(), 9).unwrap()).is_some());
    }

    #[test]
    fn what_is_not_the_whole_episode_and_nothing_else_is_no_archive_of_it() {
        let (_root, episode, archive) = recorded("e1");
        let whole = fs::read(&archive).unwrap();
        let others = fs::read(recorded("e2").2).unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        let tar = zstd::decode_all(whole.as_slice()).unwrap();
        let repacked = |tar: &[u8]| zstd::encode_all(tar, 3).unwrap();
        let cases = [
            ("nothing", Vec::new()),
            ("junk", b"packed before".to_vec()),
            ("another episode", others),
            ("cut", whole[..whole.len() - 1].to_vec()),
            ("half", whole[..whole.len() / 2].to_vec()),
            ("more behind it", [&whole[..], b"x"].concat()),
            ("a second frame", [&whole[..], &whole[..]].concat()),
            ("a flipped bit", flipped(whole.len() / 2)),
            ("a flipped bit of its checksum", flipped(whole.len() - 1)),
            ("no members but meta.json", repacked(&tar[..1024])),
            (
                "other bytes in a member",
                repacked(&String::from_utf8_lossy(&tar).replace("{}\n{}\n", "{}\n[]\n").into_bytes()),
            ),
        ];
        for (what, bytes) in cases {
            assert_eq!(proof(&episode, &bytes), None, "{what}");
        }
    }

    #[test]
    fn an_episode_that_has_changed_is_another_one() {
        let (root, _, archive) = recorded("e1");
        let dir = root.path().join("e1");
        let bytes = fs::read(archive).unwrap();
        let looked_at = || Episode::look_at(&dir, &EpisodeId::parse("e1").unwrap()).unwrap();
        fs::write(dir.join("late.jsonl"), "").unwrap();
        assert_eq!(proof(&looked_at(), &bytes), None, "a file that came later");
        fs::remove_file(dir.join("late.jsonl")).unwrap();
        assert!(proof(&looked_at(), &bytes).is_some());
        fs::write(dir.join("deep/empty"), "x").unwrap();
        assert_eq!(proof(&looked_at(), &bytes), None, "a file that grew");
    }

    #[test]
    fn a_file_that_cannot_be_read_says_nothing_about_the_archive() {
        let (root, episode, archive) = recorded("e1");
        let events = root.path().join("e1/events.jsonl");
        fs::remove_file(&events).unwrap();
        fs::create_dir(&events).unwrap();
        let unreadable = episode.packed_in(&File::open(archive).unwrap(), &|| false);
        assert!(matches!(unreadable, Err(PackError::Changed { .. })), "{unreadable:?}");
    }

    #[test]
    fn an_archive_that_cannot_be_read_is_not_another_one() {
        let (root, episode, archive) = recorded("e1");
        // A file that is open for writing only cannot be read.
        let half = root.path().join("half");
        fs::write(&half, &fs::read(archive).unwrap()[..100]).unwrap();
        let unreadable = File::options().write(true).open(half).unwrap();
        let told = episode.packed_in(&unreadable, &|| false);
        assert!(matches!(told, Err(PackError::ReadArchive(_))), "{told:?}");
    }

    #[test]
    fn a_stop_ends_it() {
        let (_root, episode, archive) = recorded("e1");
        let stopped = episode.packed_in(&File::open(archive).unwrap(), &|| true);
        assert!(matches!(stopped, Err(PackError::Stopped)));
    }
}
