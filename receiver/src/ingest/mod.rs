//! One upload, from its head to its receipt.
//!
//! - [`upload`]: the whole upload, top to bottom
//! - [`admission`]: who may upload what now, and how many bytes that will take
//! - [`receive`]: the parts of the body, in order
//! - [`writer`], [`hasher`]: temp file and hash, until the bytes match the declaration
//! - [`sync_scheduler`]: short uploads before long ones at the disk
//! - [`host_fairness`]: hosts take turns at the disk, so that no host crowds out another
//! - [`commit`]: makes the bytes durable, visible and indexed, in that order
//!
//! [`crate::actors::ingest::IngestActor`] carries an upload from start to end.

use std::io;

use bytes::Bytes;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::wire::answer::StoreStatus;

use crate::gate::amnesty::Amnesty;
use crate::index::IndexError;
use crate::index::requests::AskError;

pub mod admission;
pub mod commit;
pub mod hasher;
pub mod host_fairness;
pub mod receive;
pub mod sync_scheduler;
pub mod upload;
pub mod writer;

/// The declarations in the head of a PUT, after it was found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredUpload {
    /// The host of the pair.
    pub host_id: HostId,
    /// The episode of the pair.
    pub episode_id: EpisodeId,
    /// The declared hash of the body.
    pub sha256: Sha256Digest,
    /// The declared length of the body, in bytes.
    pub length: u64,
    /// The commit for the row.
    pub commit: Option<CommitHash>,
    /// The amnesty that admits the upload, if the commit is outside the window.
    pub amnesty: Option<Box<Amnesty>>,
}

/// The messages from the HTTP layer to an upload. A channel that closes before `Finish` cancels the upload.
#[derive(Debug)]
pub enum Part {
    /// The next bytes of the body.
    Data(Bytes),
    /// The body is complete; commit it.
    Finish,
}

/// The successful end of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Stored now, or already present.
    pub status: StoreStatus,
}

/// The failed ends of an upload. After each of them the temp file is gone.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The body has another hash than declared.
    #[error("the body has the sha256 {received}, {promised} was promised")]
    DigestMismatch {
        /// The hash in the header.
        promised: Sha256Digest,
        /// The hash of the received body.
        received: Sha256Digest,
    },
    /// The body has another length than declared.
    #[error("the body has {received} bytes, {promised} were promised")]
    LengthMismatch {
        /// The length in the header.
        promised: u64,
        /// The bytes received; more may have followed.
        received: u64,
    },
    /// Other bytes have the name; they stay.
    #[error("other bytes are stored under this id")]
    Conflict {
        /// The hash of the stored archive.
        stored: Sha256Digest,
        /// The hash of this upload.
        yours: Sha256Digest,
    },
    /// The channel of parts closed without `Finish`.
    #[error("the upload was given up after {received} bytes")]
    Aborted {
        /// The bytes received.
        received: u64,
    },
    /// The disk is full.
    #[error("the disk is full: {0}")]
    DiskFull(#[source] io::Error),
    /// Any other error of the disk.
    #[error("the episode cannot be stored: {0}")]
    Storage(#[source] io::Error),
    /// The archive is stored, but its row is missing; sending the episode again writes it.
    #[error("the episode is stored but not indexed: {0}")]
    Index(#[from] IndexError),
    /// An actor is gone; the process is about to end.
    #[error("the receiver is going down")]
    Gone,
}

impl From<AskError> for IngestError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Index(error) => Self::Index(error),
            AskError::Gone => Self::Gone,
        }
    }
}

impl From<io::Error> for IngestError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ => Self::Storage(error),
        }
    }
}
