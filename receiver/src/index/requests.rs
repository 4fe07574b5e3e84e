//! What IndexWriterActor is asked, and the handle by which uploads and the records of what is stored ask it: they know
//! neither the actor nor actix.

use actix::{Message, Recipient};
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::row::IndexRow;
use tokio::sync::oneshot;

use super::IndexError;
use super::known::KnownRow;
use super::log::Receipt;
use super::publication::Publication;

/// `Ok` means that the pair has a durable row. After an error no row was left behind, and sending again is safe.
#[derive(Debug, Message)]
#[rtype(result = "Result<Receipt, IndexError>")]
pub struct Append {
    /// The row to append unless its pair has one.
    pub row: IndexRow,
    /// What must be durable before the row is.
    pub publication: Option<Publication>,
}

/// Sent by an upload when its archive is published. Handled whether or not anybody still waits for the receipt, which
/// therefore comes by a channel of its own.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AppendPublished {
    /// The row to append unless its pair has one.
    pub row: IndexRow,
    /// What must be durable before the row is.
    pub publication: Publication,
    /// Where to say that it is durable, or why it is not.
    pub receipt: oneshot::Sender<Result<Receipt, IndexError>>,
}

/// Asks for the row of a pair in the file as it is now, and not as it was when it was last read.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<KnownRow>, IndexError>")]
pub struct ReadRow {
    /// The host of the pair.
    pub host_id: HostId,
    /// The episode of the pair.
    pub episode_id: EpisodeId,
}

/// The way to IndexWriterActor.
#[derive(Debug, Clone)]
pub struct IndexHandle {
    append: Recipient<Append>,
    append_published: Recipient<AppendPublished>,
    read_row: Recipient<ReadRow>,
}

/// Why the index gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It cannot be read or appended to.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Its actor is gone; the process is about to end.
    #[error("the writer of the index is gone")]
    Gone,
}

impl IndexHandle {
    /// A handle on the actor that these are recipients of.
    pub fn new(
        append: Recipient<Append>,
        append_published: Recipient<AppendPublished>,
        read_row: Recipient<ReadRow>,
    ) -> Self {
        Self { append, append_published, read_row }
    }

    /// Sees to it that a pair has its row, durably. See [`Append`].
    pub async fn append(&self, append: Append) -> Result<Receipt, AskError> {
        Ok(self.append.send(append).await.map_err(|_| AskError::Gone)??)
    }

    /// The same without waiting for it. See [`AppendPublished`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the row must be written even if nobody waits for it any more, and there are as many as admitted"
    )]
    pub fn append_published(&self, append: AppendPublished) {
        self.append_published.do_send(append);
    }

    /// The row of a pair in the file as it is now.
    pub async fn read_row(&self, host: &HostId, episode: &EpisodeId) -> Result<Option<KnownRow>, AskError> {
        let ask = ReadRow { host_id: host.clone(), episode_id: episode.clone() };
        Ok(self.read_row.send(ask).await.map_err(|_| AskError::Gone)??)
    }
}
