//! The maintainer's clone, and the clone of a lab host with a commit that no other clone has.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// A git repository of the demo.
#[derive(Debug)]
pub(crate) struct Clone {
    path: PathBuf,
}

impl Clone {
    /// Creates a repository with its first commit.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)?;
        let clone = Self { path: path.to_owned() };
        clone.git(&["init", "--quiet"])?;
        clone.commit("begin")?;
        Ok(clone)
    }

    /// Clones the repository, as a lab host does.
    pub(crate) fn copy_to(&self, path: &Path) -> anyhow::Result<Self> {
        self.git(&["clone", "--quiet", ".", &path.display().to_string()])?;
        Ok(Self { path: path.to_owned() })
    }

    /// Returns the path of the repository.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a commit and returns its id.
    pub(crate) fn commit(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message])?;
        self.head()
    }

    /// Returns the newest commit.
    pub(crate) fn head(&self) -> anyhow::Result<String> {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git without the user's configuration and returns its output.
    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("git")
            .current_dir(&self.path)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .args(["-c", "user.name=demo", "-c", "user.email=demo@localhost"])
            .args(["-c", "init.defaultBranch=main"])
            .args(arguments)
            .output()
            .context("git could not be run, install it first")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {} failed: {complaint}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
