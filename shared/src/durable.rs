//! The only module that calls fsync, rename, lock and append.
//!
//! Every function here blocks. The order that makes a file durable is always the same:
//!
//! 1. write under a temporary name
//! 2. sync the bytes
//! 3. publish under the final name
//! 4. sync the directory that holds the name
//!
//! After a failed sync the caller drops the file and never syncs the same descriptor again. The kernel may have marked
//! the lost pages clean (invariants I1, I2, I5).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, AtFlags, CWD, FallocateFlags, FileType, RenameFlags};
use rustix::io::Errno;

pub use self::carry::{carry_noreplace, sweep_carried};
use crate::step::Step;

/// A file under a temporary name, removed on drop unless it was published.
#[derive(Debug)]
pub struct Temp {
    file: File,
    path: PathBuf,
    published: bool,
    written: u64,
    /// Number of bytes whose write-back was requested or is complete.
    handed_over: u64,
}

/// Number of bytes after which the kernel is asked to begin write-back. So the final sync of a large file has little
/// left to do, and dirty pages do not pile up on a small machine.
const WRITE_BACK_BYTES: u64 = 8 << 20;

impl Temp {
    /// Creates a new file at `path`; an existing one is an error. `mode` is exact, whatever the umask.
    pub fn create(path: PathBuf, mode: u32) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let temp = Self { file, path, published: false, written: 0, handed_over: 0 };
        temp.file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(temp)
    }

    /// Reserves `bytes` on the disk, so that a full disk shows before the first byte is written.
    ///
    /// Succeeds on a file system that cannot reserve, which reports a full disk when the bytes are written.
    pub fn reserve(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 || !Step::Reserve.is_taken() {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Makes the bytes durable. After an error the file must be dropped, never synced again.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Asks the kernel to begin write-back, so that the sync has less to do.
    fn begin_write_back(&mut self) {
        if let Some(fresh) = NonZeroU64::new(self.written - self.handed_over) {
            // This is only a hint, so its result is ignored and the sync reports any error. Linux begins the write-back
            // of dirty pages that are declared as not needed again.
            let _ = rustix::fs::fadvise(&self.file, self.handed_over, Some(fresh), Advice::DontNeed);
            self.handed_over = self.written;
        }
    }

    /// Makes the bytes written so far durable, so that the sync at the end has less to do. That sync is still required.
    /// After an error the file must be dropped.
    pub fn sync_so_far(&mut self) -> io::Result<()> {
        self.sync()?;
        self.handed_over = self.written;
        Ok(())
    }

    /// Gives the file its final name without ever replacing another file; `AlreadyExists` if the name is taken.
    ///
    /// The caller syncs the directory, because several files can share one sync.
    pub fn publish_noreplace(mut self, to: &Path) -> io::Result<()> {
        self.publish_noreplace_in(CWD, to)
    }

    /// Like [`Temp::publish_noreplace`], for a name in an open directory, even if its path leads elsewhere by now. It
    /// can be called again after an error.
    pub fn publish_noreplace_in(&mut self, dir: impl AsFd, name: &Path) -> io::Result<()> {
        match Step::NeverReplace.is_taken() {
            true => rename_noreplace_between(CWD, &self.path, dir.as_fd(), name)?,
            false => rustix::fs::renameat(CWD, &self.path, dir, name)?,
        }
        self.published = true;
        Ok(())
    }

    /// Gives the file its final name, and replaces any file that has it.
    fn publish_replace(mut self, to: &Path) -> io::Result<()> {
        replace(&self.path, to)?;
        self.published = true;
        Ok(())
    }

    /// Returns the path of the temporary name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for Temp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        if self.written - self.handed_over >= WRITE_BACK_BYTES {
            self.begin_write_back();
        }
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.published {
            // A failure cannot be handled here. The sweep at the next start removes the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Moves a file or directory to a free name; `AlreadyExists` if it is taken. Syncs nothing.
///
/// On a file system without `RENAME_NOREPLACE` (NFS, 9p, many of FUSE, older ZFS) a hard link gives the same guarantee
/// for files. Directories cannot be hard-linked, so their new name is checked first, and callers hold a lock against
/// other processes of ours.
pub fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    rename_noreplace_between(CWD, from, CWD, to)
}

/// Like [`rename_noreplace`], for names in open directories, even if their paths lead elsewhere by now.
pub fn rename_noreplace_in(old: impl AsFd, from: &Path, new: impl AsFd, to: &Path) -> io::Result<()> {
    rename_noreplace_between(old.as_fd(), from, new.as_fd(), to)
}

fn rename_noreplace_between(
    old: BorrowedFd<'_>,
    from: &Path,
    new: BorrowedFd<'_>,
    to: &Path,
) -> io::Result<()> {
    match rustix::fs::renameat_with(old, from, new, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rename_where_free(old, from, new, to),
        other => Ok(other?),
    }
}

/// Renames in two steps. Another program can take the new name of a directory between them, but loses nothing. The
/// kernel never replaces a directory that is not empty, nor a file by a directory.
fn rename_where_free(old: BorrowedFd<'_>, from: &Path, new: BorrowedFd<'_>, to: &Path) -> io::Result<()> {
    let found = rustix::fs::statat(old, from, AtFlags::SYMLINK_NOFOLLOW)?;
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        rustix::fs::linkat(old, from, new, to, AtFlags::empty())?;
        return Ok(rustix::fs::unlinkat(old, from, AtFlags::empty())?);
    }
    match rustix::fs::statat(new, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(rustix::fs::renameat(old, from, new, to)?),
        Err(error) => Err(error.into()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Renames a file, and replaces any file that has the name.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Moves a file or directory to a free name and makes the move durable.
pub fn move_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    rename_noreplace(from, to)?;
    let (old, new) = (parent(from), parent(to));
    Step::SyncMovedTo.take(|| sync_dir(new))?;
    if old != new {
        Step::SyncMovedFrom.take(|| sync_dir(old))?;
    }
    Ok(())
}

/// Writes a small file durably, so that a reader sees either the old or the new content.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_file_with(path, bytes, mode, |_| Ok(()))
}

/// Like [`replace_file`], but the new file keeps the owner of the old one, or gets the owner of the directory if there
/// was none. So a tool run as root never locks the service out.
pub fn replace_file_of_its_owner(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let like = if path.try_exists()? { path } else { parent(path) };
    replace_file_with(path, bytes, mode, |file| give(file, like))
}

fn replace_file_with(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let mut temp = replacement(path, mode)?;
    prepare(&temp.file)?;
    temp.write_all(bytes)?;
    Step::SyncReplacement.take(|| temp.sync())?;
    temp.publish_replace(path)?;
    Step::SyncReplacedName.take(|| sync_dir(parent(path)))
}

/// Creates an empty file beside `path`, which is to replace it.
fn replacement(path: &Path, mode: u32) -> io::Result<Temp> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temp_path = path.with_file_name(name);
    // An earlier attempt that died may have left a temporary file, which is useless.
    match fs::remove_file(&temp_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Temp::create(temp_path, mode)
}

/// Writes a small file so that a reader sees either the old or the new content. Syncs nothing, because it is for
/// content that is written often and worthless after a crash.
pub fn replace_fleeting_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut temp = replacement(path, mode)?;
    temp.write_all(bytes)?;
    temp.publish_replace(path)
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    sync_open_dir(&File::open(path)?)
}

