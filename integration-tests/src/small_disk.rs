//! A real file system that is soon full: a memory file system, or ext4 on a loop device.
//!
//! Mounting needs root. Without it the test panics, because a skipped test would prove nothing.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::sandbox::{Sandbox, run};

const MIB: u64 = 1 << 20;

/// A small file system, mounted until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts a memory file system.
    pub fn in_memory(sandbox: &Sandbox, at: &Path, bytes: u64) -> Self {
        Self::mount(sandbox, at, &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
    }

    /// Makes and mounts an ext4 on a loop device.
    pub fn ext4(sandbox: &Sandbox, at: &Path, bytes: u64) -> Self {
        let image = sandbox.path().join("disk.img");
        // Its own tables want some of it.
        let made = File::create(&image).and_then(|image| image.set_len(bytes + 8 * MIB));
        made.expect("an image in the sandbox");
        let image = image.to_str().expect("a plain name");
        run(sandbox.command("mkfs.ext4").args(["-q", "-m", "0", image]));
        Self::mount(sandbox, at, &["-o", "loop", image])
    }

    fn mount(sandbox: &Sandbox, at: &Path, what: &[&str]) -> Self {
        run(sandbox.command("mount").args(what).arg(at));
        Self { at: at.to_owned() }
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.at).expect("a mounted file system");
        found.f_bavail * found.f_frsize
    }

    /// Another program takes all space but `left` bytes.
    pub fn fill_but(&self, left: u64) {
        let filler = File::create(self.at.join(FILLERS[0])).expect("a name is free");
        let taken = self.free() - left;
        let taken = rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, taken);
        taken.expect("there is that much");
    }

    /// Another program writes until nothing more fits, not one byte.
    pub fn fill_up(&self) {
        let mut filler = File::create(self.at.join(FILLERS[1])).expect("a name is free");
        for size in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Somebody makes room.
    pub fn clear(&self) {
        for filler in FILLERS {
            // There need not have been both.
            let _ = fs::remove_file(self.at.join(filler));
        }
    }
}

/// What other programs left on the disk.
const FILLERS: [&str; 2] = ["filler", "filler-to-the-brim"];

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A file system that is still in use goes when its last user does.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
