//! The real `cis490-receiver` on a free port of the loopback, with a state directory of its own.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use cis490_shared::ids::CommitHash;
use cis490_shared::row::IndexRow;
use cis490_shared::wire::answer::CommitAnswer;
use cis490_shared::wire::path;

use crate::binaries;
use crate::http::{self, Answer};
use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::until::{PATIENCE, wait_until};

/// What a test says about its receiver; the rest of the configuration is the same for all.
#[derive(Debug, Clone)]
pub struct Options {
    /// The maintainer's clone; none turns the gate off.
    pub repo: Option<PathBuf>,
    /// How many commits are admitted.
    pub window: usize,
    /// How often the clone is read, in seconds.
    pub poll_interval_s: u32,
    /// The largest upload that is taken.
    pub max_upload_bytes: u64,
    /// A Unix socket on which it listens as well.
    pub socket: Option<PathBuf>,
    /// Further lines of `[server]`.
    pub server: String,
    /// What index.jsonl holds before the first start.
    pub index: Vec<u8>,
    /// The user it runs as; only root can make it another than the test's.
    pub user: Option<u32>,
    /// Where its state is, or will be: whatever the path leads to is for the program to deal with. None makes an
    /// empty state directory in the sandbox.
    pub state: Option<PathBuf>,
}

impl Options {
    /// The gate at work on that clone, read every second.
    pub fn gated(repo: &Path) -> Self {
        Self { repo: Some(repo.to_owned()), ..Self::open() }
    }

    /// The gate turned off.
    pub fn open() -> Self {
        Self {
            repo: None,
            window: 100,
            poll_interval_s: 1,
            max_upload_bytes: 8 << 30,
            socket: None,
            server: String::new(),
            index: Vec::new(),
            user: None,
            state: None,
        }
    }
}

/// A receiver with its files; it runs between a start and a stop.
pub struct Receiver<'a> {
    sandbox: &'a Sandbox,
    options: Options,
    state: PathBuf,
    config: PathBuf,
    process: Process,
    url: String,
}

impl<'a> Receiver<'a> {
    /// Writes the configuration, starts the program and waits until it accepts connections.
    pub fn start(sandbox: &'a Sandbox, options: Options) -> Self {
        let given = options.state.clone().map(|state| (state, sandbox.free("receiver", ".toml")));
        let (state, config) = given.unwrap_or_else(|| {
            let state = sandbox.free("collector", "");
            fs::create_dir_all(state.join("episodes")).expect("a state directory in the sandbox");
            let config = state.join("receiver.toml");
            (state, config)
        });
        if !options.index.is_empty() {
            fs::write(state.join("index.jsonl"), &options.index).expect("an index in the sandbox");
        }
        let (process, url) = launch(sandbox, &options, &state, &config, "127.0.0.1:0");
        Self { sandbox, options, state, config, process, url }
    }

    /// Starts the program again, on the same files and the same port, after a stop or a kill.
    pub fn restart(&mut self) {
        assert!(self.process.status().is_some(), "the receiver still runs");
        let address = self.url.trim_start_matches("http://").to_owned();
        (self.process, self.url) = launch(self.sandbox, &self.options, &self.state, &self.config, &address);
    }

    /// The address it accepts connections on, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it to end, as the service manager does; anything but exit code 0 fails the test.
    pub fn stop(&mut self) {
        let status = self.process.terminate();
        assert_eq!(status.code(), Some(0), "the receiver ended with {status}:\n{}", self.log());
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The largest resident set of the running program, in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        self.process.peak_rss_kib()
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The directory with index.jsonl, gate.json and the episodes.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// index.jsonl.
    pub fn index(&self) -> PathBuf {
        self.state.join("index.jsonl")
    }

    /// The rows of the index, which must all parse.
    ///
    /// Waits until the last line is complete: a file grows page by page, so a read beside an append can return part of a row.
    pub fn rows(&self) -> Vec<IndexRow> {
        let bytes = wait_until("the last row is whole", PATIENCE, || {
            let bytes = fs::read(self.index()).unwrap_or_default();
            bytes.last().is_none_or(|last| *last == b'\n').then_some(bytes)
        });
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| IndexRow::parse(line).expect("a row that parses")).collect()
    }

    /// The rows of an index whose receiver was killed again and again: one that dies in the middle of a write leaves a
    /// part of a line, which the next start ends and every reader skips. Nobody was told of such a row. How many there
    /// are comes with the others.
    pub fn rows_and_torn_lines(&self) -> (Vec<IndexRow>, usize) {
        let bytes = fs::read(self.index()).unwrap_or_default();
        let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let rows: Vec<_> = lines.iter().filter_map(|line| IndexRow::parse(line).ok()).collect();
        let torn = lines.len() - rows.len();
        (rows, torn)
    }

    /// Where the archive of an episode is stored.
    pub fn archive(&self, host: &str, episode: &str) -> PathBuf {
        self.state.join(format!("episodes/{host}/{episode}.tar.zst"))
    }

    /// What the gate says about a commit now.
    pub fn verdict(&self, commit: &CommitHash) -> CommitAnswer {
        let answer = self.get(&path::gate_of(commit));
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).expect("the answer of protocol 2.4")
    }

    /// Waits until the gate admits a commit.
    pub fn wait_until_admitted(&self, commit: &CommitHash) {
        wait_until("the commit is admitted", PATIENCE, || self.verdict(commit).admitted.then_some(()));
    }

    /// Asks the receiver for a path.
    pub fn get(&self, path: &str) -> Answer {
        http::get(&self.url, path)
    }
}

fn launch(
    sandbox: &Sandbox,
    options: &Options,
    state: &Path,
    config: &Path,
    listen: &str,
) -> (Process, String) {
    fs::write(config, configuration(options, state, listen)).expect("a configuration in the sandbox");
    let mut program = binaries::path("cis490-receiver");
    if let Some(user) = options.user {
        program = sandbox.open_to(user, &program, state);
    }
    let mut command = sandbox.command(program);
    command.arg("--config").arg(config);
    if let Some(user) = options.user {
        command.uid(user).gid(user);
    }
    let mut process = Process::start(sandbox, "receiver", command);
    let url = process.wait_for_notice("where it accepts connections", |line| {
        let rest = line.strip_prefix("STATUS=")?.split_once("accepting on ")?.1;
        Some(rest.split([',', ' ']).next()?.to_owned())
    });
    (process, url)
}

fn configuration(options: &Options, state: &Path, listen: &str) -> String {
    let state = state.display();
    let Options { repo, window, poll_interval_s, max_upload_bytes, socket, server, .. } = options;
    let socket = socket.as_ref().map(|path| format!(", \"unix:{}\"", path.display())).unwrap_or_default();
    let enabled = repo.is_some();
    let repo = repo.as_deref().unwrap_or(Path::new("/nonexistent")).display();
    format!(
        r#"[server]
listen = ["{listen}"{socket}]
max_upload_bytes = {max_upload_bytes}
{server}
[store]
episodes_root = "{state}/episodes"
index = "{state}/index.jsonl"
min_free_bytes = 1048576
[version_gate]
enabled = {enabled}
repo_path = "{repo}"
window = {window}
poll_interval_s = {poll_interval_s}
"#
    )
}
