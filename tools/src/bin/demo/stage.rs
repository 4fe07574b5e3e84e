//! The environment of the demo: temporary directories, and the real programs as child processes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long the receiver may take until it accepts uploads.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A program's entry point.
type Program = fn(Vec<OsString>) -> ExitCode;

/// The programs that this executable can run as.
const ROLES: [(&str, Program); 3] = [
    ("cis490-receiver", cis490_receiver::cli::run),
    ("cis490-shipper", cis490_shipper::cli::run),
    ("cis490-index-backfill", cis490_tools::backfill::cli::run),
];

/// Runs one of the product's programs if the first argument names it; the demo starts itself this way.
pub(crate) fn play_role(arguments: &[OsString]) -> Option<ExitCode> {
    let name = arguments.get(1)?;
    let (_, run) = ROLES.iter().find(|(role, _)| name == role)?;
    Some(run(arguments[1..].to_vec()))
}

/// The output and the exit code of a program.
#[derive(Debug)]
pub(crate) struct Played {
    /// Standard output and then standard error.
    pub(crate) text: String,
    /// The exit code; `None` if a signal ended the program.
    pub(crate) code: Option<i32>,
}

/// The directories and the programs' configurations.
#[derive(Debug)]
pub(crate) struct Stage {
    root: PathBuf,
}

impl Stage {
    /// Creates a stage below an empty directory.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the collector's state directory.
    pub(crate) fn collector(&self) -> PathBuf {
        self.root.join("collector")
    }

    /// Returns the index.
    pub(crate) fn index(&self) -> PathBuf {
        self.collector().join("index.jsonl")
    }

    /// Returns the lab host's data_root.
    pub(crate) fn lab_data(&self) -> PathBuf {
        self.root.join("lab-host/data")
    }

    /// Returns the path of the shipper's configuration.
    pub(crate) fn shipper_config(&self) -> PathBuf {
        self.root.join("lab-host.toml")
    }

    /// Starts the receiver on a free port and waits until it accepts uploads.
    pub(crate) fn start_receiver(&self, clone: &Path, poll_interval_s: u64) -> anyhow::Result<Receiver> {
        let collector = self.collector();
        fs::create_dir_all(&collector)?;
        let config = self.root.join("receiver.toml");
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n\n[store]\nepisodes_root = \"{0}/episodes\"\n\
             index = \"{0}/index.jsonl\"\nmin_free_bytes = 1048576\n\n[version_gate]\nrepo_path = \"{1}\"\n\
             poll_interval_s = {poll_interval_s}\n",
            collector.display(),
            clone.display()
        );
        fs::write(&config, text)?;
        let ready = self.root.join("ready.sock");
        let socket = UnixDatagram::bind(&ready)?;
        socket.set_read_timeout(Some(START_LIMIT))?;
        let log = fs::File::create(self.root.join("receiver.log"))?;
        let child = program("cis490-receiver")?
            .arg("--config")
            .arg(&config)
            .env("NOTIFY_SOCKET", &ready)
            .stderr(log)
            .spawn()?;
        let mut receiver = Receiver { child, url: String::new() };
        receiver.url = await_ready(&socket).with_context(|| {
            let log = fs::read_to_string(self.root.join("receiver.log")).unwrap_or_default();
            format!("the receiver did not start:\n{log}")
        })?;
        Ok(receiver)
    }

    /// Writes the lab host's configuration.
    pub(crate) fn configure_shipper(&self, host_id: &str, url: &str) -> anyhow::Result<()> {
        let data = self.lab_data();
        fs::create_dir_all(&data)?;
        let text = format!(
            "host_id = \"{host_id}\"\n\n[paths]\ndata_root = \"{}\"\n\n[receiver]\nurl = \"{url}\"\n",
            data.display()
        );
        Ok(fs::write(self.shipper_config(), text)?)
    }

    /// Runs the shipper once.
    pub(crate) fn ship(&self) -> anyhow::Result<Played> {
        let config = self.shipper_config();
        play(program("cis490-shipper")?.arg("--once").arg("--config").arg(config))
    }

    /// Runs backfill on the store.
    pub(crate) fn backfill(&self) -> anyhow::Result<Played> {
        let root = self.collector().join("episodes");
        play(
            program("cis490-index-backfill")?
                .arg("--episodes-root")
                .arg(root)
                .arg("--index")
                .arg(self.index()),
        )
    }
}

/// The receiver as a child process. Dropping it stops the process and waits for its end.
#[derive(Debug)]
pub(crate) struct Receiver {
    child: Child,
    /// The address of its listener.
    pub(crate) url: String,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            // Without the signal, the wait below would never end.
            if rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok() {
                // The exit code does not matter any more.
                let _ = self.child.wait();
            }
        }
    }
}

/// Reads the receiver's messages to the service manager until one names its address.
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

/// Returns the command that runs this executable in a role.
fn program(role: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).env_remove("JOURNAL_STREAM").env_remove("RUST_LOG").stdin(Stdio::null());
    Ok(command)
}

fn play(command: &mut Command) -> anyhow::Result<Played> {
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    let Ok(text) = String::from_utf8(text) else { bail!("a program printed something that is no text") };
    Ok(Played { text, code: output.status.code() })
}
