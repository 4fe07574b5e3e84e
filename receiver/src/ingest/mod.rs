//! One upload, from its promise to its receipt.
//!
//! - [`upload`]: all of it, top to bottom
//! - [`admission`]: who may upload what now, and how many bytes that will take
//! - [`receive`]: its parts, one after the other
//! - [`writer`], [`hasher`]: temp file and hash, until the bytes are what was promised
//! - [`sync_scheduler`]: short uploads before long ones at the disk
//! - [`host_fairness`]: hosts take turns at the disk, so that no host crowds out another
//! - [`commit`]: making them durable, visible and indexed, in that order
//!
//! The actor that has its life is [`crate::actors::ingest::IngestActor`].

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

/// What the head of a request promises, after it was found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredUpload {
    /// The host of the pair.
    pub host_id: HostId,
    /// The episode of the pair.
    pub episode_id: EpisodeId,
    /// The hash that the body will have.
    pub sha256: Sha256Digest,
    /// The bytes that it will have.
    pub length: u64,
    /// What the row is stamped with.
    pub commit: Option<CommitHash>,
    /// What admits it, where the commit is outside the window.
    pub amnesty: Option<Box<Amnesty>>,
}

/// What the HTTP layer hands to an upload. A stream of parts that ends without `Finish` means: never mind.
#[derive(Debug)]
pub enum Part {
    /// The next bytes of the body.
    Data(Bytes),
    /// The body is complete; commit it.
    Finish,
}

/// The good end of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Stored now, or found to be there.
    pub status: StoreStatus,
}

/// The other ends of an upload. In every case the temp file is gone.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The body has another hash than promised.
    #[error("the body has the sha256 {received}, {promised} was promised")]
    DigestMismatch {
        /// The hash in the header.
        promised: Sha256Digest,
        /// The hash of what came.
        received: Sha256Digest,
    },
    /// The body has another length than promised.
    #[error("the body has {received} bytes, {promised} were promised")]
    LengthMismatch {
        /// The length in the header.
        promised: u64,
        /// The bytes that came, or more than these.
        received: u64,
    },
    /// Other bytes have the name; they stay.
    #[error("other bytes are stored under this id")]
    Conflict {
        /// The hash of what is stored.
        stored: Sha256Digest,
        /// The hash of what came.
        yours: Sha256Digest,
    },
    /// The stream of parts ended without `Finish`.
    #[error("the upload was given up after {received} bytes")]
    Aborted {
        /// The bytes that came.
        received: u64,
    },
    /// The disk has no room.
    #[error("the disk is full: {0}")]
    DiskFull(#[source] io::Error),
    /// Anything else that the disk said.
    #[error("the episode cannot be stored: {0}")]
    Storage(#[source] io::Error),
    /// The archive is there, its row is not; sending again writes it.
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
