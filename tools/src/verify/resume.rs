//! The state file of a long run.
//!
//! It is replaced durably every few seconds and removed at the end. A flag names its path, but it is never written into
//! the store, over the index, or over a file of another program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cis490_shared::durable;
use cis490_shared::ids::HostId;
use serde::{Deserialize, Serialize};

use super::progress::Mark;

/// The interval between saves: the most work that a killed run loses.
const SAVE_EVERY: Duration = Duration::from_secs(5);
const FILE_MODE: u32 = 0o640;
/// The number of this file's format.
const FORMAT: u32 = 1;

/// The scope of a run, from its flags; a mark is only valid for a run with the same scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// `--episodes-root`, absolute.
    pub episodes_root: String,
    /// `--index`, absolute.
    pub index: String,
    /// `--host`.
    pub host: Option<HostId>,
    /// `--since`, as a moment.
    pub since: Option<String>,
    /// `--sample`.
    pub sample: Option<String>,
    /// The seed of the sample; random unless a flag gives it.
    pub seed: Option<u64>,
    /// `--deep`: a deep run must read archives that were only hashed again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deep: bool,
}

impl Run {
    /// Returns true if this unfinished run has the scope of `asked`, which need not know the seed.
    fn is(&self, asked: &Self, seed: Option<u64>) -> bool {
        let seed = if asked.sample.is_some() { seed.or(self.seed) } else { None };
        *self == Self { seed, ..asked.clone() }
    }

    /// Returns the flags with which this run can be repeated.
    fn flags(&self) -> String {
        let Self { episodes_root, index, host, since, sample, seed, deep } = self;
        let mut flags = format!("--episodes-root {episodes_root} --index {index}");
        let optional = [
            ("host", host.as_ref().map(ToString::to_string)),
            ("since", since.clone()),
            ("sample", sample.clone()),
            ("seed", seed.map(|seed| seed.to_string())),
        ];
        for (name, value) in optional {
            flags.extend(value.map(|value| format!(" --{name} {value}")));
        }
        flags.push_str(if *deep { " --deep" } else { "" });
        flags
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    cis490_verify_state: u32,
    run: Run,
    mark: Mark,
}

/// Why a file cannot hold the state of a run.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It is in the store or in place of the index.
    #[error("`{}` lies in the store or in place of its index, where this program never writes", .0.display())]
    InTheStore(PathBuf),
    /// It exists and cannot be read.
    #[error("the state `{}` cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
    /// It holds no state.
    #[error("`{}` is no state of this program: {source}", path.display())]
    NotAState {
        /// The file.
        path: PathBuf,
        /// The error from the parser.
        source: serde_json::Error,
    },
    /// It holds the state of a run with another scope.
    #[error("`{}` holds an unfinished run with other flags: `{flags}`", path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The flags of that run.
        flags: String,
    },
    /// It cannot be written.
    #[error("the state `{}` cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
}

impl ResumeError {
    /// Returns the next step for a maintainer.
    pub fn remedy(&self) -> String {
        match self {
            Self::InTheStore(_) | Self::NotAState { .. } => {
                "name another file with `--resume FILE`".to_owned()
            }
            Self::Read { path, .. } | Self::Write { path, .. } => {
                format!(
                    "check its permissions with `namei -l {}`, and free space with `df -h`",
                    path.display()
                )
            }
            Self::OtherRun { path, .. } => {
                format!("repeat those flags to finish it, or `rm {}` to begin anew", path.display())
            }
        }
    }
}

/// The state file of one run.
#[derive(Debug)]
pub struct ResumeFile {
    path: PathBuf,
    run: Run,
    saved: Instant,
}

impl ResumeFile {
    /// Resumes the run in the file, or begins a new one; the file is written before the work begins.
    ///
    /// `seed` comes from a flag, `run.seed` is for a new run. Blocks.
    pub fn open(path: &Path, run: Run, seed: Option<u64>) -> Result<(Self, Mark), ResumeError> {
        if is_in_the_store(path, Path::new(&run.episodes_root), Path::new(&run.index)) {
            return Err(ResumeError::InTheStore(path.to_owned()));
        }
        let (run, mark) = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (run, Mark::default()),
            Err(source) => return Err(ResumeError::Read { path: path.to_owned(), source }),
            Ok(bytes) => {
                let old = parse(&bytes)
                    .map_err(|source| ResumeError::NotAState { path: path.to_owned(), source })?;
                if !old.run.is(&run, seed) {
                    return Err(ResumeError::OtherRun { path: path.to_owned(), flags: old.run.flags() });
                }
                (old.run, old.mark)
            }
        };
        let mut file = Self { path: path.to_owned(), run, saved: Instant::now() };
        file.save(&mark)?;
        Ok((file, mark))
    }

    /// Returns the seed of this run's sample.
    pub const fn seed(&self) -> Option<u64> {
        self.run.seed
    }

    /// Writes the mark, durably. Blocks.
    pub fn save(&mut self, mark: &Mark) -> Result<(), ResumeError> {
        self.saved = Instant::now();
        let content = Content { cis490_verify_state: FORMAT, run: self.run.clone(), mark: mark.clone() };
        let written = serde_json::to_vec(&content)
            .map_err(io::Error::other)
            .and_then(|bytes| durable::replace_file(&self.path, &bytes, FILE_MODE));
        written.map_err(|source| ResumeError::Write { path: self.path.clone(), source })
    }

    /// Writes the mark if the last save is 5 seconds old. Blocks.
    pub fn save_if_due(&mut self, mark: &Mark) -> Result<(), ResumeError> {
        if self.saved.elapsed() < SAVE_EVERY { Ok(()) } else { self.save(mark) }
    }

    /// Removes the file of a complete run. Blocks.
    pub fn remove(self) -> Result<(), ResumeError> {
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| durable::sync_dir(durable::parent(&self.path))),
        };
        removed.map_err(|source| ResumeError::Write { path: self.path, source })
    }
}

fn parse(bytes: &[u8]) -> Result<Content, serde_json::Error> {
    let content: Content = serde_json::from_slice(bytes)?;
    if content.cis490_verify_state == FORMAT {
        return Ok(content);
    }
    Err(serde::de::Error::custom("it was written by another version"))
}

/// Returns true if a write to `path`, or to its temporary name beside it, would touch the store or the index.
pub fn is_in_the_store(path: &Path, episodes_root: &Path, index: &Path) -> bool {
    // A directory that cannot be resolved cannot be written into either, and the attempt reports that.
    let real_parent = |path: &Path| fs::canonicalize(durable::parent(path)).ok();
    let Some(dir) = real_parent(path) else { return false };
    let is_beside_the_index = real_parent(index).is_some_and(|parent| parent == dir);
    let name = path.file_name().unwrap_or_default();
    let mut temporary = name.to_owned();
    temporary.push(".new");
    let is_the_index =
        is_beside_the_index && index.file_name().is_some_and(|index| index == name || index == temporary);
    is_the_index || fs::canonicalize(episodes_root).is_ok_and(|root| dir.starts_with(root))
}

#[cfg(test)]
mod tests;
