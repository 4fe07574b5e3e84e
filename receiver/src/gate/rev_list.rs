//! Reads the window from the maintainer's clone with the git command.
//!
//! The clone belongs to another user. So git runs in a way that ignores ownership and starts no program from the
//! clone's configuration: `rev-list` and `rev-parse` (not `log`), an explicit `--git-dir`, a clean environment
//! (incident 4). Only commits count. Caches that git derives from them (commit-graph, multi-pack-index) and substitutes
//! (replace refs, grafts) are switched off. A git that hangs is killed; output beyond the expected length is cut off.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cis490_shared::ids::CommitHash;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::clone_paths::find_git_dir;
use super::shallow;
use super::window::Window;
use crate::config::GateConfig;
use crate::io_thread::{Gone, IoThread};

/// The most bytes of git's error text that are kept.
const MAX_ERROR_BYTES: u64 = 4096;
/// The longest line of `rev-list`, in bytes: 64 hex digits and a newline.
const MAX_LINE_BYTES: u64 = 65;

/// Settings that make git read more than the commits; all are set to false. A flipped bit in derived data could admit
/// commits that do not exist.
const DERIVED: [&str; 3] = ["core.commitGraph", "core.multiPackIndex", "core.useReplaceRefs"];

/// The settings for reading the window.
#[derive(Debug, Clone)]
pub struct RevList {
    /// The git program; a bare name is looked up in `PATH`.
    pub git: PathBuf,
    /// The clone: a work tree, a linked work tree or a bare repository.
    pub repo: PathBuf,
    /// `HEAD` or a full ref name.
    pub reference: String,
    /// The number of commits to ask for.
    pub window: usize,
    /// The time limit for one git process.
    pub timeout: Duration,
    /// The thread that reads the files of the clone, which may hang.
    pub thread: IoThread,
}

/// The reason why the window could not be read. The last good window stays in force.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// There is no repository at the path.
    #[error("`{}` is no git repository: {source}", repo.display())]
    NoRepository {
        /// The configured path.
        repo: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The service has no permission to read the clone.
    #[error("`{}` may not be read by this user", repo.display())]
    NoPermission {
        /// The configured path.
        repo: PathBuf,
    },
    /// git could not be run.
    #[error("`{}` could not be run: {source}", git.display())]
    NoGit {
        /// The program.
        git: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A read of the clone has taken longer than this limit and has not ended. No other read starts until it does.
    #[error("reading `{}` has taken more than {limit:?} and has not ended", repo.display())]
    Hangs {
        /// The configured path.
        repo: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The thread that reads the files has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// git took longer than the limit and was killed.
    #[error("git did not answer within {0:?} and was killed")]
    Hung(Duration),
    /// git exited with an error.
    #[error("git failed: {0}")]
    Failed(String),
    /// The clone is shallow, and its history ends within the window.
    #[error("`{}` is a shallow clone that ends within the window: it lists {commits} commits", repo.display())]
    Shallow {
        /// The configured path.
        repo: PathBuf,
        /// The number of commits that git still lists.
        commits: usize,
    },
    /// git printed something other than commits.
    #[error("git printed `{0}` where a commit was expected")]
    Unreadable(String),
}

impl PollError {
    /// Returns the kind of failure, for reports that must not contain paths.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoRepository { .. } => "no-repository",
            Self::NoPermission { .. } => "no-permission",
            Self::NoGit { .. } => "no-git",
            Self::Hangs { .. } => "clone-hangs",
            Self::Gone(_) => "reader-gone",
            Self::Hung(_) => "git-hung",
            Self::Failed(_) => "git-failed",
            Self::Shallow { .. } => "shallow",
            Self::Unreadable(_) => "git-unreadable",
        }
    }
}

impl RevList {
    /// Returns the reader that a configuration asks for.
    pub fn new(config: &GateConfig, thread: IoThread) -> Self {
        Self {
            git: "git".into(),
            repo: config.repo_path.clone(),
            reference: config.reference.clone(),
            window: config.window,
            timeout: config.git_timeout(),
            thread,
        }
    }

    /// Returns true if a clone is configured. A gate that is off needs none.
    pub fn names_a_clone(&self) -> bool {
        !self.repo.as_os_str().is_empty()
    }

    /// Returns the time after which a read counts as hung: three timeouts, because a read asks for the newest commit, then
    /// for the window, and retries the window once.
    pub fn patience(&self) -> Duration {
        self.timeout * 3
    }

    /// Reads the window with git. Retries a failed git once, because a running gc can remove a pack while git reads it.
    ///
    /// May never return: if the file system hangs, the read waits for it, so that no second read piles up. The caller
    /// must not start another read before this one returns.
    ///
    /// `last` is the window of the previous read. If it is full and its newest commit is still the same, git does not
    /// list the history again.
    pub async fn read(&self, last: Option<&Window>) -> Result<Window, PollError> {
        match self.read_once(last).await {
            Err(PollError::Failed(_)) => self.read_once(None).await,
            other => other,
        }
    }

