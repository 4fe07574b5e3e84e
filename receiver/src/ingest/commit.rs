//! From sealed bytes to a receipt: sync, publish, sync the directory, write the row, in that order.
//!
//! Runs in the blocking pool, started by an IngestActor, and needs no client to wait for it: one that hangs up cannot
//! cut a commit in half.
//! A crash between any two steps leaves either a temp file, which the next start sweeps, or a stored archive
//! without a row, which the next upload of the same bytes or a backfill completes (I1, I2, I4).

use std::io;
use std::time::Instant;

use actix::Recipient;
use cis490_shared::clock::WallTime;
use cis490_shared::ids::Sha256Digest;
use cis490_shared::row::{IndexRow, SCHEMA_VERSION};
use cis490_shared::step::Step;
use cis490_shared::wire::answer::StoreStatus;
use tokio::sync::oneshot;
use tracing::info;

use super::writer::Sealed;
use super::{Claim, Done, IngestError};
use crate::actors::index_writer::{Append, Deposit};
use crate::index::IndexError;
use crate::index::log::Receipt;
use crate::store::host_dir::HostDir;
use crate::store::layout::Store;
use crate::store::stored;

/// Where IndexWriterActor says that a row is durable, or why it is not.
pub type ReceiptSender = oneshot::Sender<Result<Receipt, IndexError>>;

/// Hands the row of a published archive to IndexWriterActor, which will write it whether or not anybody still waits for
/// the receipt.
pub fn deposit(claim: &Claim, dir: HostDir, index: &Recipient<Deposit>, receipt: ReceiptSender) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the row must be written even if nobody waits for it any more, and there are as many as admitted"
    )]
    index.do_send(Deposit { row: row_of(claim), dir, receipt });
}

/// The end of an upload whose row is durable.
pub fn stored(claim: &Claim, status: StoreStatus, began: Instant) -> Done {
    info!(
        host_id = %claim.host_id,
        episode_id = %claim.episode_id,
        commit = claim.commit.as_ref().map(tracing::field::display),
        size_bytes = claim.length,
        elapsed_ms = began.elapsed().as_millis(),
        was_there = status == StoreStatus::AlreadyPresent,
        "episode stored"
    );
    if let Some(amnesty) = &claim.amnesty {
        info!(
            host_id = %claim.host_id,
            episode_id = %claim.episode_id,
            commit = %amnesty.commit,
            reason = %amnesty.reason,
            admitted_by = %amnesty.by,
            until = amnesty.until.map(tracing::field::display),
            "accepted under an amnesty"
        );
    }
    Done { status }
}

/// Makes sure that the pair of an archive that is stored has its row in the index as it is now, not as it was
/// when it was last looked at: whoever asks will retire the episode (I4, accident 1).
pub async fn confirm_row(claim: &Claim, index: &Recipient<Append>) -> Result<(), IngestError> {
    if !Step::ConfirmRow.is_taken() {
        return Ok(());
    }
    let append = Append { row: row_of(claim), publish_dir: None };
    index.send(append).await.map_err(|_| IngestError::Gone)??;
    Ok(())
}

/// Makes sealed bytes durable and gives them their final name; a name that is taken is compared, never replaced. Gives
/// back the directory that has the name, whose sync is still due. Blocks.
pub fn publish(sealed: Sealed, store: &Store) -> Result<(StoreStatus, HostDir), IngestError> {
    let Sealed { claim, temp } = sealed;
    Step::SyncArchive.take(|| temp.sync())?;
    let dir = store.ensure_host_dir(&claim.host_id)?;
    match dir.publish(temp, &claim.episode_id) {
        Ok(()) => Ok((StoreStatus::Stored, dir)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let stored = stored::hash_in(&dir, &claim.episode_id)?.ok_or(error)?;
            compare(stored.sha256, claim.sha256)?;
            Ok((StoreStatus::AlreadyPresent, dir))
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses bytes whose hash differs from what is stored under their id.
pub fn compare(stored: Sha256Digest, yours: Sha256Digest) -> Result<(), IngestError> {
    if stored == yours || !Step::CompareHashes.is_taken() {
        return Ok(());
    }
    Err(IngestError::Conflict { stored, yours })
}

fn row_of(claim: &Claim) -> IndexRow {
    IndexRow {
        backfilled: false,
        commit: claim.commit.clone(),
        episode_id: claim.episode_id.clone(),
        host_id: claim.host_id.clone(),
        received_at_wall: WallTime::now(),
        schema_version: SCHEMA_VERSION,
        sha256: claim.sha256,
        size_bytes: claim.length,
    }
}
