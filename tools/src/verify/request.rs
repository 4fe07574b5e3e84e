//! The scope of a run, and the reasons why it may fail.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cis490_receiver::index::IndexError;
use cis490_receiver::startup::BrokenHash;
use cis490_receiver::store::scan::ScanError;
use cis490_shared::ids::HostId;
use cis490_shared::rate::Rate;
use jiff::Timestamp;

use super::resume::ResumeError;
use super::sample::Percent;

/// The scope of a run.
#[derive(Debug)]
pub struct Request {
    /// The store.
    pub episodes_root: PathBuf,
    /// The index.
    pub index: PathBuf,
    /// True for a partial copy of a store, in which archives may be absent.
    pub is_copy: bool,
    /// The only host to check.
    pub host: Option<HostId>,
    /// How long an archive may be without its row.
    pub settle: Duration,
    /// The settings for reading archives; `None` to check names and sizes only.
    pub hashing: Option<Hashing>,
    /// The clock.
    pub clock: fn() -> SystemTime,
}

/// The choice of archives to read again, and the settings for reading them.
#[derive(Debug)]
pub struct Hashing {
    /// Read only archives stored at this moment or later.
    pub since: Option<Timestamp>,
    /// Read only a random part of them.
    pub sample: Option<Percent>,
    /// The seed of the sample.
    pub seed: Option<u64>,
    /// The seed if neither `seed` nor an interrupted run gives one.
    pub fresh_seed: u64,
    /// The most archives read at a time.
    pub jobs: NonZeroUsize,
    /// The rate limit for all of them together.
    pub rate: Option<Rate>,
    /// True if they are also decompressed to their end and their meta.json is checked.
    pub deep: bool,
    /// The state file of the run.
    pub resume: Option<PathBuf>,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] ScanError),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// There is no index to compare a copy with.
    #[error("there is no index at `{}`, and a copy cannot be checked without one", .0.display())]
    NoIndex(PathBuf),
    /// The state file cannot be used.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// This machine computes wrong hashes.
    #[error(transparent)]
    Hash(#[from] BrokenHash),
    /// The system refuses a thread.
    #[error("no thread to read archives can be started: {0}")]
    Thread(#[source] io::Error),
}
