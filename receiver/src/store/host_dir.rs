//! The directory of one host, opened so that no name in a request leads out of the store.
//!
//! The names of a host and of an episode are single path components by their types. So only a link could lead
//! elsewhere, if somebody put it in the place of the directory or of an archive. Neither open follows links
//! (`O_NOFOLLOW`). For two components this equals `openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, and older
//! kernels have it too.
//! The root may be a link, because the configuration names it. The whole store lies on one file system, because an upload
//! is published by a rename.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use cis490_shared::durable::{self, Temp};
use cis490_shared::ids::EpisodeId;
use cis490_shared::regular::{self, NotAFile};
use cis490_shared::step::Step;
use cis490_shared::wire::path::ARCHIVE_SUFFIX;
use rustix::fs::{AtFlags, CWD, FileType, statat};
use rustix::io::Errno;

use crate::index::publication::{FileId, Publication};

/// The error for an entry of the store that is not the kind of file that its name promises.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is a link or no {expected}, which is not followed: move it away; the whole store lies on one file system", path.display())]
pub struct LeadsElsewhere {
    /// The path of the entry.
    pub path: PathBuf,
    /// The kind of file that should be there.
    pub expected: &'static str,
}

/// The directory of one host.
#[derive(Debug)]
pub struct HostDir {
    dir: File,
    path: PathBuf,
    id: FileId,
}

/// The most damaged archives of one name that are kept. More of them have another cause, which a person must find.
const MOST_SET_ASIDE: u32 = 100;

impl HostDir {
    /// Opens the directory; returns `None` if there is nothing of that name.
    pub fn open(path: PathBuf) -> io::Result<Option<Self>> {
        match regular::open_dir(CWD, &path) {
            Ok(dir) => {
                let dir = File::from(dir);
                let found = dir.metadata()?;
                Ok(Some(Self { dir, path, id: (found.dev(), found.ino()) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(io::Error::other(LeadsElsewhere { path, expected: "directory" }))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens an archive for reading; returns `None` if there is nothing of that name.
    pub fn archive(&self, episode: &EpisodeId) -> io::Result<Option<File>> {
        let name = file_name(episode);
        let odd = || io::Error::other(LeadsElsewhere { path: self.path.join(&name), expected: "file" });
        match regular::open(&self.dir, name.as_ref()) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(NotAFile::in_error(&error).map_or(error, |_| odd())),
        }
    }

    /// Returns the size of an archive in bytes; `None` if there is no regular file of that name.
    pub fn size_of(&self, episode: &EpisodeId) -> io::Result<Option<u64>> {
        match statat(&self.dir, file_name(episode), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode).is_file() => {
                Ok(u64::try_from(found.st_size).ok())
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the identity of the directory, wherever it is now.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Moves the file with an archive's name to another directory, durably, and returns its new path.
    pub fn set_aside(&self, episode: &EpisodeId, aside: &Self) -> io::Result<PathBuf> {
        let name = file_name(episode);
        for number in 1..=MOST_SET_ASIDE {
            let kept = format!("{name}.{number}");
            match durable::rename_noreplace_in(&self.dir, name.as_ref(), &aside.dir, kept.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    // Sync before the name gets another file. Otherwise a power failure could leave only the new file.
                    Step::SyncSetAside.take(|| durable::sync_open_dir(&aside.dir))?;
                    return Ok(aside.path.join(kept));
                }
            }
        }
        let kept =
            format!("{MOST_SET_ASIDE} of the name `{name}` are kept in `{}` already", aside.path.display());
        Err(io::Error::other(kept))
    }

    /// Returns the publication of a name that was just given in this directory.
    pub fn into_publication(self) -> Publication {
        Publication::in_open(self.dir, self.id, self.path)
    }

    /// Gives an archive its name; fails with `AlreadyExists` if the name is taken, also by a link.
    pub fn publish(&self, temp: &mut Temp, episode: &EpisodeId) -> io::Result<()> {
        temp.publish_noreplace_in(&self.dir, file_name(episode).as_ref())
    }
}

/// Returns the file name of an archive in its directory.
pub fn file_name(episode: &EpisodeId) -> String {
    format!("{episode}{ARCHIVE_SUFFIX}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{Mode, mknodat};

    use super::*;

    #[test]
    fn a_link_is_not_followed_in_the_place_of_a_directory_or_of_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("elsewhere")).unwrap();
        std::fs::write(path("elsewhere/e.tar.zst"), "secret").unwrap();
        symlink("elsewhere", path("linked")).unwrap();
        std::fs::create_dir(path("own")).unwrap();
        symlink("../elsewhere/e.tar.zst", path("own/e.tar.zst")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        let said = |told: io::Error| told.to_string();

        for (name, expected) in [("linked", "directory"), ("file", "directory")] {
            let text = said(HostDir::open(path(name)).unwrap_err());
            assert!(
                text.contains(&format!("{}` is a link or no {expected}", path(name).display())),
                "{text}"
            );
        }
        assert!(HostDir::open(path("missing")).unwrap().is_none());
        let (own, episode) = (HostDir::open(path("own")).unwrap().unwrap(), EpisodeId::parse("e").unwrap());
        assert_eq!(own.size_of(&episode).unwrap(), None);
        let text = said(own.archive(&episode).unwrap_err());
        assert!(text.contains(&format!("{}` is a link", path("own/e.tar.zst").display())), "{text}");
        let fifo = EpisodeId::parse("fifo").unwrap();
        mknodat(&own.dir, "fifo.tar.zst", FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let text = said(own.archive(&fifo).unwrap_err());
        assert!(text.contains("is a link or no file"), "{text}");
        assert_eq!(own.size_of(&fifo).unwrap(), None);
        let mut temp = Temp::create(path("temp"), 0o640).unwrap();
        assert_eq!(own.publish(&mut temp, &episode).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(path("elsewhere/e.tar.zst")).unwrap(), "secret");
    }

    #[test]
    fn what_is_published_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostDir::open(dir.path().to_owned()).unwrap().unwrap();
        let episode = EpisodeId::parse("e").unwrap();
        assert!(host.archive(&episode).unwrap().is_none() && host.size_of(&episode).unwrap().is_none());
        host.publish(&mut Temp::create(dir.path().join("temp"), 0o640).unwrap(), &episode).unwrap();
        assert!(host.archive(&episode).unwrap().is_some());
        assert_eq!(host.size_of(&episode).unwrap(), Some(0));
    }

    #[test]
    fn what_is_set_aside_is_kept_under_a_name_of_its_own_every_time() {
        let (dir, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |dir: &tempfile::TempDir| HostDir::open(dir.path().to_owned()).unwrap().unwrap();
        let (host, kept_in) = (open(&dir), open(&aside));
        let episode = EpisodeId::parse("e").unwrap();
        for (text, number) in [("first", 1), ("second", 2)] {
            std::fs::write(dir.path().join("e.tar.zst"), text).unwrap();
            let kept = host.set_aside(&episode, &kept_in).unwrap();
            assert_eq!(kept, aside.path().join(format!("e.tar.zst.{number}")));
            assert_eq!(std::fs::read_to_string(kept).unwrap(), text);
            assert_eq!(host.size_of(&episode).unwrap(), None);
        }
        assert_eq!(std::fs::read_to_string(aside.path().join("e.tar.zst.1")).unwrap(), "first");
        assert_eq!(host.set_aside(&episode, &kept_in).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
