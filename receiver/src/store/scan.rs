//! Walks the store, `<root>/<host>/<episode>.tar.zst`, by names alone.
//!
//! It opens no archive. It reports entries without a valid name to the caller and guesses nothing about them.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::regular::NotAFile;
use cis490_shared::wire::path::ARCHIVE_SUFFIX;

use super::host_dir::file_name;
use super::layout::DAMAGED;
use super::spool::INCOMING;

/// A stored archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Archive {
    /// The host, from the name of the directory.
    pub host_id: HostId,
    /// The episode, from the name of the file.
    pub episode_id: EpisodeId,
    /// The file.
    pub path: PathBuf,
}

/// The names in a store.
#[derive(Debug, Default)]
pub struct Scan {
    /// The archives.
    pub listing: Listing,
    /// Names that are neither a host's directory nor an archive, sorted; without `.incoming` and `.damaged`.
    pub skipped: Vec<PathBuf>,
    /// Entries with the name of an archive or of a host that are something else, sorted.
    pub misplaced: Vec<Misplaced>,
}

/// An entry with the name of an archive that is no regular file, or with that of a host that is no directory. It is never
/// opened, because a link can lead anywhere and a FIFO blocks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misplaced {
    /// The path.
    pub path: PathBuf,
    /// The kind of file.
    pub what: NotAFile,
}

/// A name in a store that is no archive.
#[derive(Debug)]
pub enum Odd {
    /// It is neither a host's directory nor named like an archive.
    Skipped(PathBuf),
    /// It is named like an archive or a host, and is something else.
    Misplaced(Misplaced),
}

/// The names of the archives in a store, with no more than a start needs.
#[derive(Debug, Default)]
pub struct Listing {
    /// The only host that was listed; `None` if all were.
    pub only: Option<HostId>,
    /// The hosts that could be listed completely, in no order.
    pub hosts: Vec<HostNames>,
    /// Host directories that could not be listed completely, and entries that could not be examined.
    pub failed: Vec<Failure>,
}

/// The names of the archives of one host.
#[derive(Debug)]
pub struct HostNames {
    /// The host, from the name of the directory.
    pub host_id: HostId,
    dir: PathBuf,
    /// The episodes, in no order, each followed by [`BEHIND_NAME`]. They share one string, because a million strings
    /// would take twice the memory.
    episodes: String,
}

/// The separator, which no file name can contain.
const BEHIND_NAME: char = '/';

impl HostNames {
    /// Creates a host, listed at `dir`, without names.
    pub const fn new(host_id: HostId, dir: PathBuf) -> Self {
        Self { host_id, dir, episodes: String::new() }
    }

    /// Adds one name.
    pub fn add(&mut self, episode: &EpisodeId) {
        self.episodes.push_str(episode.as_str());
        self.episodes.push(BEHIND_NAME);
    }

    /// Returns the episodes, in no order.
    pub fn episodes(&self) -> impl Iterator<Item = &str> {
        self.episodes.split_terminator(BEHIND_NAME)
    }

    /// Returns the archive of one of the host's episodes.
    pub fn archive(&self, episode: &str) -> Option<Archive> {
        let episode_id = EpisodeId::parse(episode).ok()?;
        let path = self.dir.join(file_name(&episode_id));
        Some(Archive { host_id: self.host_id.clone(), episode_id, path })
    }
}

