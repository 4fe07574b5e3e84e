//! What IndexWriterActor is asked. The messages are here, and not with their actor, so that uploads, the records of
//! what is stored and the tools send them without knowing any actor.

use actix::Message;
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
