//! The files in the store, by names and sizes. No archive is opened here.
//!
//! A file that appears or disappears while the store is walked is no fault. So every suspect gets a second [`inspect`] at
//! the end.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cis490_receiver::store::host_dir::file_name;
use cis490_receiver::store::reconcile::Pair;
use cis490_receiver::store::scan::{Archive, Failure, HostNames, Misplaced, Scan, ScanError, scan};
use cis490_receiver::store::spool::{INCOMING, PARTIAL_SUFFIX};
use cis490_shared::durable;
use cis490_shared::ids::{EpisodeId, HostId};

/// An upload without a write for this time has ended, because the receiver gives up on a stalled one in minutes.
const ENDED_AFTER: Duration = Duration::from_hours(24);

/// The metadata of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The size in bytes.
    pub size_bytes: u64,
    /// The time of the last write.
    pub modified: SystemTime,
    /// The time of the last change of bytes, name or owner; the file got its final name no later.
    pub changed: SystemTime,
}

/// An archive and its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// The archive.
    pub archive: Archive,
    /// The metadata.
    pub seen: Seen,
}

/// The result of one walk through the store.
#[derive(Debug, Default)]
pub struct Shelf {
    root: PathBuf,
    /// Sorted by host and episode.
    archives: Vec<Shelved>,
    /// Entries with the name of an archive that are no regular files.
    pub misplaced: Vec<Misplaced>,
    /// Names that belong to no host, archive or upload.
    pub foreign: Vec<PathBuf>,
    /// Uploads that ended long ago and left their bytes behind.
    pub left_over: Vec<PathBuf>,
    /// Directories that could not be listed, and files whose metadata could not be read.
    pub hidden: Vec<Failure>,
}

impl Shelf {
    /// Walks the store, or only one host's directory. Blocks.
    pub fn survey(root: &Path, only: Option<&HostId>, now: SystemTime) -> Result<Self, ScanError> {
        let Scan { listing, skipped, misplaced } = scan(root, only)?;
        let mut shelf =
            Self { misplaced, foreign: skipped, hidden: listing.failed, ..Self::of(root, Vec::new()) };
        listing.hosts.into_iter().for_each(|names| shelf.add_archives(&names));
        shelf.archives.sort_unstable_by(|a, b| a.archive.cmp(&b.archive));
        shelf.hidden.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        shelf.add_uploads(now);
        Ok(shelf)
    }

    /// Creates a shelf with these archives, which must be sorted.
    pub fn of(root: &Path, archives: Vec<Shelved>) -> Self {
        Self { root: root.to_owned(), archives, ..Self::default() }
    }

    fn add_archives(&mut self, names: &HostNames) {
        for archive in names.episodes().filter_map(|episode| names.archive(episode)) {
            match inspect(&archive.path) {
                Ok(Some(seen)) => self.archives.push(Shelved { archive, seen }),
                // It disappeared while the store was walked.
                Ok(None) => {}
                Err(source) => self.hidden.push(Failure { path: archive.path, source }),
            }
        }
    }

