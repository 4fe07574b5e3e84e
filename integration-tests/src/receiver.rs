//! The real `cis490-receiver` on a free port of the loopback interface, with its own state directory.

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

/// The options of a receiver; the rest of the configuration is the same for all tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// The maintainer's clone; `None` turns the gate off.
    pub repo: Option<PathBuf>,
    /// The number of commits that are admitted.
    pub window: usize,
    /// The interval between two reads of the clone, in seconds.
    pub poll_interval_s: u32,
    /// The largest upload that is accepted, in bytes.
    pub max_upload_bytes: u64,
    /// An additional Unix socket to listen on.
    pub socket: Option<PathBuf>,
    /// Further lines of `[server]`.
    pub server: String,
    /// The content of index.jsonl before the first start.
    pub index: Vec<u8>,
    /// The user that the receiver runs as. Only root can choose another one than the test's.
    pub user: Option<u32>,
    /// The state directory, whether it exists or not: the program must handle any path. `None` creates an empty state
    /// directory in the sandbox.
    pub state: Option<PathBuf>,
}

impl Options {
    /// Returns options with the gate on that clone, which is read every second.
    pub fn gated(repo: &Path) -> Self {
        Self { repo: Some(repo.to_owned()), ..Self::open() }
    }

    /// Returns options with the gate turned off.
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

/// A receiver with its files, which runs between a start and a stop.
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

    /// Starts the program again after a stop or a kill, with the same files and the same port.
    pub fn restart(&mut self) {
        assert!(self.process.status().is_some(), "the receiver still runs");
        let address = self.url.trim_start_matches("http://").to_owned();
        (self.process, self.url) = launch(self.sandbox, &self.options, &self.state, &self.config, &address);
    }

    /// Returns the address on which it accepts connections, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it to end, as the service manager does. Fails unless the exit code is 0.
    pub fn stop(&mut self) {
        let status = self.process.terminate();
        assert_eq!(status.code(), Some(0), "the receiver ended with {status}:\n{}", self.log());
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Returns the process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns the largest resident set of the running program, in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        self.process.peak_rss_kib()
    }

    /// Returns its log since the last start.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the directory with index.jsonl, gate.json and the episodes.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Returns the path of index.jsonl.
    pub fn index(&self) -> PathBuf {
        self.state.join("index.jsonl")
    }

    /// Returns the rows of the index, which must all parse.
    ///
    /// Waits until the last line is complete. A file grows page by page, so a read during an append can return part of
    /// a row.
    pub fn rows(&self) -> Vec<IndexRow> {
        let bytes = wait_until("the last row is whole", PATIENCE, || {
            let bytes = fs::read(self.index()).unwrap_or_default();
            bytes.last().is_none_or(|last| *last == b'\n').then_some(bytes)
        });
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| IndexRow::parse(line).expect("a row that parses")).collect()
    }

    /// Returns the rows of the index and the number of torn lines, for a receiver that was killed repeatedly. A
    /// receiver that dies in the middle of a write leaves part of a line. The next start ends that line and every
    /// reader skips it. The receiver acknowledged none of these rows.
    pub fn rows_and_torn_lines(&self) -> (Vec<IndexRow>, usize) {
        let bytes = fs::read(self.index()).unwrap_or_default();
        let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let rows: Vec<_> = lines.iter().filter_map(|line| IndexRow::parse(line).ok()).collect();
        let torn = lines.len() - rows.len();
        (rows, torn)
    }

    /// Returns the path of an episode's archive.
    pub fn archive(&self, host: &str, episode: &str) -> PathBuf {
        self.state.join(format!("episodes/{host}/{episode}.tar.zst"))
    }

    /// Returns the gate's current verdict on a commit.
    pub fn verdict(&self, commit: &CommitHash) -> CommitAnswer {
        let answer = self.get(&path::gate_of(commit));
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).expect("the answer of protocol 2.4")
    }

    /// Waits until the gate admits a commit.
    pub fn wait_until_admitted(&self, commit: &CommitHash) {
        wait_until("the commit is admitted", PATIENCE, || self.verdict(commit).admitted.then_some(()));
    }

    /// Sends a GET for a path to the receiver.
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