/// A file or directory that could not be read. The scan continued with the others.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {source}", path.display())]
pub struct Failure {
    /// Its path.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

/// The reason why the store cannot be walked.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The directory does not exist.
    #[error("there is no episodes directory at `{}`", .0.display())]
    NoRoot(PathBuf),
    /// The directory cannot be listed.
    #[error("the episodes directory `{}` cannot be listed: {source}", root.display())]
    Root {
        /// The directory.
        root: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Lists the archives below `root` by their names alone; those of one host if `only` is given. Blocks.
///
/// Passes every other name to `tell`. A start keeps none of them, and there can be as many as there are archives.
pub fn list(root: &Path, only: Option<&HostId>, tell: &mut dyn FnMut(Odd)) -> Result<Listing, ScanError> {
    let mut listing = Listing { only: only.cloned(), ..Listing::default() };
    for entry in entries_of_root(root)? {
        let path = entry.path();
        match host_of(&entry) {
            Ok(OfRoot::Host(host)) if only.is_none_or(|only| *only == host) => {
                listing.add_host(HostNames::new(host, path), tell);
            }
            Ok(OfRoot::Host(_)) => {}
            Ok(OfRoot::Misplaced(what)) => tell(Odd::Misplaced(Misplaced { path, what })),
            Ok(OfRoot::Other) if entry.file_name() == INCOMING || entry.file_name() == DAMAGED => {}
            Ok(OfRoot::Other) => tell(Odd::Skipped(path)),
            Err(source) => listing.failed.push(Failure { path, source }),
        }
    }
    Ok(listing)
}

impl Listing {
    fn add_host(&mut self, mut names: HostNames, tell: &mut dyn FnMut(Odd)) {
        let mut read = || -> io::Result<()> {
            for entry in fs::read_dir(&names.dir)? {
                let entry = entry?;
                match episode_of(&entry) {
                    Ok(Named::Archive(episode)) => names.add(&episode),
                    Ok(Named::Misplaced(what)) => {
                        tell(Odd::Misplaced(Misplaced { path: entry.path(), what }));
                    }
                    Ok(Named::Other) => tell(Odd::Skipped(entry.path())),
                    Err(source) => self.failed.push(Failure { path: entry.path(), source }),
                }
            }
            Ok(())
        };
        match read() {
            Ok(()) => self.hosts.push(names),
            Err(source) => self.failed.push(Failure { path: names.dir, source }),
        }
    }

    /// Returns the number of archives.
    pub fn count(&self) -> usize {
        self.hosts.iter().map(|names| names.episodes().count()).sum()
    }
}

/// Lists the archives like [`list`], and keeps every other name. Blocks.
pub fn scan(root: &Path, only: Option<&HostId>) -> Result<Scan, ScanError> {
    let (mut skipped, mut misplaced) = (Vec::new(), Vec::new());
    let listing = list(root, only, &mut |odd| match odd {
        Odd::Skipped(path) => skipped.push(path),
        Odd::Misplaced(found) => misplaced.push(found),
    })?;
    skipped.sort_unstable();
    misplaced.sort_unstable();
    Ok(Scan { listing, skipped, misplaced })
}

fn entries_of_root(root: &Path) -> Result<Vec<DirEntry>, ScanError> {
    fs::read_dir(root).and_then(Iterator::collect).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ScanError::NoRoot(root.to_owned()),
        _ => ScanError::Root { root: root.to_owned(), source },
    })
}

/// What an entry of the store is.
enum OfRoot {
    Host(HostId),
    Misplaced(NotAFile),
    Other,
}

/// Returns the host of a directory. A link in its place is not followed, as in uploads and reads ([`super::host_dir`]).
fn host_of(entry: &DirEntry) -> io::Result<OfRoot> {
    let Some(host) = entry.file_name().to_str().and_then(|name| HostId::parse(name).ok()) else {
        return Ok(OfRoot::Other);
    };
    let kind = entry.file_type()?;
    Ok(match NotAFile::of(kind) {
        _ if kind.is_dir() => OfRoot::Host(host),
        Some(what) => OfRoot::Misplaced(what),
        None => OfRoot::Other,
    })
}

/// The meaning of a name in a host's directory.
enum Named {
    Archive(EpisodeId),
    Misplaced(NotAFile),
    Other,
}

