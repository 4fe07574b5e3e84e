//! IngestActor: the life of one upload, from its promise to its receipt.
//!
//! - owns: the life of its upload: it starts [`PendingUpload::run`], which is the whole way, and tells how that ended
//! - accepts: nothing; the [`Part`]s go straight to the upload, through a bounded channel, so that a slow disk slows the
//!   socket
//! - sends to: nobody; its upload sends AppendPublished and ReadRow to IndexWriterActor
//! - runs on: the arbiter of the request that began it, where it only waits
//! - ends: with its upload, whether or not anybody still wants to know
//!
//! A panic of what blocks ends this upload only: the temp file and the permit are dropped, the sender sees a 500.

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

/// Parts that may wait for the writer. A part is what one read of the socket gave, up to some 350 KB.
const WAITING_PARTS: usize = 4;

/// Where uploads begin.
#[derive(Debug, Clone)]
pub struct Ingest(Arc<Destination>);

/// The HTTP layer's end of an upload.
#[derive(Debug)]
pub struct Upload {
    /// Takes the parts; closed once the upload has ended badly.
    pub parts: mpsc::Sender<Part>,
    /// How it ended. Dropped without a word only where the writer panicked.
    pub outcome: oneshot::Receiver<Result<Done, IngestError>>,
}

impl Ingest {
    /// Uploads go through this spool to this store and this index.
    pub fn new(spool: Spool, store: Arc<Store>, index: IndexHandle) -> Self {
        Self(Arc::new(Destination {
            spool,
            store,
            index,
            scheduler: Arc::default(),
            fairness: HostFairness::default(),
        }))
    }

    /// Who waits for whom at the disk now.
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

    /// Waits in a future that the actor itself carries, so that no sender can take it back.
    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(pending) = self.pending.take() else { return ctx.stop() };
        let work = pending.run();
        ctx.spawn(fut::wrap_future(work).map(|outcome, act: &mut Self, ctx| {
            if let Some(outcome_tx) = act.outcome_tx.take() {
                // The client may be gone; what was decided holds all the same.
                let _ = outcome_tx.send(outcome);
            }
            ctx.stop();
        }));
    }
}
