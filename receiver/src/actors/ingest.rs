//! IngestActor: the life of one upload, from its head to its receipt.
//!
//! - owns: its upload: it runs [`PendingUpload::run`] to the end and reports the result
//! - accepts: nothing; the [`Part`]s go straight to the upload, through a bounded channel, so that a slow disk slows
//!   the socket
//! - sends to: IndexWriterActor, through its upload: AppendPublished and ReadRow
//! - runs on: the arbiter of the request that started it, where it only waits
//! - ends: with its upload, even if the client is gone
//!
//! A panic in the blocking part ends only this upload, with a 503; the temp file and the permit are dropped.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, fut};
use tokio::sync::{mpsc, oneshot};

use crate::index::requests::IndexHandle;
use crate::ingest::admission::Permit;
use crate::ingest::host_fairness::HostFairness;
use crate::ingest::upload::{Destination, DiskTurns, PendingUpload};
use crate::ingest::{DeclaredUpload, Done, IngestError, Part};
use crate::store::layout::Store;
use crate::store::spool::Spool;

/// The number of parts that may wait for the writer. A part is the result of one read of the socket, up to about 350
/// KB.
const WAITING_PARTS: usize = 4;

/// Starts uploads.
#[derive(Debug, Clone)]
pub struct Ingest(Arc<Destination>);

/// The HTTP layer's end of an upload.
#[derive(Debug)]
pub struct Upload {
    /// Takes the parts; closed once the upload has failed.
    pub parts: mpsc::Sender<Part>,
    /// The result of the upload. Closed without one only if the actor itself panicked or its arbiter stopped.
    pub outcome: oneshot::Receiver<Result<Done, IngestError>>,
}

impl Ingest {
    /// Creates a starter of uploads through this spool to this store and this index.
    pub fn new(spool: Spool, store: Arc<Store>, index: IndexHandle) -> Self {
        Self(Arc::new(Destination {
            spool,
            store,
            index,
            scheduler: Arc::default(),
            fairness: HostFairness::default(),
        }))
    }

    /// Returns the state of the queue at the disk.
    pub fn turns(&self) -> DiskTurns {
        self.0.turns()
    }

    /// Starts an upload on the arbiter of the caller.
    pub fn begin(&self, declared: DeclaredUpload, permit: Permit) -> Upload {
        let (parts_tx, parts) = mpsc::channel(WAITING_PARTS);
        let (outcome_tx, outcome) = oneshot::channel();
        let (destination, began) = (Arc::clone(&self.0), Instant::now());
        let pending = PendingUpload { parts, declared, permit, destination, began };
        IngestActor { pending: Some(pending), outcome_tx: Some(outcome_tx) }.start();
        Upload { parts: parts_tx, outcome }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct IngestActor {
    pending: Option<PendingUpload>,
    outcome_tx: Option<oneshot::Sender<Result<Done, IngestError>>>,
}

impl Actor for IngestActor {
    type Context = Context<Self>;

    /// Runs the upload in a future that the actor owns, so that no sender can cancel it.
    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(pending) = self.pending.take() else { return ctx.stop() };
        let work = pending.run();
        ctx.spawn(fut::wrap_future(work).map(|outcome, act: &mut Self, ctx| {
            if let Some(outcome_tx) = act.outcome_tx.take() {
                // The client may be gone; the result holds all the same.
                let _ = outcome_tx.send(outcome);
            }
            ctx.stop();
        }));
    }
}
