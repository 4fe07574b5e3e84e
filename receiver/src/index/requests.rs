//! The messages to IndexWriterActor, and the handle that sends them. Uploads and records use the handle, so they know
//! neither the actor nor actix.

use actix::{Message, Recipient};
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::row::IndexRow;
use tokio::sync::oneshot;

use super::IndexError;
use super::known::KnownRow;
use super::log::Receipt;
use super::publication::Publication;

/// A row to append. `Ok` means that the pair has a durable row. After an error no row is acknowledged, and sending
/// again is safe.
#[derive(Debug, Message)]
#[rtype(result = "Result<Receipt, IndexError>")]
pub struct Append {
    /// The row, which is appended unless its pair has one.
    pub row: IndexRow,
    /// The name that must be durable before the row is.
    pub publication: Option<Publication>,
}

/// The row of an upload whose archive is published. It is handled even if nobody waits for the receipt any more, so the
/// receipt has a channel of its own.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AppendPublished {
    /// The row, which is appended unless its pair has one.
    pub row: IndexRow,
    /// The name that must be durable before the row is.
    pub publication: Publication,
    /// Receives the receipt once the row is durable, or the error.
    pub receipt: oneshot::Sender<Result<Receipt, IndexError>>,
}

/// Asks for the row of a pair in the file as it is now, not as it was last read.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<KnownRow>, IndexError>")]
pub struct ReadRow {
    /// The host of the pair.
    pub host_id: HostId,
    /// The episode of the pair.
    pub episode_id: EpisodeId,
}

/// The way to IndexWriterActor for code that knows no actor.
#[derive(Debug, Clone)]
pub struct IndexHandle {
    append: Recipient<Append>,
    append_published: Recipient<AppendPublished>,
    read_row: Recipient<ReadRow>,
}

/// The reason why the index gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The index cannot be read or appended to.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The actor is gone; the process is about to end.
    #[error("the writer of the index is gone")]
    Gone,
}

impl IndexHandle {
    /// Creates a handle for the actor behind these recipients.
    pub fn new(
        append: Recipient<Append>,
        append_published: Recipient<AppendPublished>,
        read_row: Recipient<ReadRow>,
    ) -> Self {
        Self { append, append_published, read_row }
    }

    /// Ensures that a pair has its row, durably. See [`Append`].
    pub async fn append(&self, append: Append) -> Result<Receipt, AskError> {
        Ok(self.append.send(append).await.map_err(|_| AskError::Gone)??)
    }

    /// Sends a row without waiting for its receipt. See [`AppendPublished`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the row must be written even if nobody waits for it any more, and there are as many as admitted"
    )]
    pub fn append_published(&self, append: AppendPublished) {
        self.append_published.do_send(append);
    }

    /// Returns the row of a pair in the file as it is now.
    pub async fn read_row(&self, host: &HostId, episode: &EpisodeId) -> Result<Option<KnownRow>, AskError> {
        let ask = ReadRow { host_id: host.clone(), episode_id: episode.clone() };
        Ok(self.read_row.send(ask).await.map_err(|_| AskError::Gone)??)
    }
}
