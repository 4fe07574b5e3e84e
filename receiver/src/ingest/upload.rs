//! One upload, top to bottom: body, turn, temp file, hash, sync, name, row, receipt.
//!
//! [`PendingUpload::run`] is all of it. What blocks runs in the blocking pool (ADR 0002) and needs nobody to wait for it:
//! a client that hangs up cannot cut a commit in half.

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

/// Where uploads go, and what they share on the way.
#[derive(Debug)]
pub struct Destination {
    /// Has the temp files.
    pub spool: Spool,
    /// Has the archives.
    pub store: Arc<Store>,
    /// Takes the rows, and tells that of a pair whose name is taken.
    pub index: IndexHandle,
    /// Short uploads before long ones at the disk.
    pub scheduler: Arc<SyncScheduler>,
    /// Hosts take turns at the disk.
    pub fairness: HostFairness,
}

/// An upload of which nothing has come yet.
#[derive(Debug)]
pub struct PendingUpload {
    /// Its parts, as they come.
    pub parts: mpsc::Receiver<Part>,
    /// What was promised.
    pub declared: DeclaredUpload,
    /// The right to upload it.
    pub permit: Permit,
    /// Where it goes.
    pub destination: Arc<Destination>,
    /// When it was admitted.
    pub began: Instant,
}

impl PendingUpload {
    /// Sees the upload through. `Ok` means that the archive and its row are durable.
    pub async fn run(self) -> Result<Done, IngestError> {
        let Self { parts, declared, permit, destination, began } = self;
        let Destination { fairness, scheduler, .. } = &*destination;
        let arrived = Body::is_small(declared.length).then(|| fairness.arrive(&declared.host_id));
        let body = Body::of(&declared, parts).await?;
        let _turn = match &arrived {
            Some(arrived) => Some(arrived.turn().await),
            None => None,
        };
        // Until its receipt, since the syncs of directory and index are what it waits for as well.
        let _short = body.is_gathered().then(|| scheduler.short());
        let ((published_tx, published), (receipt_tx, receipt)) = (oneshot::channel(), oneshot::channel());
        let (promise, to) = (declared.clone(), Arc::clone(&destination));
        let completion = Completion { published: published_tx, receipt: receipt_tx };
        // How it ends, also by a panic, is told by its two channels.
        drop(spawn_blocking(move || write(body, &promise, permit, &to, completion)));
        let receipt = if Step::WaitForRow.is_taken() { Some(receipt.await) } else { None };
        let Named { status, healed, permit } = published.await.map_err(|_| IngestError::Gone)??;
        if let Some(receipt) = receipt {
            has_its_row(&declared, receipt.map_err(|_| IngestError::Gone)??)?;
        }
        // The pair is free before anybody is told.
        drop(permit);
        Ok(log_stored(&declared, status, healed.as_ref(), began))
    }
}

/// How the blocking part tells the rest. Whether the archive is published is known before its row is durable but asked
/// for only then, so that the upload is woken once.
#[derive(Debug)]
struct Completion {
    published: oneshot::Sender<Result<Named, IngestError>>,
    /// Goes on to IndexWriterActor. Dropped where there will be no row.
    receipt: oneshot::Sender<Result<Receipt, IndexError>>,
}

/// An archive that has its name.
#[derive(Debug)]
struct Named {
    status: StoreStatus,
    healed: Option<Healed>,
    permit: Permit,
}

/// The part that blocks: ends when the row is on its way, or with what went wrong.
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
            // The row is to be written even where nobody is there to be told.
            let _ = completion.published.send(Ok(Named { status, healed, permit }));
            let row = row_of(declared);
            to.index.append_published(AppendPublished { row, publication, receipt: completion.receipt });
        }
        Err(error) => {
            // The pair is free before anybody is told.
            drop(permit);
            let _ = completion.published.send(Err(error));
        }
    }
}

/// Who waits for whom at the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DiskTurns {
    /// Short uploads that wait because their host has several at the disk and others want to be there.
    pub waiting_for_turn: usize,
    /// Short uploads at the disk, for which long ones give way.
    pub short_at_disk: usize,
    /// How often long uploads gave way since the start.
    pub steps_of_long: u64,
}

impl Destination {
    /// Who waits for whom at the disk now.
    pub fn turns(&self) -> DiskTurns {
        let (short_at_disk, steps_of_long) = self.scheduler.observe();
        DiskTurns { waiting_for_turn: self.fairness.waiting(), short_at_disk, steps_of_long }
    }

    /// What the index says of the pair now. Blocks until IndexWriterActor, which has a thread of its own, has read it.
    fn row_of(&self, declared: &DeclaredUpload) -> Result<Option<KnownRow>, IngestError> {
        let DeclaredUpload { host_id, episode_id, .. } = declared;
        Ok(Handle::current().block_on(self.index.read_row(host_id, episode_id))?)
    }
}
