//! The real `cis490-shipper` with its own data directory: as a single pass, or as a daemon.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::binaries;
use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::until::{PATIENCE, wait_until};

/// A lab host: a data directory, a configuration and a shipper.
pub struct LabHost<'a> {
    sandbox: &'a Sandbox,
    host: String,
    config: PathBuf,
    data: PathBuf,
    /// A user other than the test's, and the copy of the program that this user may run.
    user: Option<(u32, PathBuf)>,
}

/// The result of a run of the shipper.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its output and log.
    pub log: String,
}

impl<'a> LabHost<'a> {
    /// Creates a host whose shipper sends to `url`.
    pub fn new(sandbox: &'a Sandbox, host: &str, url: &str) -> Self {
        let data = sandbox.dir(&format!("{host}-data"));
        fs::create_dir_all(data.join("episodes")).expect("a data directory in the sandbox");
        Self::on(sandbox, host, url, data)
    }

    /// Like [`LabHost::new`], on an existing data directory.
    pub fn on(sandbox: &'a Sandbox, host: &str, url: &str, data: PathBuf) -> Self {
        let lab_host =
            Self { sandbox, host: host.to_owned(), config: sandbox.free(host, ".toml"), data, user: None };
        lab_host.configure(url, "");
        lab_host
    }

    /// Lets the shipper run as another user, who becomes the owner of everything in the data directory.
    #[must_use]
    pub fn run_by(mut self, user: u32) -> Self {
        let program = self.sandbox.open_to(user, &binaries::path("cis490-shipper"), &self.data);
        self.user = Some((user, program));
        self
    }

    /// Rewrites the configuration; `queue` holds further lines of that section, and sections that follow it.
    pub fn configure(&self, url: &str, queue: &str) {
        self.configure_with(url, "", queue);
    }

    /// Like [`LabHost::configure`], with further lines for the section of the receiver.
    pub fn configure_with(&self, url: &str, receiver: &str, queue: &str) {
        let (host, data) = (&self.host, self.data.display());
        let interval = if queue.contains("scan_interval_s") { "" } else { "scan_interval_s = 1" };
        let text = format!(
            r#"host_id = "{host}"
[paths]
data_root = "{data}"
[receiver]
url = "{url}"
{receiver}
[queue]
{interval}
{queue}
"#
        );
        fs::write(&self.config, text).expect("a configuration in the sandbox");
    }

    /// Returns its id.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the directory in which the recorder leaves finished episodes.
    pub fn episodes(&self) -> PathBuf {
        self.data.join("episodes")
    }

    /// Returns the names in `episodes`, `outbox`, `shipped` or `quarantine`, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        names(&self.data.join(directory))
    }

    /// Returns the data directory, which contains these directories.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Runs one pass (`--once`) to its end.
    pub fn once(&self) -> Run {
        self.run(&["--once"])
    }

    /// Runs any other invocation that ends by itself.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let mut process = self.spawn(arguments);
        let status = process.wait_at_most(10 * PATIENCE);
        Run { code: status.code(), log: process.log() }
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start(&self) -> Daemon {
        let mut process = self.spawn(&[]);
        process.wait_for_notice("READY", |line| (line == "READY=1").then_some(()));
        Daemon { process }
    }

    /// Like [`LabHost::start`], under a service manager whose watchdog waits for `limit`.
    pub fn start_watched(&self, limit: Duration) -> Daemon {
        let mut command = self.command(&[]);
        command.env("WATCHDOG_USEC", limit.as_micros().to_string());
        let mut process = Process::start(self.sandbox, "shipper", command);
        process.wait_for_notice("READY", |line| (line == "READY=1").then_some(()));
        Daemon { process }
    }

    /// Waits until a directory holds `count` names.
    pub fn wait_for(&self, directory: &str, count: usize) {
        let what = format!("{count} names in {directory}/");
        wait_until(&what, PATIENCE, || (self.names(directory).len() == count).then_some(()));
    }

    /// Returns the command of an invocation, for a test that runs it under another program.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.user {
            None => self.sandbox.command(binaries::path("cis490-shipper")),
            Some((user, program)) => {
                let mut command = self.sandbox.command(program);
                command.uid(*user).gid(*user);
                command
            }
        };
        command.arg("--config").arg(&self.config).args(arguments);
        command
    }

    fn spawn(&self, arguments: &[&str]) -> Process {
        Process::start(self.sandbox, "shipper", self.command(arguments))
    }
}

/// A shipper that runs until it is stopped.
pub struct Daemon {
    process: Process,
}

impl Daemon {
    /// Asks it to end, as the service manager does. Fails unless the exit code is 0.
    pub fn stop(mut self) {
        let status = self.process.terminate();
        assert_eq!(status.code(), Some(0), "the shipper ended with {status}:\n{}", self.log());
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Returns the process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Returns the largest resident set of the running program, in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        self.process.peak_rss_kib()
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Returns the names in a directory, sorted; empty if the directory is missing.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a readable directory").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
