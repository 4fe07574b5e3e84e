//! The paths of the store and its index: from flags, from the receiver's configuration, or the defaults.
//!
//! Flags take precedence over the configuration. The default configuration is read only if neither flag is given, so a
//! command that names its store never depends on other installed files.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cis490_receiver::config::{DEFAULT_PATH, ReceiverConfig, StoreConfig};
use cis490_shared::completion::{beginning, hosts_in, typed};
use cis490_shared::config_file::{self, ConfigError};
use cis490_shared::durable;
use clap::Args;
use clap_complete::engine::CompletionCandidate;

use crate::shell::quoted;

/// The flags that name the store.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceFlags {
    /// The receiver's configuration, which names store and index
    ///
    /// Without --config, --episodes-root and --index, /etc/cis490/receiver.toml is read if it exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory that holds HOST/EPISODE.tar.zst [default: /var/lib/cis490/episodes]
    #[arg(long, value_name = "DIR")]
    episodes_root: Option<PathBuf>,
    /// The index [default: index.jsonl beside the episodes directory]
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
}

/// Offers the hosts of the store that the words typed so far name.
pub fn complete_host(current: &OsStr) -> Vec<CompletionCandidate> {
    let path = |flag| typed(flag).map(PathBuf::from);
    let flags = PlaceFlags { config: path("--config"), episodes_root: path("--episodes-root"), index: None };
    let root = path("--copy").or_else(|| Some(flags.find().ok()?.episodes_root));
    beginning(current, root.map(|root| hosts_in(&root)).unwrap_or_default())
}

