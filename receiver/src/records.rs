//! The stored episodes for requests: rows and archives behind one interface.
//!
//! An answer that makes a host retire or condemn an episode must rest on [`EpisodeRecords::row_now`],
//! [`EpisodeRecords::archive`] and [`EpisodeRecords::confirm`]. They ask the index and the disk, not the last known
//! state (I10).

use std::io;
use std::sync::Arc;

use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::latest::Latest;
use cis490_shared::row::IndexRow;
use cis490_shared::step::Step;
use tokio::task::spawn_blocking;

use crate::index::IndexError;
use crate::index::known::{KnownRow, KnownView};
use crate::index::log::Receipt;
use crate::index::requests::{Append, AskError, IndexHandle};
use crate::store::condition::Condition;
use crate::store::layout::Store;
use crate::store::space::{self, Room};
use crate::store::stored::{self, Stored};

/// The rows and the archives.
#[derive(Debug)]
pub struct EpisodeRecords {
    /// The archives.
    pub store: Arc<Store>,
    /// The rows, as of the last batch.
    pub known: KnownView,
    /// The index: reads a row as it is now, and ensures that a stored archive has one.
    pub index: IndexHandle,
    /// The condition of the store, with the archives that verify reported as damaged.
    pub condition: Latest<Condition>,
}

/// The reason why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The index cannot be read or appended to.
    #[error(transparent)]
    Index(IndexError),
    /// The archives cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(#[from] io::Error),
    /// An actor or a thread is gone; the process is about to end.
    #[error("the receiver is going down")]
    Gone,
}

impl From<AskError> for RecordsError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Index(error) => Self::Index(error),
            AskError::Gone => Self::Gone,
        }
    }
}

impl EpisodeRecords {
    /// Returns the row of a pair as of the last batch: a hint that costs no I/O.
    pub fn row_known(&self, host: &HostId, episode: &EpisodeId) -> Option<KnownRow> {
        self.known.get(host, episode)
    }

    /// Returns the row of a pair in the index as it is now.
    pub async fn row_now(
        &self,
        host: &HostId,
        episode: &EpisodeId,
    ) -> Result<Option<KnownRow>, RecordsError> {
        Ok(self.index.read_row(host, episode).await?)
    }

    /// Returns the archive of a pair that has its row now.
    ///
    /// The name of a file without a row may not be durable yet (I1, I6). The next upload of the episode makes the row.
    pub async fn find(&self, host: &HostId, episode: &EpisodeId) -> Result<Option<Stored>, RecordsError> {
        let row = self.row_now(host, episode).await?;
        if row.is_none() && Step::HeadNeedsRow.is_taken() {
            return Ok(None);
        }
        self.archive(host, episode, row.unwrap_or_default()).await
    }

    /// Returns the size and hash of a stored archive; `None` if the file is not the one that its row names. The size
    /// must match. The file is hashed if verify reported it as damaged, or if the row has no hash.
    pub async fn archive(
        &self,
        host: &HostId,
        episode: &EpisodeId,
        row: KnownRow,
    ) -> Result<Option<Stored>, RecordsError> {
        let is_in_doubt = self.condition.now().is_in_doubt(host, episode);
        let (store, host, episode) = (Arc::clone(&self.store), host.clone(), episode.clone());
        let found = spawn_blocking(move || match row.sha256.filter(|_| !is_in_doubt) {
            Some(sha256) => {
                let size = stored::size_of(&store, &host, &episode)?;
                Ok(size.map(|size_bytes| Stored { size_bytes, sha256 }))
            }
            // The row cannot prove this file, so its bytes must.
            None => stored::hash_of(&store, &host, &episode),
        });
        let found: io::Result<_> = found.await.map_err(|_| RecordsError::Gone)?;
        Ok(found?.filter(|found| {
            row.has_size(found.size_bytes) && row.sha256.is_none_or(|sha256| sha256 == found.sha256)
        }))
    }

    /// Ensures that a stored archive has its row in the index file as it is now. The client retires the episode after
    /// this answer (I4, incident 1).
    pub async fn confirm(&self, row: IndexRow) -> Result<Receipt, RecordsError> {
        if !Step::ConfirmRow.is_taken() {
            return Ok(Receipt::AlreadyKnown);
        }
        Ok(self.index.append(Append { row, publication: None }).await?)
    }

    /// Returns the bytes of one host's archives, according to its rows.
    pub fn bytes_of(&self, host: &HostId) -> u64 {
        self.known.bytes_of(host)
    }

    /// Returns the number of pairs that have a row.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns true if no pair has a row.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Returns the free space of the store's file system.
    pub fn room(&self) -> io::Result<Room> {
        space::room(self.store.root())
    }
}
