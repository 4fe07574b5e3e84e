//! Opening what lies where an archive should: a regular file and nothing else.
//!
//! A link may lead out of the store, a FIFO never opens, and some devices do something when they are read.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Something that has the name of an archive and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("it is {0}, and an archive is a regular file")]
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
}

impl From<NotAFile> for io::Error {
    fn from(what: NotAFile) -> Self {
        Self::new(io::ErrorKind::InvalidInput, what)
    }
}

/// Opens the archive at `path` for reading, without following a link and without waiting for anybody.
pub fn open_archive(path: &Path) -> io::Result<File> {
    // A FIFO without a writer opens at once; it goes no further than this function.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| {
        // What the system says of a link ("too many levels") and of a socket would lead nobody to the reason.
        let found = std::fs::symlink_metadata(path).ok();
        found.and_then(|found| NotAFile::of(found.file_type())).map_or(error, io::Error::from)
    })?;
    match NotAFile::of(file.metadata()?.file_type()) {
        Some(other) => Err(other.into()),
        None => Ok(file),
    }
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
            let told = open_archive(&path).unwrap_err().to_string();
            assert_eq!(told, format!("it is {kind}, and an archive is a regular file"));
        }
        let mut text = String::new();
        open_archive(&path("file")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(open_archive(&path("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(open_archive(&path("file/below")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