    fn add_uploads(&mut self, now: SystemTime) {
        let incoming = self.root.join(INCOMING);
        let entries = match fs::read_dir(&incoming).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            // The directory is missing if no receiver of this generation has opened the store.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(source) => return self.hidden.push(Failure { path: incoming, source }),
            Ok(entries) => entries,
        };
        for path in entries.into_iter().map(|entry| entry.path()) {
            let is_upload = path.as_os_str().as_encoded_bytes().ends_with(PARTIAL_SUFFIX.as_bytes());
            match inspect(&path) {
                Ok(Some(seen)) if is_upload => {
                    let age = now.duration_since(seen.modified).unwrap_or_default();
                    self.left_over.extend((age > ENDED_AFTER).then_some(path));
                }
                // It was published or abandoned meanwhile.
                Ok(None) if is_upload => {}
                Ok(_) => self.foreign.push(path),
                Err(source) => self.hidden.push(Failure { path, source }),
            }
        }
        self.left_over.sort_unstable();
        self.foreign.sort_unstable();
    }

    /// Returns the archives, sorted by host and episode.
    pub fn archives(&self) -> &[Shelved] {
        &self.archives
    }

    /// Returns true if an archive of this pair was found.
    pub fn holds(&self, host: &HostId, episode: &EpisodeId) -> bool {
        self.position(host, episode).is_ok()
    }

    /// Removes an archive that is gone from the shelf.
    pub fn forget(&mut self, (host, episode): &Pair) {
        if let Ok(position) = self.position(host, episode) {
            self.archives.remove(position);
        }
    }

    fn position(&self, host: &HostId, episode: &EpisodeId) -> Result<usize, usize> {
        let order =
            |shelved: &Shelved| (&shelved.archive.host_id, &shelved.archive.episode_id).cmp(&(host, episode));
        self.archives.binary_search_by(order)
    }

    /// Returns the path of a pair's archive, even if there is none.
    pub fn path_of(&self, host: &HostId, episode: &EpisodeId) -> PathBuf {
        self.root.join(host.as_str()).join(file_name(episode))
    }
}

/// Reads the metadata of the file at `path`; `None` if there is no regular file. Blocks.
pub fn inspect(path: &Path) -> io::Result<Option<Seen>> {
    if fs::symlink_metadata(durable::parent(path)).is_ok_and(|dir| dir.is_symlink()) {
        return Ok(None);
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            let changed = changed(&found);
            Ok(Some(Seen { size_bytes: found.len(), modified: found.modified()?, changed }))
        }
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn changed(found: &Metadata) -> SystemTime {
    let (seconds, nanos) = (u64::try_from(found.ctime()), u32::try_from(found.ctime_nsec()));
    // A change before 1970 counts as 1970, because only old and new are told apart.
    UNIX_EPOCH + Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn write(root: &Path, name: &str, age: Duration, now: SystemTime) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, name).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(now - age).unwrap();
    }

    #[test]
    fn archives_uploads_and_foreign_names_are_told_apart() {
        let (dir, now) = (tempfile::tempdir().unwrap(), UNIX_EPOCH + Duration::from_secs(1_760_000_000));
        let (hour, week) = (Duration::from_hours(1), Duration::from_hours(7 * 24));
        for (name, age) in [
            ("b/e1.tar.zst", week),
            ("a/e2.tar.zst", hour),
            ("a/notes", hour),
            (".incoming/young.partial", hour),
            (".incoming/old.partial", week),
            (".incoming/README", week),
        ] {
            write(dir.path(), name, age, now);
        }
        let shelf = Shelf::survey(dir.path(), None, now).unwrap();
        let names: Vec<_> =
            shelf.archives().iter().map(|shelved| shelved.archive.episode_id.as_str()).collect();
        assert_eq!(names, ["e2", "e1"]);
        assert_eq!(shelf.archives()[0].seen.size_bytes, 12);
        assert_eq!(shelf.archives()[0].seen.modified, now - hour);
        assert_eq!(shelf.left_over, [dir.path().join(".incoming/old.partial")]);
        assert_eq!(shelf.foreign, [dir.path().join(".incoming/README"), dir.path().join("a/notes")]);
        assert!(shelf.hidden.is_empty());

        let (a, e1) = (HostId::parse("a").unwrap(), EpisodeId::parse("e1").unwrap());
        assert!(shelf.holds(&HostId::parse("b").unwrap(), &e1) && !shelf.holds(&a, &e1));
        assert_eq!(shelf.path_of(&a, &e1), dir.path().join("a/e1.tar.zst"));
    }

    #[test]
    fn only_a_regular_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("link")).unwrap();
        for name in ["", "link", "gone", "link/below", "gone/below"] {
            assert_eq!(inspect(&dir.path().join(name)).unwrap(), None, "{name:?}");
        }
    }
}
