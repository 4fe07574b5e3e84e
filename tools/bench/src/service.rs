//! The product's services as child processes: started, awaited, ended.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::machine;
use crate::workshop::Workshop;

/// How long a service may take until it is ready, including the time to read a large index.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long an orderly end may take before the service is killed.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A child process that ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts a program whose output goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log)?;
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self {
            child: child.with_context(|| format!("{} did not start", command.get_program().display()))?,
        })
    }

    /// Returns the id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns true if the process is still running.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks the process to end, and waits.
    fn end(&mut self) {
        let began = Instant::now();
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            // A process that has ended meanwhile needs no signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        while self.is_alive() && began.elapsed() < END_LIMIT {
            machine::pause(Duration::from_millis(20));
        }
        // Does nothing to a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A receiver that accepts uploads.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// The process.
    pub(crate) running: Running,
    /// `http://ADDRESS:PORT`
    pub(crate) url: String,
    /// The time from its start to READY.
    pub(crate) start: Duration,
}

impl Receiver {
    /// Starts the receiver over the state directory `dir`, and waits until it accepts uploads.
    pub(crate) fn start(workshop: &Workshop, dir: &Path, poll_interval_s: u64) -> anyhow::Result<Self> {
        let config = dir.join("receiver.toml");
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nmax_concurrent_uploads = 512\n\
             max_uploads_per_host = 512\n\n[store]\n\
             episodes_root = \"{0}/episodes\"\nindex = \"{0}/index.jsonl\"\nmin_free_bytes = 1048576\n\n\
             [version_gate]\nrepo_path = \"{1}\"\npoll_interval_s = {poll_interval_s}\n",
            dir.display(),
            workshop.clone_dir().display()
        );
        fs::write(&config, text)?;
        // The path of a socket has room for 107 bytes, and a checkout deep in a home directory needs them for itself.
        let socket_dir = tempfile::tempdir()?;
        let ready = socket_dir.path().join("ready.sock");
        let socket = UnixDatagram::bind(&ready)?;
        socket.set_read_timeout(Some(START_LIMIT))?;
        let log = dir.join("receiver.log");
        let mut command = workshop.program("cis490-receiver")?;
        command.arg("--config").arg(&config).env("NOTIFY_SOCKET", &ready);
        let began = Instant::now();
        let running = Running::start(&mut command, &log)?;
        let url = await_ready(&socket).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("the receiver did not start:\n{said}")
        })?;
        Ok(Self { running, url, start: began.elapsed() })
    }
}

/// Reads the notices to the service manager, up to the line that says where the receiver listens.
fn await_ready(socket: &UnixDatagram) -> anyhow::Result<String> {
    let mut buffer = [0; 1024];
    loop {
        let length = socket.recv(&mut buffer)?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        if let Some(url) = text.lines().find_map(|line| line.strip_prefix("STATUS=accepting on ")) {
            return Ok(url.to_owned());
        }
    }
}
