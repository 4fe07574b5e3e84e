//! The only home of fsync, rename, lock and append.
//!
//! Every function here blocks. The order that makes a file durable is always the same: write under a
//! temporary name, sync the bytes, publish under the final name, sync the directory that holds the name.
//! A sync that failed is believed: the caller drops the file and never syncs the same descriptor again,
//! since the kernel may have marked the lost pages clean (invariants I1, I2, I5).

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
    /// Up to here the kernel was asked to begin writing to the disk.
    handed_over: u64,
}

/// After so many bytes the kernel is asked to begin writing them, so that the sync at the end of a large file has little
/// left to do, and dirty pages do not pile up on a small machine.
const WRITE_BACK_BYTES: u64 = 8 << 20;

impl Temp {
    /// Creates a new file at `path`; one that is there already is an error. `mode` is exact, whatever the umask.
    pub fn create(path: PathBuf, mode: u32) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let temp = Self { file, path, published: false, written: 0, handed_over: 0 };
        temp.file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(temp)
    }

    /// Reserves `bytes` on the disk, so that a full disk shows before the first byte is written.
    ///
    /// A file system that cannot reserve is no error: it will say so when it is full.
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

    /// Lets the disk begin with what was written, so that less is left for the sync.
    fn begin_write_back(&mut self) {
        if let Some(fresh) = NonZeroU64::new(self.written - self.handed_over) {
            // A hint, so what becomes of it is for the sync to say. Linux begins the write-back of pages that are dirty
            // and said not to be needed again.
            let _ = rustix::fs::fadvise(&self.file, self.handed_over, Some(fresh), Advice::DontNeed);
            self.handed_over = self.written;
        }
    }

    /// Makes what was written so far durable, so that less is left for the sync at the end, which is still due.
    /// After an error the file must be dropped.
    pub fn sync_so_far(&mut self) -> io::Result<()> {
        self.sync()?;
        self.handed_over = self.written;
        Ok(())
    }

    /// Gives the file its final name without ever replacing another; `AlreadyExists` where the name is taken.
    ///
    /// The caller syncs the directory: several files can share one sync.
    pub fn publish_noreplace(mut self, to: &Path) -> io::Result<()> {
        self.publish_noreplace_in(CWD, to)
    }

    /// The same for a name in a directory that is open, wherever its path leads by now. Where it fails it can be tried
    /// again.
    pub fn publish_noreplace_in(&mut self, dir: impl AsFd, name: &Path) -> io::Result<()> {
        match Step::NeverReplace.is_taken() {
            true => rename_noreplace_between(CWD, &self.path, dir.as_fd(), name)?,
            false => rustix::fs::renameat(CWD, &self.path, dir, name)?,
        }
        self.published = true;
        Ok(())
    }

    /// Gives the file its final name, in place of whatever has it.
    fn publish_replace(mut self, to: &Path) -> io::Result<()> {
        replace(&self.path, to)?;
        self.published = true;
        Ok(())
    }

    /// The path of the temporary name.
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
            // Nothing can be done about a failure here; the sweep at the next start removes what is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Moves a file or directory to a name that is free; `AlreadyExists` where it is not. Syncs nothing.
///
/// File systems without `RENAME_NOREPLACE` (NFS, 9p, many of FUSE, older ZFS) get the same for files by way of a hard
/// link. A directory has none: there the name is looked at first, and callers keep others of ours away by a lock.
pub fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    rename_noreplace_between(CWD, from, CWD, to)
}

/// The same for names in directories that are open, wherever their paths lead by now.
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

/// Renames in two steps. Another program may take the name of a directory between them, and loses nothing: the kernel
/// never replaces a directory that holds something, nor a file by a directory.
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

/// Gives a file the name of another, which is gone then.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Moves a file or directory to a name that is free and makes the move durable.
pub fn move_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    rename_noreplace(from, to)?;
    let (old, new) = (parent(from), parent(to));
    Step::SyncMovedTo.take(|| sync_dir(new))?;
    if old != new {
        Step::SyncMovedFrom.take(|| sync_dir(old))?;
    }
    Ok(())
}

/// Writes a small file so that a reader sees either the old or the new content, durably.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_file_with(path, bytes, mode, |_| Ok(()))
}

/// The same for a file of somebody else's: it stays whose it was, or goes to the owner of its directory where it is new, so
/// that a tool run as root never locks the service out.
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

/// An empty file beside `path` that is to take its place.
fn replacement(path: &Path, mode: u32) -> io::Result<Temp> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temp_path = path.with_file_name(name);
    // A temporary of an earlier attempt that died half-way is of no use to anybody.
    match fs::remove_file(&temp_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Temp::create(temp_path, mode)
}

/// Writes a small file so that a reader sees either the old or the new content. Nothing is synced: for what is worth
/// nothing after a crash, and is written often.
pub fn replace_fleeting_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut temp = replacement(path, mode)?;
    temp.write_all(bytes)?;
    temp.publish_replace(path)
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    sync_open_dir(&File::open(path)?)
}

/// The same for a directory that is open, wherever its path leads by now.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn sync_open_dir(dir: &File) -> io::Result<()> {
    dir.sync_all()
}

/// Makes appended bytes of an open file durable. After an error the descriptor must not be synced again.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Creates a directory and syncs the one that holds it; true where it was missing.
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

/// Like [`create_dir`] for the whole chain of missing directories; one that is there is synced into the one that
/// holds it as well.
pub fn create_dir_all(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return sync_name_found(path);
    }
    create_dir_all(parent(path), mode)?;
    create_dir(path, mode).map(drop)
}

/// Opens a file that is there already for appending and reading.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

/// Makes a name durable that was found and not made: whoever made it may have died before it was synced.
fn sync_name_found(path: &Path) -> io::Result<()> {
    match Step::SyncFoundName.take(|| sync_dir(parent(path))) {
        // What we may not even list was prepared by others, and so was what is in it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Creates an empty file unless there is one; its directory is synced in both cases.
///
/// A new file belongs to whoever owns the directory, so that a tool run as root never locks the service out.
pub fn create_file(path: &Path, mode: u32) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return sync_name_found(path),
        other => other?,
    };
    give(&file, parent(path))?;
    Step::SyncNewFile.take(|| sync_dir(parent(path)))
}

/// Lets a file belong to whoever `like` belongs to; only root can.
fn give(file: &File, like: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(like)?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// The directory that holds `path`; `.` for a bare name.
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

/// How often a lock that somebody else holds is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(2);

impl FileLock {
    /// Takes the lock, waiting for its holder up to `patience`; `WouldBlock` after that.
    ///
    /// The lock file is created where it is missing and never removed: removing it would let two holders in.
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

    /// Whether somebody holds the lock. Creates nothing; but whoever takes the lock in the very moment of this look is
    /// told that it is held, so those who may be looked at take it with a little patience.
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
