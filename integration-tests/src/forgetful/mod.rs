//! A disk that forgets everything that was not synced: bytes of files, and names in directories.
//!
//! Programs work on it as on any other file system. Afterwards its [`History`] tells, for every operation that they
//! made on it and every [`Loss`], what a machine would find if the power had failed there: [`History::after`].
//!
//! - `disk`: the file system in memory, and the log of everything that was done
//! - `loss`: what of the log would have lasted
//! - `mount`: the file system as the kernel sees it
//! - `tree`: what is found, as a value that can be compared and written to a real disk

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

/// A forgetful disk, mounted in the sandbox until it is dropped. Whoever works on it must be gone by then.
pub struct ForgetfulDisk {
    at: PathBuf,
    disk: Arc<Mutex<Disk>>,
    session: Option<BackgroundSession>,
}

impl ForgetfulDisk {
    /// Mounts a disk on which everything in `initial` is there and lasts.
    pub fn mount(sandbox: &Sandbox, initial: &Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self::mount_disk(sandbox, Disk::new(initial, owner))
    }

    /// The same, and it knows no `RENAME_NOREPLACE`, as NFS, 9p and many file systems in user space.
    pub fn mount_without_noreplace(sandbox: &Sandbox, initial: &Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let mut disk = Disk::new(initial, owner);
        disk.knows_noreplace = false;
        Self::mount_disk(sandbox, disk)
    }

    /// The same, and no directory can be renamed to another directory (EXDEV), as between bind mounts and out of the
    /// lower layer of an overlay.
    pub fn mount_where_directories_stay(sandbox: &Sandbox, initial: &Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let mut disk = Disk::new(initial, owner);
        disk.moves_directories = false;
        Self::mount_disk(sandbox, disk)
    }

    /// Mounts a disk as it was after the first `position` operations of an earlier one: all programs died then, and
    /// the power stayed, so that nothing is lost yet. Its own operations follow these.
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

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// How many operations there have been.
    pub fn position(&self) -> usize {
        locked(&self.disk).log.len()
    }

    /// Everything that has happened to it so far.
    pub fn history(&self) -> History {
        History { disk: locked(&self.disk).clone() }
    }
}

impl Drop for ForgetfulDisk {
    fn drop(&mut self) {
        // Lazily, so that a program that a failed test left on it keeps nobody waiting.
        let detached = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if let (Ok(status), Some(session)) = (detached, self.session.take())
            && status.success()
            && !std::thread::panicking()
        {
            // It ends when its last user does, which is now.
            let _ = session.join();
        }
    }
}

/// What happened to a disk, in the order in which it happened.
pub struct History {
    disk: Disk,
}

impl History {
    /// How many operations there were.
    pub fn len(&self) -> usize {
        self.disk.log.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.disk.log.is_empty()
    }

    /// What was done, one line for each operation, such as `rename a -> b` or `sync directory episodes/lab-1`.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.disk.log.iter().map(|operation| operation.label.as_str())
    }

    /// What a machine finds if the power failed after the first `position` operations.
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
