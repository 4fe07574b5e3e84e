//! Mounts of the kernel, unmounted on drop.
//!
//! Mounting needs root. Without it the test panics, because a skipped test would prove nothing.

use std::path::{Path, PathBuf};

use crate::sandbox::{Sandbox, run};

/// A mounted file system.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts with these arguments of mount(8).
    pub fn new(sandbox: &Sandbox, what: &[&str], at: &Path) -> Self {
        run(sandbox.command("mount").args(what).arg(at));
        Self { at: at.to_owned() }
    }

    /// Bind-mounts one directory at another.
    pub fn bind(sandbox: &Sandbox, from: &Path, at: &Path) -> Self {
        Self::new(sandbox, &["--bind", from.to_str().expect("a plain name")], at)
    }

    /// Mounts an overlay over a directory. Changes go to `layers`, a separate directory.
    pub fn overlay(sandbox: &Sandbox, lower: &Path, layers: &Path, at: &Path) -> Self {
        let [upper, work] = ["upper", "work"].map(|name| layers.join(name));
        for dir in [&upper, &work] {
            std::fs::create_dir(dir).expect("a layer in the sandbox");
        }
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        Self::new(sandbox, &["-t", "overlay", "-o", &options, "overlay"], at)
    }

    /// Returns the mount point.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A file system that is still in use is unmounted when its last user ends.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
