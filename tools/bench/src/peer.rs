//! Servers that accept uploads: the receiver, the floor, and any other that a command line starts.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::driver::{Target, Upload};
use crate::machine;
use crate::service::{Receiver, Running};
use crate::workshop::Workshop;

/// How long a server may take until it listens.
const LISTEN_LIMIT: Duration = Duration::from_secs(20);
/// The path of an upload (protocol section 2).
const PATH: &str = "/v1/episodes/{host}/{id}.tar.zst";

/// A server to measure.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// The receiver that was built beside this program.
    Receiver,
    /// The floor, which is this program.
    Floor,
    /// A program named on the command line.
    External {
        /// The name in tables.
        name: String,
        /// The command that starts it, with `{port}` and `{store}` in it.
        command: String,
    },
}

impl Peer {
    /// Returns the name in tables.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Receiver => "receiver",
            Self::Floor => "floor",
            Self::External { name, .. } => name,
        }
    }

    /// Returns the two peers of every comparison.
    pub(crate) fn ours() -> Vec<Self> {
        vec![Self::Receiver, Self::Floor]
    }

    /// Starts the peer over fresh storage.
    pub(crate) fn start(&self, workshop: &Workshop) -> anyhow::Result<Server> {
        self.start_in(workshop, &workshop.fresh_dir(self.name())?)
    }

    /// Starts the peer over the storage in `dir`.
    pub(crate) fn start_in(&self, workshop: &Workshop, dir: &Path) -> anyhow::Result<Server> {
        if let Self::Receiver = self {
            return Server::receiver(workshop, dir);
        }
        let archives = dir.join("v1/episodes");
        // Not every server creates the directories of a path.
        fs::create_dir_all(archives.join("bench"))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = match self {
            Self::External { command, .. } => {
                let command = command
                    .replace("{port}", &port.to_string())
                    .replace("{store}", &dir.display().to_string());
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("exec {command}"));
                shell
            }
            Self::Receiver | Self::Floor => {
                let mut floor = Command::new(std::env::current_exe()?);
                floor.args(["floor", "--port", &port.to_string(), "--store"]).arg(dir);
                floor
            }
        };
        let log = dir.join("log");
        let running = Running::start(&mut command, &log)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let target = Target { address, path: PATH.to_owned(), commit: workshop.commit.clone() };
        let mut server = Server { running, target, archives, index: None };
        server.await_listening(&log).with_context(|| format!("`{}` was not started", self.name()))?;
        Ok(server)
    }
}

impl FromStr for Peer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, command) = text.split_once('=').context("a peer is given as NAME=COMMAND")?;
        ensure!(command.contains("{port}"), "the command must have {{port}} where it takes its port");
        Ok(Self::External { name: name.to_owned(), command: command.to_owned() })
    }
}

/// A running server that accepts uploads.
pub(crate) struct Server {
    running: Running,
    /// The destination of uploads.
    pub(crate) target: Target,
    /// The directory that contains a directory for each host.
    archives: PathBuf,
    /// The index, if there is one to check.
    index: Option<PathBuf>,
}

impl Server {
    /// Starts a receiver over the state directory `dir`.
    pub(crate) fn receiver(workshop: &Workshop, dir: &Path) -> anyhow::Result<Self> {
        // It polls the clone as often as in production.
        let Receiver { running, url, .. } = Receiver::start(workshop, dir, 5)?;
        let address = url.trim_start_matches("http://").parse().context("the receiver's address")?;
        let target = Target { address, path: PATH.to_owned(), commit: workshop.commit.clone() };
        Ok(Self { running, target, archives: dir.join("episodes"), index: Some(dir.join("index.jsonl")) })
    }

    /// Returns the id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    fn await_listening(&mut self, log: &Path) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.target.address).is_err() {
            let said = || fs::read_to_string(log).unwrap_or_default();
            ensure!(self.running.is_alive(), "it has ended:\n{}", said());
            ensure!(began.elapsed() < LISTEN_LIMIT, "it does not listen:\n{}", said());
            machine::pause(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Fails unless every upload is stored with its size and, if there is an index, has its row.
    pub(crate) fn verify(&self, uploads: &[Upload]) -> anyhow::Result<()> {
        for upload in uploads {
            let path = self.archive(upload);
            let size =
                fs::metadata(&path).with_context(|| format!("{} was not stored", path.display()))?.len();
            ensure!(size == upload.size(), "{} has {size} bytes, not {}", path.display(), upload.size());
        }
        let Some(index) = &self.index else { return Ok(()) };
        let text = fs::read_to_string(index)?;
        // The newest rows belong to these uploads, in any order.
        let rows: std::collections::HashSet<_> = text
            .lines()
            .rev()
            .take(uploads.len())
            .filter_map(|line| cis490_shared::row::read_key(line.as_bytes()))
            .map(|key| (key.host_id.as_str().to_owned(), key.episode_id.as_str().to_owned(), key.size_bytes))
            .collect();
        for upload in uploads {
            if !rows.contains(&(upload.host.clone(), upload.id.clone(), Some(upload.size()))) {
                bail!("{}/{} has no row", upload.host, upload.id);
            }
        }
        Ok(())
    }

    /// Gives the room of the uploads back to the disk. Their names stay: see docs/performance.md on deleting.
    pub(crate) fn truncate(&self, uploads: &[Upload]) -> anyhow::Result<()> {
        for upload in uploads {
            File::options().write(true).open(self.archive(upload))?.set_len(0)?;
        }
        Ok(())
    }

    fn archive(&self, upload: &Upload) -> PathBuf {
        self.archives.join(&upload.host).join(format!("{}.tar.zst", upload.id))
    }
}