    async fn read_once(&self, last: Option<&Window>) -> Result<Window, PollError> {
        let repo = self.repo.clone();
        let found = self.thread.run(move || {
            let git_dir = find_git_dir(&repo)?;
            let boundaries = shallow::boundaries(&git_dir)?;
            Ok((git_dir, boundaries))
        });
        let (git_dir, boundaries) = found.await?.map_err(|source| self.unreadable(source))?;
        let window = self.ask(&git_dir, last).await?;
        // Check again, because a fetch may have made the clone shallow while git read it.
        let later = self.thread.run(move || shallow::boundaries(&git_dir)).await?;
        let later = later.map_err(|source| self.unreadable(source))?;
        if [boundaries, later].iter().any(|boundaries| shallow::cuts(boundaries, &window, self.window)) {
            return Err(PollError::Shallow { repo: self.repo.clone(), commits: window.commits().len() });
        }
        Ok(window)
    }

    fn unreadable(&self, source: io::Error) -> PollError {
        match source.kind() {
            io::ErrorKind::PermissionDenied => PollError::NoPermission { repo: self.repo.clone() },
            _ => PollError::NoRepository { repo: self.repo.clone(), source },
        }
    }

    fn is_full(&self, window: &Window) -> bool {
        window.commits().len() == self.window
    }

    /// Asks git for the window. A commit's hash covers all of its history. So a full window is unchanged if its newest
    /// commit is. A window that is not full can still grow at its old end, when a shallow clone is deepened.
    async fn ask(&self, git_dir: &Path, last: Option<&Window>) -> Result<Window, PollError> {
        if let Some(last) = last.filter(|last| self.is_full(last)) {
            let newest = format!("{}^{{commit}}", self.reference);
            let head = self.run(git_dir, &["rev-parse", "--verify", &newest]).await?;
            if head.trim_ascii_end() == last.head().as_str().as_bytes() {
                return Ok(last.clone());
            }
        }
        let count = format!("--max-count={}", self.window);
        parse(&self.run(git_dir, &["rev-list", &count, &self.reference, "--"]).await?)
    }

    async fn run(&self, git_dir: &Path, arguments: &[&str]) -> Result<Vec<u8>, PollError> {
        let not_run = |source| PollError::NoGit { git: self.git.clone(), source };
        let mut child = self.command(git_dir).args(arguments).spawn().map_err(not_run)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(not_run(io::ErrorKind::BrokenPipe.into()));
        };
        let most = (self.window as u64 + 1) * MAX_LINE_BYTES;
        let talk = async {
            let (text, complaint) =
                tokio::join!(read_at_most(stdout, most), read_and_drain(stderr, MAX_ERROR_BYTES));
            io::Result::Ok((text?, complaint?, child.wait().await?))
        };
        let Ok(talked) = tokio::time::timeout(self.timeout, talk).await else {
            // Waits for its end: a git that is blocked on a dead mount dies only when the mount is back.
            child.kill().await.map_err(not_run)?;
            return Err(PollError::Hung(self.timeout));
        };
        let (text, complaint, status) = talked.map_err(not_run)?;
        if status.success() {
            return Ok(text);
        }
        let complaint = String::from_utf8_lossy(&complaint);
        Err(PollError::Failed(format!("{status}: {}", complaint.lines().next().unwrap_or("no message"))))
    }

    fn command(&self, git_dir: &Path) -> Command {
        let mut option = OsString::from("--git-dir=");
        option.push(git_dir);
        let mut command = Command::new(&self.git);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // The clone's configuration may name files below `~`, so git needs a HOME. This one has no files.
            .env("HOME", "/nonexistent")
            .env("GIT_GRAFT_FILE", "/dev/null")
            .env("GIT_CONFIG_COUNT", DERIVED.len().to_string())
            .envs(DERIVED.iter().enumerate().flat_map(|(number, key)| {
                let key = (format!("GIT_CONFIG_KEY_{number}"), *key);
                [key, (format!("GIT_CONFIG_VALUE_{number}"), "false")]
            }))
            .args(["--no-replace-objects".into(), option])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// Reads up to `most` bytes and closes the pipe, which ends a git that still prints.
async fn read_at_most(pipe: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    pipe.take(most).read_to_end(&mut text).await?;
    Ok(text)
}

/// Reads up to `most` bytes and discards the rest, so that a git with many warnings does not die of a closed pipe.
async fn read_and_drain(mut pipe: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    (&mut pipe).take(most).read_to_end(&mut text).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(text)
}

fn parse(text: &[u8]) -> Result<Window, PollError> {
    let text = String::from_utf8_lossy(text);
    let commits = text.lines().map(|line| {
        CommitHash::parse(line).map_err(|_| PollError::Unreadable(line.escape_default().take(80).collect()))
    });
    let commits = commits.collect::<Result<Vec<_>, _>>()?;
    Window::new(commits).map_err(|empty| PollError::Failed(empty.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_prints_is_read_strictly() {
        let commit = "ab".repeat(20);
        assert_eq!(parse(format!("{commit}\n").as_bytes()).unwrap().head().as_str(), commit);
        assert!(matches!(parse(b""), Err(PollError::Failed(_))));
        assert!(matches!(parse(b"warning: something\n"), Err(PollError::Unreadable(_))));
        assert!(matches!(
            parse(format!("{commit}\n{}", &commit[..9]).as_bytes()),
            Err(PollError::Unreadable(_))
        ));
    }
}
