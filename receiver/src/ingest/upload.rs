//! One upload, top to bottom: body, turn, temp file, hash, sync, name, row, receipt.
//!
//! [`PendingUpload::run`] is the whole upload. Its blocking part runs in the blocking pool (ADR 0002) and continues
//! even if nobody waits for it. So a client that hangs up cannot cut a commit in half.

use std::sync::Arc;
use std::time::Instant;

use cis490_shared::step::Step;
use cis490_shared::wire::answer::StoreStatus;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::admission::Permit;
use super::commit::{Healed, Published, has_its_row, log_stored, publish, row_of};
use super::host_fairness::HostFairness;
use super::receive::{Body, receive};
use super::sync_scheduler::SyncScheduler;
use super::{DeclaredUpload, Done, IngestError, Part};
use crate::index::IndexError;
use crate::index::known::KnownRow;
use crate::index::log::Receipt;
use crate::index::requests::{AppendPublished, IndexHandle};
use crate::store::layout::Store;
use crate::store::spool::Spool;

/// Spool, store and index, and the state that uploads share on the way.
#[derive(Debug)]
pub struct Destination {
    /// The temp files.
    pub spool: Spool,
    /// The archives.
    pub store: Arc<Store>,
    /// The rows: takes new ones, and returns the row of a pair whose name is taken.
    pub index: IndexHandle,
    /// Lets short uploads go before long ones at the disk.
    pub scheduler: Arc<SyncScheduler>,
    /// Lets hosts take turns at the disk.
    pub fairness: HostFairness,
}

/// An upload of which no byte of the body has come yet.
#[derive(Debug)]
pub struct PendingUpload {
    /// The parts of the body, as they come.
    pub parts: mpsc::Receiver<Part>,
    /// The declarations in the head.
    pub declared: DeclaredUpload,
    /// The right to upload it.
    pub permit: Permit,
    /// The destination.
    pub destination: Arc<Destination>,
    /// The time at which it was admitted.
    pub began: Instant,
}

impl PendingUpload {
    /// Runs the upload to its end. `Ok` means that the archive and its row are durable.
    pub async fn run(self) -> Result<Done, IngestError> {
        let Self { parts, declared, permit, destination, began } = self;
        let Destination { fairness, scheduler, .. } = &*destination;
        let arrived = Body::is_small(declared.length).then(|| fairness.arrive(&declared.host_id));
        let body = Body::of(&declared, parts).await?;
        let _turn = match &arrived {
            Some(arrived) => Some(arrived.turn().await),
            None => None,
        };
        // Counts as short until its receipt, because it also waits for the syncs of directory and index.
        let _short = body.is_gathered().then(|| scheduler.short());
        let ((published_tx, published), (receipt_tx, receipt)) = (oneshot::channel(), oneshot::channel());
        let (promise, to) = (declared.clone(), Arc::clone(&destination));
        let completion = Completion { published: published_tx, receipt: receipt_tx };
        // The result, or a panic, reaches this task through the two channels.
        drop(spawn_blocking(move || write(body, &promise, permit, &to, completion)));
        let receipt = if Step::WaitForRow.is_taken() { Some(receipt.await) } else { None };
        let Named { status, healed, permit } = published.await.map_err(|_| IngestError::Gone)??;
        if let Some(receipt) = receipt {
            has_its_row(&declared, receipt.map_err(|_| IngestError::Gone)??)?;
        }
        // Frees the pair before the client gets its answer.
        drop(permit);
        Ok(log_stored(&declared, status, healed.as_ref(), began))
    }
}

/// The channels from the blocking part to the upload. `published` is sent before the row is durable, but received only
/// after the receipt, so that the upload is woken once.
#[derive(Debug)]
struct Completion {
    published: oneshot::Sender<Result<Named, IngestError>>,
    /// Handed on to IndexWriterActor. Dropped if there will be no row.
    receipt: oneshot::Sender<Result<Receipt, IndexError>>,
}

/// An archive that has its final name.
#[derive(Debug)]
struct Named {
    status: StoreStatus,
    healed: Option<Healed>,
    permit: Permit,
}

/// The blocking part. Returns after it has sent the row to IndexWriterActor, or after an error.
fn write(
    body: Body,
    declared: &DeclaredUpload,
    mut permit: Permit,
    to: &Destination,
    completion: Completion,
) {
    let sealed = receive(body, declared.clone(), &to.spool, &to.scheduler, || permit.reserved_on_disk());
    match sealed.and_then(|sealed| publish(sealed, &to.store, || to.row_of(declared))) {
        Ok(Published { status, publication, healed }) => {
            // The row must be written even if nobody receives this message.
            let _ = completion.published.send(Ok(Named { status, healed, permit }));
            let row = row_of(declared);
            to.index.append_published(AppendPublished { row, publication, receipt: completion.receipt });
        }
        Err(error) => {
            // Frees the pair before the client gets its answer.
            drop(permit);
            let _ = completion.published.send(Err(error));
        }
    }
}

/// The state of the queue at the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DiskTurns {
    /// Short uploads that wait because their host has several at the disk and another host is active.
    pub waiting_for_turn: usize,
    /// Short uploads at the disk, for which long uploads give way.
    pub short_at_disk: usize,
    /// Steps in which long uploads gave way, since the start.
    pub steps_of_long: u64,
}

impl Destination {
    /// Returns the state of the queue at the disk now.
    pub fn turns(&self) -> DiskTurns {
        let (short_at_disk, steps_of_long) = self.scheduler.observe();
        DiskTurns { waiting_for_turn: self.fairness.waiting(), short_at_disk, steps_of_long }
    }

    /// Returns the row of the pair in the index as it is now. Blocks until IndexWriterActor, which has its own thread,
    /// has read it.
    fn row_of(&self, declared: &DeclaredUpload) -> Result<Option<KnownRow>, IngestError> {
        let DeclaredUpload { host_id, episode_id, .. } = declared;
        Ok(Handle::current().block_on(self.index.read_row(host_id, episode_id))?)
    }
}
