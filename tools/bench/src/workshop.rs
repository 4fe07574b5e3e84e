//! The needs of every measurement: a scratch directory, a clone for the gate, the pool of bodies, the programs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::fs::IFlags;
use tempfile::TempDir;

use crate::body::Pool;

/// The bodies of all runs are cut from the same random bytes, so that two runs of the suite send the same bodies.
const SEED: u64 = 490;
/// Commits in the clone: more than the window, as in a real clone.
const COMMITS: usize = 120;

/// The longest time to create a file if nothing is wrong.
const QUICK_CREATE: Duration = Duration::from_micros(50);
/// Places on the disk that are tried before the best one is taken.
const PLACES: usize = 12;
/// Files that are created to test a place.
const PROBES: u32 = 200;

/// The place of a run. Dropping it deletes all stored files, which no measurement may do before.
pub(crate) struct Workshop {
    scratch: TempDir,
    programs: PathBuf,
    /// The pool that bodies are cut from.
    pub(crate) pool: Pool,
    /// The newest commit of the clone.
    pub(crate) commit: String,
    /// How long a run may wait for the machine to be quiet.
    pub(crate) patience: Duration,
    directories: AtomicU64,
}

impl Workshop {
    /// Makes the scratch directory below `scratch`, or beside the executable by default.
    ///
    /// The directory for temporary files is not suitable, because it is often in memory, where a sync costs nothing.
    pub(crate) fn open(scratch: Option<&Path>, patience: Duration) -> anyhow::Result<Self> {
        let executable = std::env::current_exe()?;
        let programs = executable.parent().context("the executable has no directory")?.to_owned();
        let within = scratch.unwrap_or(&programs);
        let scratch = tempfile::Builder::new().prefix("cis490-bench-").tempdir_in(within)?;
        spread_directories(scratch.path());
        let commit = make_clone(&scratch.path().join("clone"))?;
        let pool = Pool::from_seed(SEED);
        Ok(Self { scratch, programs, pool, commit, patience, directories: AtomicU64::new(0) })
    }

    /// Returns the clone that receivers read.
    pub(crate) fn clone_dir(&self) -> PathBuf {
        self.scratch.path().join("clone")
    }

    /// Creates a directory whose name ends in `name`, at a place on the disk where files are created quickly.
    pub(crate) fn fresh_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let mut best: Option<(Duration, PathBuf)> = None;
        for _ in 0..PLACES {
            let number = self.directories.fetch_add(1, Ordering::Relaxed);
            let dir = self.scratch.path().join(format!("{number:03}-{name}"));
            fs::create_dir(&dir)?;
            let each = time_creates(&dir.join("probe"))?;
            if best.as_ref().is_none_or(|(least, _)| each < *least) {
                best = Some((each, dir));
            }
            if each <= QUICK_CREATE {
                break;
            }
        }
        let (each, dir) = best.context("no place was looked at")?;
        if each > QUICK_CREATE {
            writeln!(
                io::stderr(),
                "note: creating a file takes {each:?} here, so that small uploads are slow"
            )?;
        }
        Ok(dir)
    }

    /// Returns the command of a program of the product that was built beside this one.
    pub(crate) fn program(&self, name: &str) -> anyhow::Result<Command> {
        let path = self.programs.join(name);
        if !path.is_file() {
            bail!("`{}` is missing, build it: cargo build --release --workspace", path.display());
        }
        let mut command = Command::new(path);
        // The machine's journal and the variables of the user's shell must not change a measurement.
        command.env_remove("JOURNAL_STREAM").env_remove("RUST_LOG").stdin(std::process::Stdio::null());
        Ok(command)
    }

    /// Waits until the machine is quiet, at most for the requested patience.
    pub(crate) fn wait_until_quiet(&self) {
        crate::machine::wait_until_quiet(self.patience);
    }
}

/// Asks ext4 to put each directory below `dir` into another part of the disk. Other file systems have no parts of this
/// kind.
///
/// Where many files were deleted in the last minutes, ext4 without a journal skips each of their inodes when it creates
/// a file. That can take a hundred times as long.
fn spread_directories(dir: &Path) {
    let spread = || -> io::Result<()> {
        let dir = File::open(dir)?;
        let flags = rustix::fs::ioctl_getflags(&dir)?;
        Ok(rustix::fs::ioctl_setflags(&dir, flags | IFlags::TOPDIR)?)
    };
    // Without the flag, the places that are tried are neighbours. A note says so if they are slow.
    let _ = spread();
}

/// Returns the mean time to create a file in a new directory.
fn time_creates(dir: &Path) -> io::Result<Duration> {
    fs::create_dir(dir)?;
    let began = Instant::now();
    (0..PROBES).try_for_each(|number| File::create(dir.join(number.to_string())).map(drop))?;
    Ok(began.elapsed() / PROBES)
}

/// Creates a repository with enough commits to fill a window. Returns the newest commit.
fn make_clone(path: &Path) -> anyhow::Result<String> {
    fs::create_dir(path)?;
    git(path, &["init", "--quiet"])?;
    for number in 1..=COMMITS {
        git(path, &["commit", "--quiet", "--allow-empty", "--message", &format!("commit {number}")])?;
    }
    git(path, &["rev-parse", "HEAD"])
}

/// Runs git without the user's configuration. Returns its output.
fn git(repository: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .current_dir(repository)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"])
        .args(arguments)
        .output()
        .context("git could not be run, install it first")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {} failed: {complaint}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
