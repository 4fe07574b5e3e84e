//! The disk as a mounted file system, by FUSE. This module only translates, and decides nothing.
//!
//! Every read and write goes straight to the disk (direct I/O), and the kernel caches no name. So the log has every
//! operation in its order. The kernel itself handles the locks of programs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::disk::{Body, Disk, Node, Number, Write};

/// Duration of a sync. A program that answers without waiting for its sync answers during this time, when the log does
/// not count the sync yet. It is many times the time that an answer takes from the program to the test.
const SYNC: Duration = Duration::from_millis(20);

/// Cache time of an answer: the kernel must not rely on any earlier answer.
const FORGET_AT_ONCE: Duration = Duration::ZERO;

/// Block size that is reported, in bytes.
const BLOCK: u32 = 4096;

/// Number of free blocks that is reported: 4 TiB, more than any test fills.
const BLOCKS: u64 = 1 << 30;

/// Number of free inodes that is reported.
const NAMES: u64 = 1 << 20;

/// Maximum length of a name, as on any Linux file system.
const LONGEST_NAME: u32 = 255;

/// The FUSE side of a disk.
pub(super) struct Front {
    disk: Arc<Mutex<Disk>>,
    listings: Mutex<BTreeMap<u64, Vec<Listed>>>,
}

/// An entry of a directory at the time when the directory was opened.
type Listed = (Number, FileType, OsString);

/// Takes a lock, even one that a panicked test has poisoned, because the mount must work until it is unmounted.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Front {
    pub(super) fn of(disk: Arc<Mutex<Disk>>) -> Self {
        Self { disk, listings: Mutex::default() }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        locked(&self.disk)
    }

    fn make(
        &self,
        request: &Request,
        at: (Number, &OsStr),
        body: Body,
        mode: u32,
    ) -> Result<FileAttr, Errno> {
        let mut disk = self.disk();
        let number = disk.create(at, body, mode & 0o7777, (request.uid(), request.gid())).map_err(told)?;
        attributes(&disk, number)
    }

    /// Runs a sync on a thread, so that no other operation waits for it, and answers when it counts.
    fn sync(&self, number: Number, reply: ReplyEmpty) {
        let disk = Arc::clone(&self.disk);
        let covers = self.disk().log.len();
        std::thread::spawn(move || {
            take_the_time_of_a_sync();
            // A program that gets the answer must find the sync in the log.
            locked(&disk).sync(number, covers);
            reply.ok();
        });
    }
}

/// Sleeps for the duration of a sync, the only operation on this disk that takes time.
#[expect(clippy::disallowed_methods, reason = "nothing is waited for: the time itself is what is needed")]
fn take_the_time_of_a_sync() {
    std::thread::sleep(SYNC);
}

fn told(error: rustix::io::Errno) -> Errno {
    io::Error::from(error).into()
}

fn answer(outcome: Result<(), rustix::io::Errno>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(told(error)),
    }
}

fn kind(node: &Node) -> FileType {
    match node.body {
        Body::File(_) => FileType::RegularFile,
        Body::Directory(_) => FileType::Directory,
    }
}

/// Converts a number of bytes or an offset, which fits because every file is in memory.
fn count(number: u64) -> usize {
    usize::try_from(number).expect("a file that fits into memory")
}

