//! Opening what somebody else may have put there: a regular file or a directory, and nothing else.
//!
//! A link may lead elsewhere, a FIFO never opens, and some devices do something when they are read. A name is looked up
//! in a directory that is open, so that nobody can put another one in its place meanwhile.

use std::fs::{File, FileType};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

/// Something that is no regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("it is {0} and no regular file")]
pub struct NotAFile(pub &'static str);

impl NotAFile {
    /// What a thing of this type is; none for a regular file.
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

    /// The same for what the system calls say.
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

    /// What an error of [`open`] says about what was found, if it says anything.
    pub fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<NotAFile> for io::Error {
    fn from(what: NotAFile) -> Self {
        Self::new(io::ErrorKind::InvalidInput, what)
    }
}

/// Opens a regular file in `dir` for reading, without following a link and without waiting for anybody. Its error names
/// anything else.
pub fn open(dir: impl AsFd, name: &Path) -> io::Result<File> {
    // A FIFO without a writer opens at once; it goes no further than this function.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(&dir, name, flags, Mode::empty()).map_err(|error| {
        // What the system says of a link ("too many levels") and of a socket would lead nobody to the reason.
        let found = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let node = found.map(|found| rustix::fs::FileType::from_raw_mode(found.st_mode));
        node.and_then(NotAFile::of_node).map_or(error.into(), io::Error::from)
    })?);
    match NotAFile::of(file.metadata()?.file_type()) {
        Some(other) => Err(other.into()),
        None => Ok(file),
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
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType as NodeType, Mode, mknodat};

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
        assert_eq!(open(CWD, &path("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(open(CWD, &path("file/below")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
