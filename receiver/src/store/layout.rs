//! The paths of the store, made from identifiers that are valid file names by construction.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cis490_shared::durable;
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::step::Step;

use super::host_dir::{self, HostDir};
use crate::index::publication::FileId;

/// The directory of damaged archives that have been healed, by host. No code deletes anything in it.
pub const DAMAGED: &str = ".damaged";
/// The mode of a stored archive: the group may read it.
pub const ARCHIVE_MODE: u32 = 0o640;
/// The mode of the store's directories.
pub const DIRECTORY_MODE: u32 = 0o750;

/// The root of the store.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Host directories whose names this process has made durable, so that only the first upload to each syncs the
    /// root.
    durable_hosts: Arc<Mutex<HashMap<HostId, FileId>>>,
}

impl Store {
    /// Opens the store at `root`; creates it, durably, if it is missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        durable::create_dir_all(root, DIRECTORY_MODE)?;
        Ok(Self { root: root.to_owned(), durable_hosts: Arc::default() })
    }

    /// Returns the directory that holds the hosts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens the directory for the damaged archives of a host; creates it, durably, if it is missing.
    pub fn ensure_damaged_dir(&self, host: &HostId) -> io::Result<HostDir> {
        let path = self.root.join(DAMAGED).join(host.as_str());
        durable::create_dir_all(&path, DIRECTORY_MODE)?;
        Ok(HostDir::open(path)?.ok_or(io::ErrorKind::NotFound)?)
    }

    /// Returns the directory of one host.
    pub fn host_dir(&self, host: &HostId) -> PathBuf {
        self.root.join(host.as_str())
    }

    /// Opens the directory of a host; returns `None` if the host has none yet.
    pub fn open_host(&self, host: &HostId) -> io::Result<Option<HostDir>> {
        HostDir::open(self.host_dir(host))
    }

    /// Opens the directory of a host; creates it if it is missing, and makes its name durable.
    ///
    /// A directory that exists may not be durable, because its creator may have died, or failed, before the sync. One
    /// that this process made durable may be gone, because a person may have moved it away and made another.
    pub fn ensure_host_dir(&self, host: &HostId) -> io::Result<HostDir> {
        let durable = self.durable_hosts().get(host).copied();
        if let (Some(id), Some(dir)) = (durable, self.open_host(host)?)
            && dir.id() == id
        {
            return Ok(dir);
        }
        if !durable::create_dir(&self.host_dir(host), DIRECTORY_MODE)? {
            Step::SyncFoundHost.take(|| durable::sync_dir(&self.root))?;
        }
        let dir = self.open_host(host)?.ok_or(io::ErrorKind::NotFound)?;
        self.durable_hosts().insert(host.clone(), dir.id());
        Ok(dir)
    }

    fn durable_hosts(&self) -> MutexGuard<'_, HashMap<HostId, FileId>> {
        // No code that holds the lock can panic half-way through a change.
        self.durable_hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the final path of an episode's archive.
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

    #[test]
    fn a_host_whose_directory_was_moved_away_gets_another_which_is_made_sure_of_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("episodes")).unwrap();
        let host = HostId::parse("h").unwrap();
        let first = store.ensure_host_dir(&host).unwrap().id();
        durable::rename_noreplace(&store.host_dir(&host), &dir.path().join("elsewhere")).unwrap();
        let second = store.ensure_host_dir(&host).unwrap().id();
        assert_ne!(first, second);
        assert_eq!(store.durable_hosts().get(&host), Some(&second));
    }
}
