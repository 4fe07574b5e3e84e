//! Every path of the store, made from identifiers that are valid as file names by construction.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cis490_shared::durable;
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::step::Step;

use super::host_dir::{self, HostDir};

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
    /// Hosts whose directory this process has made sure of, so that only their first upload syncs the root.
    durable_hosts: Arc<Mutex<HashSet<HostId>>>,
}

impl Store {
    /// Opens the store at `root`; creates it and `.incoming`, durably, where they are missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        durable::create_dir_all(&root.join(INCOMING), DIRECTORY_MODE)?;
        Ok(Self { root: root.to_owned(), durable_hosts: Arc::default() })
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

    /// Opens the directory of a host; none where it has none yet.
    pub fn open_host(&self, host: &HostId) -> io::Result<Option<HostDir>> {
        HostDir::open(self.host_dir(host))
    }

    /// Makes sure that the directory of a host is there and its name durable, and opens it.
    ///
    /// That it exists is not enough: whoever created it may have died, or failed, before its name was synced.
    pub fn ensure_host_dir(&self, host: &HostId) -> io::Result<HostDir> {
        let is_new = !self.durable_hosts().contains(host);
        if is_new && !durable::create_dir(&self.host_dir(host), DIRECTORY_MODE)? {
            Step::SyncFoundHost.take(|| durable::sync_dir(&self.root))?;
        }
        let dir = self.open_host(host)?.ok_or(io::ErrorKind::NotFound)?;
        if is_new {
            self.durable_hosts().insert(host.clone());
        }
        Ok(dir)
    }

    fn durable_hosts(&self) -> MutexGuard<'_, HashSet<HostId>> {
        // No code that holds the lock can panic half-way through a change.
        self.durable_hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The final name of an episode.
    pub fn archive(&self, host: &HostId, episode: &EpisodeId) -> PathBuf {
        self.host_dir(host).join(host_dir::file_name(episode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_made_sure_of_once_whoever_created_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("episodes")).unwrap();
        let (new, found) = (HostId::parse("new").unwrap(), HostId::parse("found").unwrap());
        std::fs::create_dir(store.host_dir(&found)).unwrap();
        for host in [&new, &found, &new] {
            store.ensure_host_dir(host).unwrap();
            assert!(store.host_dir(host).is_dir());
        }
        assert_eq!(store.durable_hosts().len(), 2);
    }
}
