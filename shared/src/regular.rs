//! Opens regular files and directories that another user may have placed, and nothing else.
//!
//! A link may lead elsewhere, opening a FIFO can block for ever, and reading some devices has side effects. Names are
//! looked up in an open directory, so that nobody can replace the directory in the meantime.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

/// The kind of an entry that is not a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("it is {0} and no regular file")]
pub struct NotAFile(pub &'static str);

impl NotAFile {
    /// Returns the kind that a file type stands for; `None` for a regular file.
    pub fn of(found: FileType) -> Option<Self> {
        let kinds = [
            (found.is_symlink(), "a symbolic link"),
            (found.is_dir(), "a directory"),
            (found.is_fifo(), "a FIFO"),
            (found.is_socket(), "a socket"),
            (found.is_block_device() || found.is_char_device(), "a device"),
        ];
        kinds.into_iter().find_map(|(is_it, kind)| is_it.then_some(Self(kind)))
    }

    /// Like [`NotAFile::of`], for the file types of system calls.
    pub fn of_node(found: rustix::fs::FileType) -> Option<Self> {
        use rustix::fs::FileType as Node;
        match found {
            Node::RegularFile => None,
            Node::Symlink => Some(Self("a symbolic link")),
            Node::Directory => Some(Self("a directory")),
            Node::Fifo => Some(Self("a FIFO")),
            Node::Socket => Some(Self("a socket")),
            _ => Some(Self("a device")),
        }
    }

    /// Returns the kind of entry that an error of [`open`] names; `None` if it names none.
    pub fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<NotAFile> for io::Error {
    fn from(what: NotAFile) -> Self {
        Self::new(io::ErrorKind::InvalidInput, what)
    }
}

/// Opens a regular file in `dir` for reading, without following a link and without blocking. For anything else the
/// error names its kind.
pub fn open(dir: impl AsFd, name: &Path) -> io::Result<File> {
    // With `NONBLOCK` a FIFO without a writer opens at once; the check below rejects it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(&dir, name, flags, Mode::empty()).map_err(|error| {
        // The system's errors for a link ("too many levels") and for a socket do not show the reason.
        let found = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let node = found.map(|found| rustix::fs::FileType::from_raw_mode(found.st_mode));
        node.and_then(NotAFile::of_node).map_or(error.into(), io::Error::from)
    })?);
    match NotAFile::of(file.metadata()?.file_type()) {
        Some(other) => Err(other.into()),
        None => Ok(file),
    }
}

/// Reads a regular file of at most `limit` bytes without following a link; a longer one is an error of the kind
/// `FileTooLarge`.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(CWD, path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// Opens a directory in `dir`, without following a link.
pub fn open_dir(dir: impl AsFd, name: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{FileType as NodeType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_regular_file_is_opened_and_all_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "abc").unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink("gone", path("dangling")).unwrap();
        fs::create_dir(path("dir")).unwrap();
        mknodat(CWD, path("fifo"), NodeType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        let odd = [
            (path("link"), "a symbolic link"),
            (path("dangling"), "a symbolic link"),
            (path("dir"), "a directory"),
            (path("fifo"), "a FIFO"),
            (path("socket"), "a socket"),
            (Path::new("/dev/zero").to_owned(), "a device"),
        ];
        for (path, kind) in odd {
            let told = open(CWD, &path).unwrap_err().to_string();
            assert_eq!(told, format!("it is {kind} and no regular file"));
        }
        let mut text = String::new();
        open(CWD, &path("file")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(read(&path("file"), 3).unwrap(), b"abc");
        assert_eq!(read(&path("file"), 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(&path("link"), 3).unwrap_err().to_string().contains("a symbolic link"));
        assert_eq!(open(CWD, &path("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(open(CWD, &path("file/below")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
