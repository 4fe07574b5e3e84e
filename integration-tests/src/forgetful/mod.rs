//! A disk that forgets everything that was not synced: bytes of files and names in directories.
//!
//! Programs use it like any other file system. Afterwards its [`History`] gives the state that a machine would find
//! after a loss of power ([`History::after`]): for every operation and every [`Loss`].
//!
//! - `disk`: the file system in memory, and the log of all operations
//! - `loss`: the operations of the log that would have lasted
//! - `mount`: the file system as the kernel sees it
//! - `tree`: a state of the disk, as a value that can be compared and written to a real disk

mod disk;
mod loss;
mod mount;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use fuser::{BackgroundSession, Config, MountOption, Session};

pub use self::loss::Loss;
pub use self::tree::{Leaf, Tree};

use self::disk::Disk;
use self::mount::{Front, locked};
use crate::sandbox::Sandbox;

/// A forgetful disk, mounted in the sandbox until it is dropped. Its users must have ended by then.
pub struct ForgetfulDisk {
    at: PathBuf,
    disk: Arc<Mutex<Disk>>,
    session: Option<BackgroundSession>,
}

impl ForgetfulDisk {
    /// Mounts a disk on which everything in `initial` lasts already.
    pub fn mount(sandbox: &Sandbox, initial: &Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self::mount_disk(sandbox, Disk::new(initial, owner))
    }

    /// Like [`ForgetfulDisk::mount`], but without `RENAME_NOREPLACE`, as on NFS, 9p and many file systems in user
    /// space.
    pub fn mount_without_noreplace(sandbox: &Sandbox, initial: &Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let mut disk = Disk::new(initial, owner);
        disk.knows_noreplace = false;
        Self::mount_disk(sandbox, disk)
    }

    /// Like [`ForgetfulDisk::mount`], but no directory can be renamed to another directory (EXDEV), as between bind
    /// mounts and out of the lower layer of an overlay.
    pub fn mount_where_directories_stay(sandbox: &Sandbox, initial: &Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let mut disk = Disk::new(initial, owner);
        disk.moves_directories = false;
        Self::mount_disk(sandbox, disk)
    }

    /// Mounts a disk as it was after the first `position` operations of an earlier one. All programs died then but the
    /// power stayed, so nothing is lost yet. Its own operations follow these.
    pub fn mount_after(sandbox: &Sandbox, history: &History, position: usize) -> Self {
        Self::mount_disk(sandbox, history.disk.rewound(position))
    }

    fn mount_disk(sandbox: &Sandbox, disk: Disk) -> Self {
        let at = sandbox.free("disk", "");
        std::fs::create_dir(&at).expect("a directory in the sandbox");
        let disk = Arc::new(Mutex::new(disk));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("forgetful".to_owned())];
        let session = Session::new(Front::of(Arc::clone(&disk)), &at, &config)
            .and_then(Session::spawn)
            .unwrap_or_else(|error| {
                panic!(
                    "cannot mount a FUSE file system: {error}; this test needs `/dev/fuse`, and must be run by \
                     root or where there is fusermount3 (Debian package fuse3)"
                )
            });
        Self { at, disk, session: Some(session) }
    }

    /// Returns the mount point.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Returns the number of operations so far.
    pub fn position(&self) -> usize {
        locked(&self.disk).log.len()
    }

    /// Returns the history so far.
    pub fn history(&self) -> History {
        History { disk: locked(&self.disk).clone() }
    }
}

impl Drop for ForgetfulDisk {
    fn drop(&mut self) {
        // Lazily, so that a program left behind by a failed test does not block the unmount.
        let detached = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if let (Ok(status), Some(session)) = (detached, self.session.take())
            && status.success()
            && !std::thread::panicking()
        {
            // The session ends with its last user, which has ended now.
            let _ = session.join();
        }
    }
}

/// All operations on a disk, in their order.
pub struct History {
    disk: Disk,
}

impl History {
    /// Returns the number of operations.
    pub fn len(&self) -> usize {
        self.disk.log.len()
    }

    /// Returns true if there was no operation.
    pub fn is_empty(&self) -> bool {
        self.disk.log.is_empty()
    }

    /// Returns one line for each operation, such as `rename a -> b` or `sync directory episodes/lab-1`.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.disk.log.iter().map(|operation| operation.label.as_str())
    }

    /// Returns the tree that a machine finds if the power failed after the first `position` operations.
    pub fn after(&self, position: usize, loss: Loss) -> Tree {
        self.disk.after(position, loss)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use cis490_shared::durable;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "no more than the move itself is wanted")]
    fn overwrite(from: &Path, to: &Path) {
        fs::rename(from, to).unwrap();
    }

    #[test]
    fn a_mounted_disk_does_what_programs_ask_and_forgets_what_they_did_not_sync() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let sandbox = Sandbox::new();
        let mut initial = Tree::default();
        initial.insert("kept".into(), 0o644, Some(b"kept".to_vec()));
        let disk = ForgetfulDisk::mount(&sandbox, &initial);
        let path = |name: &str| disk.path().join(name);
        let bytes = vec![7; 300_000];

        durable::create_dir(&path("d"), 0o750).unwrap();
        let mut temp = durable::Temp::create(path("d/x.partial"), 0o640).unwrap();
        temp.reserve(10).unwrap();
        temp.write_all(&bytes).unwrap();
        temp.sync().unwrap();
        temp.publish_noreplace(&path("d/x")).unwrap();
        let published = disk.position();
        let mut log = durable::open_append(&path("kept")).unwrap();
        log.write_all(b" and more").unwrap();
        log.set_len(8).unwrap();
        fs::write(path("d/x.partial"), "again").unwrap();
        assert!(durable::rename_noreplace(&path("d/x.partial"), &path("d/x")).is_err());
        overwrite(&path("d/x.partial"), &path("kept"));

        assert_eq!(fs::read(path("d/x")).unwrap(), bytes);
        assert_eq!(fs::read_to_string(path("kept")).unwrap(), "again");
        assert_eq!(fs::read_dir(path("d")).unwrap().count(), 1);
        let held = File::open(path("kept")).unwrap();
        held.try_lock().unwrap();
        assert!(File::open(path("kept")).unwrap().try_lock().is_err(), "a lock is a lock");
        drop((held, log));

        let history = disk.history();
        let lost = history.after(published, Loss::Everything);
        assert_eq!((lost.file("d/x"), lost.file("kept")), (None, Some(&b"kept"[..])));
        let whole = history.after(history.len(), Loss::Nothing);
        assert_eq!(
            (whole.file("d/x").map(<[u8]>::len), whole.file("kept")),
            (Some(300_000), Some(&b"again"[..]))
        );
        let at = disk.path().to_owned();
        drop(disk);
        assert_eq!(fs::read_dir(at).unwrap().count(), 0, "it is unmounted");
    }
}