/// Like [`sync_dir`], for an open directory, even if its path leads elsewhere by now.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn sync_open_dir(dir: &File) -> io::Result<()> {
    dir.sync_all()
}

/// Makes appended bytes of an open file durable. After an error the descriptor must not be synced again.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Creates a directory if it is missing, and then syncs its parent. Returns true if it was missing.
pub fn create_dir(path: &Path, mode: u32) -> io::Result<bool> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            Step::SyncNewDir.take(|| sync_dir(parent(path)))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Like [`create_dir`] for the whole chain of missing directories. The name of a directory that exists already is made
/// durable as well.
pub fn create_dir_all(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return sync_name_found(path);
    }
    create_dir_all(parent(path), mode)?;
    create_dir(path, mode).map(drop)
}

/// Opens an existing file for appending and reading.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

/// Makes an existing name durable, because the process that created it may have died before its sync.
fn sync_name_found(path: &Path) -> io::Result<()> {
    match Step::SyncFoundName.take(|| sync_dir(parent(path))) {
        // Another user prepared a directory that we may not list, and also the names in it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Creates an empty file if it is missing, and syncs its directory in both cases.
///
/// A new file gets the owner of the directory, so that a tool run as root never locks the service out.
pub fn create_file(path: &Path, mode: u32) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return sync_name_found(path),
        other => other?,
    };
    give(&file, parent(path))?;
    Step::SyncNewFile.take(|| sync_dir(parent(path)))
}

/// Gives a file the owner and group of `like`. Does nothing unless the process runs as root.
fn give(file: &File, like: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(like)?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Returns the directory that holds `path`; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// An exclusive lock between processes (flock), released on drop.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Interval between two attempts to take a lock that another process holds.
const LOCK_RETRY: Duration = Duration::from_millis(2);

impl FileLock {
    /// Takes the lock, and waits for its holder up to `patience`; `WouldBlock` after that.
    ///
    /// Creates the lock file if it is missing. The file is never removed, because that would let two holders in.
    #[expect(clippy::disallowed_methods, reason = "flock has no wait with a deadline")]
    pub fn take(path: &Path, patience: Duration) -> io::Result<Self> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_file(path, 0o640)?;
                File::open(path)?
            }
            other => other?,
        };
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_RETRY);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns true if a process holds the lock. Creates nothing, but holds the lock for an instant itself. A process
    /// that takes the lock in that instant sees it as held, so it needs a little patience.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

mod carry;
#[cfg(test)]
mod tests;
