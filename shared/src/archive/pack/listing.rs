//! Lists and opens the files of an episode, starting from its open directory.
//!
//! The recorder may run as another user, and could replace a directory by a link during the read. So every path is
//! opened component by component from the open directory, and no link is followed. No file outside the episode is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Stat, statat};

use super::PackError;
use crate::archive::REASON_NAME;
use crate::file_fingerprint::FileFingerprint;
use crate::meta::{MAX_META_BYTES, META_NAME};
use crate::regular::{self, NotAFile};

/// A file of the episode, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Relative to the directory of the episode.
    pub(super) path: PathBuf,
    pub(super) stamp: FileFingerprint,
}

/// The open directory of an episode.
#[derive(Debug)]
pub(super) struct Tree {
    dir: OwnedFd,
    path: PathBuf,
    /// The longest path below it that an archive may hold, in bytes.
    max_path_bytes: usize,
}

impl Tree {
    pub(super) fn open(path: &Path, max_path_bytes: usize) -> Result<Self, PackError> {
        let dir = regular::open_dir(CWD, path).map_err(|source| {
            let found = (source.kind() == io::ErrorKind::NotADirectory).then(|| kind_of(CWD, path)).flatten();
            match found {
                Some(kind) => PackError::NotAFile { path: path.to_owned(), kind },
                None => PackError::Read { path: path.to_owned(), source },
            }
        })?;
        Ok(Self { dir, path: path.to_owned(), max_path_bytes })
    }

    /// Returns the path of a member, for messages.
    pub(super) fn path(&self, member: &Path) -> PathBuf {
        self.path.join(member)
    }

    fn error(&self, member: &Path, source: io::Error) -> PackError {
        let path = self.path(member);
        match NotAFile::in_error(&source) {
            Some(kind) => PackError::NotAFile { path, kind },
            None => PackError::Read { path, source },
        }
    }

    /// Reads meta.json: at most one byte more than its limit, which shows that it is too large.
    pub(super) fn read_meta(&self) -> Result<(Member, Vec<u8>), PackError> {
        let path = PathBuf::from(META_NAME);
        let file = regular::open(&self.dir, &path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => PackError::NoMeta(self.path.clone()),
            _ => self.error(&path, source),
        })?;
        let stamp = file
            .metadata()
            .map(|file| FileFingerprint::of(&file))
            .map_err(|source| self.error(&path, source))?;
        let mut text = Vec::new();
        file.take(MAX_META_BYTES + 1).read_to_end(&mut text).map_err(|source| self.error(&path, source))?;
        Ok((Member { path, stamp }, text))
    }

    /// Lists every file except the shipper's note: meta.json first, the others sorted by the bytes of the whole path.
    ///
    /// Directories are not archived, because they hold nothing but a time and a mode.
    pub(super) fn list(&self) -> Result<Vec<Member>, PackError> {
        let (mut members, mut folders) = (Vec::new(), vec![PathBuf::new()]);
        while let Some(folder) = folders.pop() {
            let dir = self.folder(&folder).map_err(|source| self.vanished(&folder, source))?;
            let again = dir.try_clone().map_err(|source| self.error(&folder, source))?;
            let mut entries = Dir::new(again).map_err(|error| self.error(&folder, error.into()))?;
            // The top directory stays open, so its second listing must start again.
            entries.rewind();
            for entry in entries {
                let entry = entry.map_err(|error| self.error(&folder, error.into()))?;
                let name = Path::new(std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()));
                let path = folder.join(name);
                if [".", ".."].map(Path::new).contains(&name) || path == Path::new(REASON_NAME) {
                    continue;
                }
                let found = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| self.vanished(&path, error.into()))?;
                self.take(path, &found, &mut members, &mut folders)?;
            }
        }
        members.sort_unstable_by(|one, other| one.sort_key().cmp(&other.sort_key()));
        Ok(members)
    }

    fn take(
        &self,
        path: PathBuf,
        found: &Stat,
        members: &mut Vec<Member>,
        folders: &mut Vec<PathBuf>,
    ) -> Result<(), PackError> {
        let length = path.as_os_str().len();
        if length > self.max_path_bytes {
            let length = length + super::MAX_PATH_BYTES - self.max_path_bytes;
            return Err(PackError::PathTooLong { path, length });
        }
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => folders.push(path),
            kind => match NotAFile::of_node(kind) {
                None => members.push(Member { path, stamp: FileFingerprint::of_stat(found) }),
                Some(kind) => return Err(PackError::NotAFile { path: self.path(&path), kind }),
            },
        }
        Ok(())
    }

    /// Opens a member for reading. Returns an error if it is not the listed file, unchanged.
    pub(super) fn open_member(&self, member: &Member) -> Result<File, PackError> {
        let folder = member.path.parent().unwrap_or(Path::new(""));
        let name = Path::new(member.path.file_name().unwrap_or_default());
        let opened = self.folder(folder).and_then(|dir| {
            let file = regular::open(dir, name)?;
            let stamp = FileFingerprint::of(&file.metadata()?);
            Ok((file, stamp))
        });
        let (file, stamp) = opened.map_err(|source| self.vanished(&member.path, source))?;
        if stamp == member.stamp { Ok(file) } else { Err(self.changed(&member.path)) }
    }

    /// Opens a directory of the episode, component by component.
    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut dir = self.dir.try_clone()?;
        for name in path {
            dir = regular::open_dir(&dir, Path::new(name))?;
        }
        Ok(dir)
    }

    pub(super) fn changed(&self, member: &Path) -> PackError {
        PackError::Changed { path: self.path(member) }
    }

    /// Returns the error for a listed entry that cannot be opened: [`PackError::Changed`] if another entry may have its
    /// name by now.
    fn vanished(&self, member: &Path, source: io::Error) -> PackError {
        let is_another = NotAFile::in_error(&source).is_some()
            || matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        if is_another { self.changed(member) } else { self.error(member, source) }
    }
}

impl Member {
    pub(super) fn sort_key(&self) -> (bool, &[u8]) {
        (self.path != Path::new(META_NAME), self.path.as_os_str().as_bytes())
    }
}

fn kind_of(dir: impl std::os::fd::AsFd, name: &Path) -> Option<NotAFile> {
    let found = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    NotAFile::of_node(FileType::from_raw_mode(found.st_mode))
}
