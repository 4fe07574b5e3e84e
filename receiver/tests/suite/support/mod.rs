//! A receiver in this process, on a port of its own, with a real clone, and a client that sees every byte.

pub mod endpoints;
pub mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use cis490_receiver::config::ReceiverConfig;
use cis490_receiver::run::{self, RunError};
use cis490_shared::ids::Sha256Digest;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A commit that no test clone has.
pub const STRANGE_COMMIT: &str = "abababababababababababababababababababab";

pub fn sha256(bytes: &[u8]) -> String {
    Sha256Digest::from_bytes(Sha256::digest(bytes).into()).to_string()
}

/// Runs git in a repository without the user's configuration, and returns its output.
pub fn git(repo: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(repo)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", repo)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Adds a commit and returns its id.
pub fn commit(repo: &Path, message: &str) -> String {
    git(repo, &["commit", "--quiet", "--allow-empty", "-m", message]);
    git(repo, &["rev-parse", "HEAD"])
}

/// Creates a clone with one commit; returns its path and the commit.
pub fn clone_in(dir: &Path) -> (PathBuf, String) {
    let repo = dir.join("clone");
    std::fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "--quiet"]);
    let head = commit(&repo, "first");
    (repo, head)
}

/// A receiver with its directories, its clone and its thread. Dropping it stops it.
pub struct TestReceiver {
    pub address: SocketAddr,
    pub dir: TempDir,
    pub clone: PathBuf,
    pub head: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl TestReceiver {
    pub fn start() -> Self {
        Self::start_with("", "")
    }

    /// Starts with more lines for `[server]`, which may end with a `[store]` of their own, and for `[version_gate]`.
    pub fn start_with(server: &str, gate: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clone, head) = clone_in(dir.path());
        Self::start_in(dir, clone, head, server, gate)
    }

    fn start_in(dir: TempDir, clone: PathBuf, head: String, server: &str, gate: &str) -> Self {
        let store = if server.contains("[store]") { "" } else { "[store]\n" };
        let own_repo = format!("repo_path = \"{}\"", clone.display());
        let repo = if gate.contains("repo_path") { "" } else { own_repo.as_str() };
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\n{store}\
             episodes_root = \"{0}/episodes\"\nindex = \"{0}/index.jsonl\"\nmin_free_bytes = 1\n\
             [version_gate]\npoll_interval_s = 1\n{repo}\n{gate}\n",
            dir.path().display(),
        );
        let config: ReceiverConfig =
            cis490_shared::config_file::parse(&text, Path::new("receiver.toml")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(run::run(
                config,
                None,
                move |urls| ready.send(urls[0].clone()).unwrap(),
                async move {
                    let _ = stopped.await;
                },
            ))
        });
        let Ok(url) = address.recv_timeout(Duration::from_secs(30)) else {
            panic!("the receiver did not start: {:?}", thread.join());
        };
        let address = url.rsplit('/').next().unwrap().parse().unwrap();
        Self { address, dir, clone, head, stop: Some(stop), thread: Some(thread) }
    }

    /// Stops the receiver and starts it again on the same directories.
    pub fn restart(mut self) -> Self {
        self.stop();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::start_in(dir, self.clone.clone(), self.head.clone(), "", "")
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }

    pub fn index(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("index.jsonl")).unwrap()
    }

    /// Returns the rows of the index as JSON.
    pub fn rows(&self) -> Vec<serde_json::Value> {
        self.index().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn archive(&self, host: &str, episode: &str) -> PathBuf {
        self.dir.path().join("episodes").join(host).join(format!("{episode}.tar.zst"))
    }

    /// Returns the number of uploads that have a temp file now.
    pub fn partials(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("episodes/.incoming")).unwrap().count()
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// Sends one request on a new connection.
    pub fn request(&self, request: &Request) -> Answer {
        self.connect().ask(request).unwrap()
    }

    /// Returns a valid PUT of this body.
    pub fn put(&self, host: &str, episode: &str, body: &[u8]) -> Request {
        Request::new("PUT", &format!("/v1/episodes/{host}/{episode}.tar.zst"))
            .header("x-content-sha256", &sha256(body))
            .header("x-cis490-code-commit", &self.head)
            .body(body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request(&Request::new("GET", path))
    }
}

impl Drop for TestReceiver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.stop.take());
        } else {
            self.stop();
        }
    }
}

