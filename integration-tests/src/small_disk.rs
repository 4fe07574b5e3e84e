//! A small real file system: a memory file system, or ext4 on a loop device.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::mounts::Mount;
use crate::sandbox::{Sandbox, run};

const MIB: u64 = 1 << 20;

/// A small file system, mounted until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    mount: Mount,
}

impl SmallDisk {
    /// Mounts a memory file system.
    pub fn in_memory(sandbox: &Sandbox, at: &Path, bytes: u64) -> Self {
        let options = format!("size={bytes}");
        Self { mount: Mount::new(sandbox, &["-t", "tmpfs", "-o", &options, "tmpfs"], at) }
    }

    /// Creates and mounts an ext4 file system on a loop device.
    pub fn ext4(sandbox: &Sandbox, at: &Path, bytes: u64) -> Self {
        let image = sandbox.path().join("disk.img");
        // The tables of ext4 need some of the space.
        let made = File::create(&image).and_then(|image| image.set_len(bytes + 8 * MIB));
        made.expect("an image in the sandbox");
        let image = image.to_str().expect("a plain name");
        run(sandbox.command("mkfs.ext4").args(["-q", "-m", "0", image]));
        Self { mount: Mount::new(sandbox, &["-o", "loop", image], at) }
    }

    /// Returns the number of free bytes.
    pub fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(self.mount.path()).expect("a mounted file system");
        found.f_bavail * found.f_frsize
    }

    /// Takes all space except `left` bytes, like another program.
    pub fn fill_but(&self, left: u64) {
        let filler = File::create(self.mount.path().join(FILLERS[0])).expect("a name is free");
        let taken = self.free() - left;
        let taken = rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, taken);
        taken.expect("there is that much");
    }

    /// Writes until not even one byte more fits, like another program.
    pub fn fill_up(&self) {
        let mut filler = File::create(self.mount.path().join(FILLERS[1])).expect("a name is free");
        for size in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees the space that was taken.
    pub fn clear(&self) {
        for filler in FILLERS {
            // Either file may be missing.
            let _ = fs::remove_file(self.mount.path().join(filler));
        }
    }
}

/// The files that fill the disk.
const FILLERS: [&str; 2] = ["filler", "filler-to-the-brim"];