/// Returns the episode if the entry is a regular file with the name of an archive.
fn episode_of(entry: &DirEntry) -> io::Result<Named> {
    let name = entry.file_name();
    let id = name.to_str().and_then(|name| name.strip_suffix(ARCHIVE_SUFFIX));
    let Some(episode) = id.and_then(|id| EpisodeId::parse(id).ok()) else { return Ok(Named::Other) };
    Ok(NotAFile::of(entry.file_type()?).map_or(Named::Archive(episode), Named::Misplaced))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Returns a store with empty files of the given names.
    fn store(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn names(dir: &Path, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
        let below = |path: PathBuf| path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        paths.into_iter().map(below).collect()
    }

    fn archives(listing: &Listing) -> Vec<Archive> {
        let of = |names: &HostNames| -> Vec<_> {
            names.episodes().map(|episode| names.archive(episode).unwrap()).collect()
        };
        let mut archives: Vec<_> = listing.hosts.iter().flat_map(of).collect();
        archives.sort_unstable();
        assert_eq!(archives.len(), listing.count());
        archives
    }

    /// Returns the listing that a start makes.
    fn listed(root: &Path) -> Result<Listing, ScanError> {
        list(root, None, &mut |_| {})
    }

    #[test]
    fn archives_are_found_and_odd_names_are_told_sorted() {
        let dir = store(&[
            "b/e2.tar.zst",
            "b/e1.tar.zst",
            "a/e9.tar.zst",
            "a/e9.tar.zst.partial",
            "a/.e8.tar.zst",
            "a/e.7.tar.zst",
            "a/.tar.zst",
            "a/notes.txt",
            "a/folder.tar.zst/x",
            "_odd/e1.tar.zst",
            "index.jsonl",
            ".incoming/e1.tar.zst",
        ]);
        symlink("e9.tar.zst", dir.path().join("a/e6.tar.zst")).unwrap();
        let scan = scan(dir.path(), None).unwrap();
        let found = archives(&scan.listing);
        assert_eq!(archives(&listed(dir.path()).unwrap()), found, "a start sees the same");
        let found = names(dir.path(), found.into_iter().map(|archive| archive.path));
        assert_eq!(found, ["a/e9.tar.zst", "b/e1.tar.zst", "b/e2.tar.zst"]);
        let skipped = names(dir.path(), scan.skipped);
        let expected = [
            "_odd",
            "a/.e8.tar.zst",
            "a/.tar.zst",
            "a/e.7.tar.zst",
            "a/e9.tar.zst.partial",
            "a/notes.txt",
            "index.jsonl",
        ];
        assert_eq!(skipped, expected);
        let misplaced = |name: &str, what| Misplaced { path: dir.path().join(name), what: NotAFile(what) };
        let expected =
            [misplaced("a/e6.tar.zst", "a symbolic link"), misplaced("a/folder.tar.zst", "a directory")];
        assert_eq!(scan.misplaced, expected);
    }

    #[test]
    fn only_one_host_when_one_is_asked_for() {
        let dir = store(&["a/e1.tar.zst", "ab/e1.tar.zst", "ab/junk"]);
        let only = HostId::parse("a").unwrap();
        let scan = scan(dir.path(), Some(&only)).unwrap();
        assert_eq!(scan.listing.count(), 1);
        assert_eq!(scan.listing.hosts[0].host_id, only);
        assert!(scan.skipped.is_empty());
    }

    #[test]
    fn a_link_in_place_of_a_hosts_directory_is_told_and_not_followed() {
        let (dir, other) = (store(&["file"]), store(&["h/e1.tar.zst"]));
        symlink(other.path().join("h"), dir.path().join("h")).unwrap();
        let scan = scan(dir.path(), None).unwrap();
        assert_eq!([scan.listing.count(), listed(dir.path()).unwrap().count()], [0, 0]);
        let link = Misplaced { path: dir.path().join("h"), what: NotAFile("a symbolic link") };
        assert_eq!((scan.misplaced, names(dir.path(), scan.skipped)), (vec![link], vec!["file".to_owned()]));
    }

    #[test]
    fn a_root_that_is_no_directory_is_told_apart() {
        let dir = store(&["file"]);
        for root in ["gone", "file"] {
            assert!(matches!(scan(&dir.path().join(root), None), Err(ScanError::NoRoot(_))), "{root}");
            assert!(matches!(listed(&dir.path().join(root)), Err(ScanError::NoRoot(_))), "{root}");
        }
    }
}