fn attributes(disk: &Disk, number: Number) -> Result<FileAttr, Errno> {
    let node = disk.node(number).map_err(told)?;
    let size = if let Body::File(bytes) = &node.body { bytes.len() as u64 } else { 0 };
    // A clock of operations: a later change has a later time.
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(node.changed as u64);
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(node),
        perm: u16::try_from(node.mode & 0o7777).expect("twelve bits"),
        nlink: 1,
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

impl Filesystem for Front {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.disk();
        match disk.lookup(parent.0, name).map_err(told).and_then(|number| attributes(&disk, number)) {
            Ok(attributes) => reply.entry(&FORGET_AT_ONCE, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&self.disk(), number.0) {
            Ok(attributes) => reply.attr(&FORGET_AT_ONCE, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        user: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let change = |disk: &mut Disk| {
            let node = disk.node(number.0)?;
            let (old_mode, (old_user, old_group)) = (node.mode, node.owner);
            if mode.is_some() || user.is_some() || group.is_some() {
                let owner = (user.unwrap_or(old_user), group.unwrap_or(old_group));
                disk.set_permissions(number.0, mode.unwrap_or(old_mode) & 0o7777, owner)?;
            }
            size.map_or(Ok(()), |size| disk.write(number.0, Write::Length(count(size))))
        };
        match change(&mut disk).map_err(told).and_then(|()| attributes(&disk, number.0)) {
            Ok(attributes) => reply.attr(&FORGET_AT_ONCE, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        match self.make(request, (parent.0, name), Body::Directory(BTreeMap::new()), mode) {
            Ok(attributes) => reply.entry(&FORGET_AT_ONCE, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.make(request, (parent.0, name), Body::File(Vec::new()), mode) {
            Ok(attributes) => {
                let (handle, flags) = (FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
                reply.created(&FORGET_AT_ONCE, &attributes, Generation(0), handle, flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.disk().remove((parent.0, name)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.disk().remove((parent.0, name)), reply);
    }

    fn link(&self, _: &Request, file: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut disk = self.disk();
        match disk.link(file.0, (parent.0, name)).map_err(told).and_then(|()| attributes(&disk, file.0)) {
            Ok(attributes) => reply.entry(&FORGET_AT_ONCE, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        if !replace && !self.disk().knows_noreplace {
            return reply.error(Errno::EINVAL);
        }
        let disk = self.disk();
        let is_directory =
            disk.lookup(parent.0, name).and_then(|number| disk.entries(number).map(drop)).is_ok();
        let stays = is_directory && parent != new_parent && !disk.moves_directories;
        drop(disk);
        if stays {
            return reply.error(Errno::EXDEV);
        }
        answer(self.disk().rename((parent.0, name), (new_parent.0, new_name), replace), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        file: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().read(file.0, count(offset), count(size.into())) {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(told(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        file: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.disk().write(file.0, Write::At(count(offset), bytes.to_vec())) {
            Ok(()) => reply.written(u32::try_from(bytes.len()).expect("a request of FUSE")),
            Err(error) => reply.error(told(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file makes nothing durable.
        reply.ok();
    }

    fn fsync(&self, _: &Request, file: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(file.0, reply);
    }

    fn fsyncdir(&self, _: &Request, directory: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(directory.0, reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        file: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // Programs here only ask for a reservation that keeps the length; others would have to write.
        if u32::try_from(mode).ok() != Some(rustix::fs::FallocateFlags::KEEP_SIZE.bits()) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        self.disk().reserve(file.0);
        reply.ok();
    }

    fn opendir(&self, _: &Request, directory: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let disk = self.disk();
        let entries = match disk.entries(directory.0) {
            Ok(entries) => entries.clone(),
            Err(error) => return reply.error(told(error)),
        };
        let mut listing: Vec<Listed> =
            [".", ".."].map(|name| (directory.0, FileType::Directory, name.into())).into();
        listing.extend(entries.into_iter().filter_map(|(name, number)| {
            let kind = kind(disk.node(number).ok()?);
            Some((number, kind, name))
        }));
        let mut listings = locked(&self.listings);
        let handle = listings.keys().last().map_or(1, |last| last + 1);
        listings.insert(handle, listing);
        reply.opened(FileHandle(handle), FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listings = locked(&self.listings);
        let entries = listings.get(&handle.0).into_iter().flatten();
        for (next, (number, kind, name)) in (1..).zip(entries).skip(count(offset)) {
            if reply.add(INodeNo(*number), next, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        locked(&self.listings).remove(&handle.0);
        reply.ok();
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, NAMES, NAMES, BLOCK, LONGEST_NAME, BLOCK);
    }
}