/// A request that is sent exactly as it is; nothing is normalised.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        let headers = vec![("host".to_owned(), "localhost".to_owned())];
        Self { method: method.to_owned(), path: path.to_owned(), headers, body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.without("content-length").header("content-length", &body.len().to_string())
    }

    pub fn head(&self, expect: Option<&str>) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if let Some(expect) = expect {
            write!(head, "expect: {expect}\r\n").unwrap();
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Returns the `error` member.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection, plain or encrypted.
pub struct Connection<S: Read + Write = TcpStream>(BufReader<S>);

impl Connection {
    fn to(address: SocketAddr) -> Self {
        Self::over(tcp(address))
    }

    /// Returns true if an answer, or the end, comes within that time.
    pub fn has_something_to_read_within(&mut self, patience: Duration) -> bool {
        let usual = self.0.get_ref().read_timeout().unwrap();
        self.0.get_ref().set_read_timeout(Some(patience)).unwrap();
        let found = self.fill().is_ok();
        self.0.get_ref().set_read_timeout(usual).unwrap();
        found
    }

    /// Closes the sending side.
    pub fn finish(&self) {
        // A server that has refused may have closed its end.
        let _ = self.0.get_ref().shutdown(std::net::Shutdown::Write);
    }
}

/// Opens a plain connection with a read timeout.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

impl<S: Read + Write> Connection<S> {
    pub fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // A server that has refused may have closed its end; the answer shows it.
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Sends a request and reads the answer, if there is one.
    pub fn ask(&mut self, request: &Request) -> std::io::Result<Answer> {
        self.send(&request.head(None));
        self.send(&request.body);
        self.try_answer(request.method == "HEAD")
    }

    /// Returns the next bytes from the other side; empty if it has closed or reset the connection. If it stays open,
    /// returns the error of the timeout.
    pub fn rest(&mut self) -> String {
        match self.fill() {
            Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => error.to_string(),
        }
    }

    /// Returns the bytes that were sent and not read yet. Retries after a signal, because the system does not restart a
    /// read that has a timeout.
    fn fill(&mut self) -> std::io::Result<&[u8]> {
        while let Err(error) = self.0.fill_buf() {
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        self.0.fill_buf()
    }

    /// Reads one answer; a `100 Continue` counts as one.
    pub fn answer(&mut self, is_head: bool) -> Answer {
        self.try_answer(is_head).unwrap()
    }

    fn try_answer(&mut self, is_head: bool) -> std::io::Result<Answer> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(status) = line.split(' ').nth(1).and_then(|status| status.parse().ok()) else {
            return Err(std::io::Error::other(format!("no status in {line:?}")));
        };
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while answer.header("transfer-encoding") == Some("chunked") {
            let mut size = String::new();
            self.0.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim_end(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk)?;
            answer.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(answer);
            }
        }
        if !is_head && status != 100 {
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }
}

thread_local! {
    /// The log of this thread since `capture_log`.
    static LOGGED: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Keeps the log of its thread. One subscriber serves the whole process. With one for each thread, tracing would cache
/// for all threads that no subscriber wants a call site.
struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Starts to keep the log of this thread.
pub fn capture_log() {
    // A second call finds the subscriber of the first.
    let _ = tracing_subscriber::fmt().with_ansi(false).with_writer(|| LogWriter).try_init();
    LOGGED.with_borrow_mut(Vec::clear);
}

/// Returns how often this thread has logged the text since `capture_log`.
pub fn times_logged(text: &str) -> usize {
    LOGGED.with_borrow(|logged| String::from_utf8_lossy(logged).matches(text).count())
}
