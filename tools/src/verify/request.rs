//! What a run is asked for, and why it may not begin.

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

/// What to look at.
#[derive(Debug)]
pub struct Request {
    /// The store.
    pub episodes_root: PathBuf,
    /// The index.
    pub index: PathBuf,
    /// Whether it is a copy of a part of a store, in which archives may be absent.
    pub is_copy: bool,
    /// One host alone.
    pub host: Option<HostId>,
    /// For how long an archive may be without its row.
    pub settle: Duration,
    /// How archives are read again; none for names and sizes only.
    pub hashing: Option<Hashing>,
    /// The time.
    pub clock: fn() -> SystemTime,
}

/// Which archives are read again, and how.
#[derive(Debug)]
pub struct Hashing {
    /// Those stored at that moment or later.
    pub since: Option<Timestamp>,
    /// A random part of them.
    pub sample: Option<Percent>,
    /// What the sample is drawn with.
    pub seed: Option<u64>,
    /// What it is drawn with where neither `seed` nor an interrupted run says.
    pub fresh_seed: u64,
    /// How many at a time.
    pub jobs: NonZeroUsize,
    /// How fast, all together.
    pub rate: Option<Rate>,
    /// Whether they are opened as well: decompressed to their end, and asked who they are.
    pub deep: bool,
    /// Where the run is kept over interruptions.
    pub resume: Option<PathBuf>,
}

/// Why it could not be looked at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store.
    #[error(transparent)]
    Store(#[from] ScanError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A copy has no index that it could be compared with.
    #[error("there is no index at `{}`, and a copy cannot be checked without one", .0.display())]
    NoIndex(PathBuf),
    /// The state of an interrupted run.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// This machine cannot hash.
    #[error(transparent)]
    Hash(#[from] BrokenHash),
    /// The system gives no thread.
    #[error("no thread to read archives can be started: {0}")]
    Thread(#[source] io::Error),
}
