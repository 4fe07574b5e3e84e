//! The real program, with a configuration of its own.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::host::Host;

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Writes a configuration into the host's directory, with these lines in `[receiver]`.
pub fn configure(host: &Host, receiver: &str) -> PathBuf {
    let path = host.root().join("lab-host.toml");
    let data = host.data();
    let text = format!(
        "host_id = \"lab-1\"\n[paths]\ndata_root = \"{}\"\n[receiver]\n{receiver}\n[queue]\nscan_interval_s = 1\n",
        data.display()
    );
    fs::write(&path, text).unwrap();
    path
}

pub fn command(config: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cis490-shipper"));
    command.env_clear().arg("--config").arg(config).args(flags);
    command
}

/// Runs the program to its end.
pub fn run(config: &Path, flags: &[&str]) -> Run {
    finish(&mut command(config, flags))
}

pub fn finish(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The program as a service, with this test as its manager.
pub struct Service {
    child: Child,
    manager: UnixDatagram,
}

impl Service {
    pub fn start(host: &Host, config: &Path) -> Self {
        let socket = host.root().join("notify");
        // Left by a service that ran before, on the same host.
        let _ = fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut command = command(config, &[]);
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "300000");
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, manager }
    }

    /// Waits until the program sends its manager this notice.
    pub fn wait_for(&self, notice: &str) {
        let mut buffer = [0; 1024];
        loop {
            let length = self.manager.recv(&mut buffer).expect("a notice within a minute");
            if std::str::from_utf8(&buffer[..length]).unwrap().lines().any(|line| line == notice) {
                return;
            }
        }
    }

    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for the end. Returns the exit code and the log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The program has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
