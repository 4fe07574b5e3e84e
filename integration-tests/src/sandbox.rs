//! The environment of one test: a temporary directory, and children that do not outlive it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::group;

/// A temporary directory for all files of a test, and the process groups that the test started.
///
/// All processes must have ended when the sandbox is dropped: a process that is left is killed, and the test fails. A
/// sandbox that is dropped in a panic first prints the logs of the children.
pub struct Sandbox {
    dir: TempDir,
    groups: Mutex<Vec<(String, u32)>>,
}

impl Sandbox {
    /// Creates an empty sandbox.
    #[expect(clippy::new_without_default, reason = "it makes a directory: nothing that happens by default")]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cis490-").tempdir().expect("a temporary directory");
        Self { dir, groups: Mutex::new(Vec::new()) }
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns a directory of that name, and creates it if it is missing.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).expect("a directory in the sandbox");
        path
    }

    /// Returns a free path: `stem`, or `stem-2`, `stem-3` and so on, each followed by `suffix`.
    pub fn free(&self, stem: &str, suffix: &str) -> PathBuf {
        let names =
            std::iter::once(format!("{stem}{suffix}")).chain((2..).map(|n| format!("{stem}-{n}{suffix}")));
        let free = names.map(|name| self.path().join(name)).find(|path| fs::symlink_metadata(path).is_err());
        free.expect("there is no end of numbers")
    }

    /// Returns a command whose environment has nothing of the test's except `PATH` and the step to leave out.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs([("LC_ALL", "C"), ("RUST_BACKTRACE", "1")]).env("HOME", self.path());
        command.env("PATH", search_path()).current_dir(self.path());
        if let Some(step) = cis490_shared::step::omitted() {
            command.env(cis490_shared::step::VARIABLE, step.name());
        }
        command
    }

    /// Lets another user run a copy of `program` here and own everything in `state`. Returns the path of the copy.
    pub(crate) fn open_to(&self, user: u32, program: &Path, state: &Path) -> PathBuf {
        let through = fs::Permissions::from_mode(0o711);
        fs::set_permissions(self.path(), through).expect("our own directory");
        // That user may have no access to the target directory.
        let copy = self.free("program", "");
        fs::copy(program, &copy).expect("a copy of the program");
        run(self.command("chown").args(["--recursive", &format!("{user}:{user}")]).arg(state));
        copy
    }

    /// Registers a process group, so that its end is checked.
    pub(crate) fn adopt(&self, name: &str, group: u32) {
        self.groups.lock().expect("nobody panics under this lock").push((name.to_owned(), group));
    }

    fn print_logs(&self) {
        let Ok(entries) = fs::read_dir(self.path()) else { return };
        let mut logs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension() == Some(OsStr::new("log")));
        logs.sort();
        for log in logs {
            print_tail(&log);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        let groups = std::mem::take(self.groups.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
        let left: Vec<String> = groups
            .into_iter()
            .filter(|(_, group)| !group::is_gone(*group))
            .map(|(name, group)| {
                group::kill(group);
                name
            })
            .collect();
        // A second panic would end the whole test process and hide the first.
        assert!(left.is_empty() || std::thread::panicking(), "processes of {left:?} outlived their stop");
    }
}

/// Runs a command to its end and returns its output; panics if it cannot be run or fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed, {}:\n{told}", output.status);
    output
}

/// Returns the standard output of a command as text, without white space at its end.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a test has no main that could hand the environment down")]
fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())
}

/// Number of lines of a log that a failed test prints.
const TAIL_LINES: usize = 200;

#[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
fn print_tail(log: &Path) {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    eprintln!("--- {} ({} of {} lines)", log.display(), tail.len(), lines.len());
    for line in tail {
        eprintln!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_name_counts_up() {
        let sandbox = Sandbox::new();
        assert_eq!(sandbox.free("receiver", ".log"), sandbox.path().join("receiver.log"));
        fs::write(sandbox.path().join("receiver.log"), "").unwrap();
        assert_eq!(sandbox.free("receiver", ".log"), sandbox.path().join("receiver-2.log"));
    }

    #[test]
    fn a_command_sees_nothing_of_the_environment_but_the_way_to_programs() {
        let sandbox = Sandbox::new();
        let names: Vec<String> = stdout(&run(&mut sandbox.command("env")))
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .filter(|name| !matches!(name.as_str(), "LC_ALL" | "RUST_BACKTRACE" | "HOME" | "PATH"))
            .collect();
        assert_eq!(names, [""; 0]);
    }
}
