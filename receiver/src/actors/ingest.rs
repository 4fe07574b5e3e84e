//! IngestActor: one upload, from its promise to its receipt.
//!
//! - owns: the life of its upload: the writer that it started, and who is told how it ended
//! - accepts: nothing; the [`Part`]s go straight to the writer, through a bounded channel, so that a slow disk
//!   slows the socket
//! - sends to: IndexWriterActor (AppendPublished, and Look where a name is taken), from the writer's thread
//! - runs on: the arbiter of the request that began it, where it only waits: hashing, writing and syncing happen in
//!   the blocking pool (ADR 0002)
//! - ends: with its upload, whether or not anybody still wants to know
//!
//! A panic of the writer ends this upload only: the temp file and the permit are dropped, the sender sees a 500.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Recipient, fut};
use cis490_shared::step::Step;
use cis490_shared::wire::answer::StoreStatus;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::index_writer::{Append, AppendPublished, IndexWriterActor, Look};
use crate::index::IndexError;
use crate::index::known::KnownRow;
use crate::index::log::Receipt;
use crate::ingest::admission::Permit;
use crate::ingest::commit::{Healed, Published, has_its_row, log_stored, publish, row_of};
use crate::ingest::host_fairness::HostFairness;
use crate::ingest::receive::{Body, receive};
use crate::ingest::sync_scheduler::SyncScheduler;
use crate::ingest::{DeclaredUpload, Done, IngestError, Part};
use crate::store::host_dir::HostDir;
use crate::store::layout::Store;

/// Parts that may wait for the writer. A part is what one read of the socket gave, up to some 350 KB.
const WAITING_PARTS: usize = 4;

/// Where uploads begin, and what every upload needs.
#[derive(Debug, Clone)]
pub struct Ingest {
    store: Arc<Store>,
    index: Recipient<AppendPublished>,
    look: Recipient<Look>,
    scheduler: Arc<SyncScheduler>,
    fairness: HostFairness,
}

/// The HTTP layer's end of an upload.
#[derive(Debug)]
pub struct Upload {
    /// Takes the parts; closed once the upload has ended badly.
    pub parts: mpsc::Sender<Part>,
    /// How it ended. Dropped without a word only where the writer panicked.
    pub outcome: oneshot::Receiver<Result<Done, IngestError>>,
}

impl Ingest {
    /// Uploads go to this store and this index.
    pub fn new(store: Arc<Store>, index: &Addr<IndexWriterActor>) -> Self {
        let (index, look) = (index.clone().recipient(), index.clone().recipient());
        Self { store, index, look, scheduler: Arc::default(), fairness: HostFairness::default() }
    }

    /// Starts an upload on the arbiter of the caller.
    pub fn begin(&self, declared: DeclaredUpload, permit: Permit) -> Upload {
        let (parts, waiting) = mpsc::channel(WAITING_PARTS);
        let (outcome_tx, outcome) = oneshot::channel();
        let pending =
            PendingUpload { waiting, declared, permit, ingest: self.clone(), began: Instant::now() };
        IngestActor { pending: Some(pending), outcome_tx: Some(outcome_tx) }.start();
        Upload { parts, outcome }
    }

    /// The part of an upload that blocks; ends when its row is on its way, or with what went wrong.
    fn write(&self, body: Body, declared: &DeclaredUpload, mut permit: Permit, completion: Completion) {
        let sealed =
            receive(body, declared.clone(), &self.store, &self.scheduler, || permit.reserved_on_disk());
        match sealed.and_then(|sealed| publish(sealed, &self.store, || self.row_of(declared))) {
            Ok(Published { status, dir, healed }) => {
                // The row is to be written even where nobody is there to be told.
                let _ = completion.published.send(Ok(Named { status, healed, permit }));
                deposit(declared, dir, &self.index, completion.receipt);
            }
            Err(error) => {
                // The pair is free before anybody is told.
                drop(permit);
                let _ = completion.published.send(Err(error));
            }
        }
    }

    /// What the index says of the pair now. Blocks until IndexWriterActor, which has a thread of its own, has looked.
    fn row_of(&self, declared: &DeclaredUpload) -> Result<Option<KnownRow>, IngestError> {
        let look = Look { host_id: declared.host_id.clone(), episode_id: declared.episode_id.clone() };
        let looked = Handle::current().block_on(self.look.send(look));
        Ok(looked.map_err(|_| IngestError::Gone)??)
    }
}

/// Where IndexWriterActor says that a row is durable, or why it is not.
type ReceiptSender = oneshot::Sender<Result<Receipt, IndexError>>;

/// Hands the row of a published archive to IndexWriterActor, which will write it whether or not anybody still waits for
/// the receipt.
fn deposit(
    declared: &DeclaredUpload,
    dir: HostDir,
    index: &Recipient<AppendPublished>,
    receipt: ReceiptSender,
) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the row must be written even if nobody waits for it any more, and there are as many as admitted"
    )]
    index.do_send(AppendPublished { row: row_of(declared), dir, receipt });
}

/// Ensures that a stored archive has its row in the index file as it is now, not as it was last read: the client
/// retires the episode after this answer (I4, accident 1).
pub async fn confirm_row(declared: &DeclaredUpload, index: &Recipient<Append>) -> Result<(), IngestError> {
    if !Step::ConfirmRow.is_taken() {
        return Ok(());
    }
    let append = Append { row: row_of(declared), publish_dir: None };
    let receipt = index.send(append).await.map_err(|_| IngestError::Gone)??;
    has_its_row(declared, receipt)
}

/// An archive that has its name, as its upload's actor is told of it.
#[derive(Debug)]
struct Named {
    status: StoreStatus,
    healed: Option<Healed>,
    permit: Permit,
}

/// How a writer's thread tells the actor of its upload. Whether the archive is published is known before its row is
/// durable but looked for only then, so that the actor is woken once.
#[derive(Debug)]
struct Completion {
    published: oneshot::Sender<Result<Named, IngestError>>,
    /// Goes on to IndexWriterActor. Dropped where there will be no row.
    receipt: ReceiptSender,
}

/// An upload of which nothing has come yet.
#[derive(Debug)]
struct PendingUpload {
    waiting: mpsc::Receiver<Part>,
    declared: DeclaredUpload,
    permit: Permit,
    ingest: Ingest,
    began: Instant,
}

impl PendingUpload {
    async fn run(self) -> Result<Done, IngestError> {
        let Self { waiting, declared, permit, ingest, began } = self;
        let arrived = Body::is_small(declared.length).then(|| ingest.fairness.arrive(&declared.host_id));
        let body = Body::of(&declared, waiting).await?;
        let _turn = match &arrived {
            Some(arrived) => Some(arrived.turn().await),
            None => None,
        };
        // Until its receipt, since the syncs of directory and index are what it waits for as well.
        let _short = body.is_gathered().then(|| ingest.scheduler.short());
        let ((published_tx, published), (receipt_tx, receipt)) = (oneshot::channel(), oneshot::channel());
        let (promise, completion) =
            (declared.clone(), Completion { published: published_tx, receipt: receipt_tx });
        // How it ends, also by a panic, is told by its two channels.
        drop(spawn_blocking(move || ingest.write(body, &promise, permit, completion)));
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