/// A store, its index, and the source of both paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory that holds the archives.
    pub episodes_root: PathBuf,
    /// The index.
    pub index: PathBuf,
    /// The path where the receiver looks for the report of verify; `None` without a configuration.
    pub report: Option<PathBuf>,
    /// The configuration that was read.
    pub config: Option<PathBuf>,
    /// True if a flag named the store or the index.
    is_by_flag: bool,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BadConfig(#[from] ConfigError);

impl PlaceFlags {
    /// Finds the paths of store and index. Blocks.
    pub fn find(&self) -> Result<Place, BadConfig> {
        self.find_with(Path::new(DEFAULT_PATH))
    }

    /// Finds the index of a partial copy of a store. It is beside the copy unless a flag names another one.
    pub fn find_copy(&self, copy: &Path) -> Result<Place, BadConfig> {
        let index = match (&self.index, &self.config) {
            (Some(index), _) => index.clone(),
            (None, Some(path)) => load(path)?.index,
            (None, None) => index_beside(copy),
        };
        let config = self.config.clone().filter(|_| self.index.is_none());
        Ok(Place { episodes_root: copy.to_owned(), index, report: None, config, is_by_flag: true })
    }

    fn find_with(&self, default: &Path) -> Result<Place, BadConfig> {
        let Self { config, episodes_root, index } = self.clone();
        let is_by_flag = episodes_root.is_some() || index.is_some();
        let config = config.or_else(|| (!is_by_flag && may_exist(default)).then(|| default.to_owned()));
        let Some(path) = config else {
            let episodes_root = episodes_root.unwrap_or_else(|| StoreConfig::default().episodes_root);
            let index = index.unwrap_or_else(|| index_beside(&episodes_root));
            return Ok(Place { episodes_root, index, report: None, config: None, is_by_flag });
        };
        let store = load(&path)?;
        Ok(Place {
            episodes_root: episodes_root.unwrap_or(store.episodes_root),
            index: index.unwrap_or(store.index),
            report: Some(store.verify_report),
            config: Some(path),
            is_by_flag,
        })
    }
}

impl Place {
    /// Returns the paths in use, for a person who did not name them with flags.
    pub fn note(&self) -> Option<String> {
        (self.config.is_some() || !self.is_by_flag).then(|| self.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store is `{}` and its index `{}`", quoted(&self.episodes_root), quoted(&self.index))?;
        match &self.config {
            Some(config) => write!(f, " (configuration: `{}`)", quoted(config)),
            None if self.is_by_flag => Ok(()),
            None => write!(f, " (the defaults, there is no `{DEFAULT_PATH}`)"),
        }
    }
}

impl BadConfig {
    /// Returns the next step for a maintainer; `program` is the running one.
    pub fn remedy(&self, program: &str) -> String {
        match &self.0 {
            ConfigError::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                format!(
                    "run `sudo -u cis490 {program}`, or name the store with `--episodes-root` and `--index`"
                )
            }
            ConfigError::Read(_) => {
                "name the receiver's configuration with `--config FILE`, or the store with `--episodes-root DIR`"
                    .to_owned()
            }
            ConfigError::UnknownKey { path, .. }
            | ConfigError::Malformed { path, .. }
            | ConfigError::Invalid { path, .. } => format!(
                "edit it until `sudo cis490-receiver --check-config --config {}` takes it",
                quoted(path)
            ),
        }
    }
}

fn load(path: &Path) -> Result<StoreConfig, BadConfig> {
    let config: ReceiverConfig = config_file::load(path)?;
    Ok(config.store)
}

/// Returns true unless the file is known to be absent. If that is unknown, the attempt to read it reports the reason.
fn may_exist(path: &Path) -> bool {
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    !fs::symlink_metadata(path).is_err_and(|error| absent.contains(&error.kind()))
}

/// Returns the default index of a store: `index.jsonl` beside its episodes directory.
fn index_beside(episodes_root: &Path) -> PathBuf {
    match episodes_root.file_name() {
        Some(_) => durable::parent(episodes_root).join("index.jsonl"),
        // A root like `.` or `/` has no last component to replace.
        None => episodes_root.join("../index.jsonl"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(config: Option<&Path>, episodes_root: Option<&str>, index: Option<&str>) -> PlaceFlags {
        PlaceFlags {
            config: config.map(ToOwned::to_owned),
            episodes_root: episodes_root.map(Into::into),
            index: index.map(Into::into),
        }
    }

    fn paths(place: Place) -> (String, String, Option<PathBuf>) {
        (place.episodes_root.display().to_string(), place.index.display().to_string(), place.config)
    }

    #[test]
    fn flags_win_and_the_default_configuration_counts_only_where_neither_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let (file, none) = (dir.path().join("receiver.toml"), dir.path().join("none.toml"));
        let text = "[version_gate]\nenabled = false\n[store]\nepisodes_root = \"/srv/e\"\nindex = \"/srv/i.jsonl\"\n\
                    verify_report = \"/srv/v.json\"\n";
        fs::write(&file, text).unwrap();
        let owned = |root: &str, index: &str, config: Option<&PathBuf>| {
            (root.to_owned(), index.to_owned(), config.cloned())
        };
        let found = |flags: PlaceFlags, default: &Path| paths(flags.find_with(default).unwrap());
        let by_config = owned("/srv/e", "/srv/i.jsonl", Some(&file));
        assert_eq!(found(flags(None, None, None), &file), by_config);
        assert_eq!(found(flags(Some(&file), None, None), &none), by_config);
        assert_eq!(
            found(flags(Some(&file), Some("/a/e"), None), &none),
            owned("/a/e", "/srv/i.jsonl", Some(&file))
        );
        assert_eq!(
            found(flags(None, Some("/a/e"), None), &file),
            owned("/a/e", "/a/index.jsonl", None),
            "the default configuration is not even read"
        );
        let by_default = owned("/var/lib/cis490/episodes", "/var/lib/cis490/index.jsonl", None);
        assert_eq!(found(flags(None, None, None), &none), by_default);
        let report = flags(None, None, None).find_with(&file).unwrap().report;
        assert_eq!(report, Some("/srv/v.json".into()));
        assert!(flags(Some(&none), None, None).find_with(&file).is_err(), "one that is named must be there");
    }

    #[test]
    fn a_copy_has_its_index_beside_it_unless_another_is_named() {
        let copy = |config, index| flags(config, None, index).find_copy(Path::new("/c/episodes"));
        assert_eq!(copy(None, None).unwrap().index, Path::new("/c/index.jsonl"));
        assert_eq!(copy(None, Some("/i.jsonl")).unwrap().index, Path::new("/i.jsonl"));
        assert!(copy(Some(Path::new("/nonexistent/receiver.toml")), None).is_err());
    }
}
