//! Every path of the store, made from identifiers that are valid as file names by construction.

use std::io;
use std::path::{Path, PathBuf};

use cis490_shared::durable;
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::wire::path::ARCHIVE_SUFFIX;

/// Uploads in flight, below the root so that publishing is a rename within one file system.
pub const INCOMING: &str = ".incoming";
/// What the name of an upload in flight ends in.
pub const PARTIAL_SUFFIX: &str = ".partial";
/// The mode of a stored archive: the group may read.
pub const ARCHIVE_MODE: u32 = 0o640;
/// The mode of the store's directories.
const DIRECTORY_MODE: u32 = 0o750;

/// The root of the store.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`; creates it and `.incoming`, durably, where they are missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        durable::create_dir_all(&root.join(INCOMING), DIRECTORY_MODE)?;
        Ok(Self { root: root.to_owned() })
    }

    /// The directory that holds the hosts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of uploads in flight.
    pub fn incoming(&self) -> PathBuf {
        self.root.join(INCOMING)
    }

    /// A fresh name for an upload in flight.
    pub fn new_partial(&self) -> PathBuf {
        self.incoming().join(format!("{:032x}{PARTIAL_SUFFIX}", rand::random::<u128>()))
    }

    /// The directory of one host.
    pub fn host_dir(&self, host: &HostId) -> PathBuf {
        self.root.join(host.as_str())
    }

    /// Creates the directory of a host durably unless it is there.
    pub fn ensure_host_dir(&self, host: &HostId) -> io::Result<()> {
        durable::create_dir(&self.host_dir(host), DIRECTORY_MODE).map(drop)
    }

    /// The final name of an episode.
    pub fn archive(&self, host: &HostId, episode: &EpisodeId) -> PathBuf {
        self.host_dir(host).join(format!("{episode}{ARCHIVE_SUFFIX}"))
    }
}
