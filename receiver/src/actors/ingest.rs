//! IngestActor: one upload, from its promise to its receipt.
//!
//! - owns: the life of its upload: the writer that it started, and who is told how it ended
//! - accepts: nothing; the [`Part`]s go straight to the writer, through a bounded channel, so that a slow disk
//!   slows the socket
//! - sends to: IndexWriterActor (Deposit, and Look where a name is taken), from the writer's thread
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

use super::index_writer::{Deposit, IndexWriterActor, Look};
use crate::index::known::KnownRow;
use crate::ingest::admission::Permit;
use crate::ingest::commit::{Healed, Published, ReceiptSender, deposit, has_its_row, publish, stored};
use crate::ingest::precedence::Precedence;
use crate::ingest::receive::{Body, receive};
use crate::ingest::turns::Turns;
use crate::ingest::{Claim, Done, IngestError, Part};
use crate::store::layout::Store;

/// Parts that may wait for the writer. A part is what one read of the socket gave, up to some 350 KB.
const WAITING_PARTS: usize = 4;

/// Where uploads begin, and what every upload needs.
#[derive(Debug, Clone)]
pub struct Ingest {
    store: Arc<Store>,
    index: Recipient<Deposit>,
    look: Recipient<Look>,
    precedence: Arc<Precedence>,
    turns: Turns,
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
        Self { store, index, look, precedence: Arc::default(), turns: Turns::default() }
    }

    /// Starts an upload on the arbiter of the caller.
    pub fn begin(&self, claim: Claim, permit: Permit) -> Upload {
        let (parts, waiting) = mpsc::channel(WAITING_PARTS);
        let (teller, outcome) = oneshot::channel();
        let promised = Promised { waiting, claim, permit, ingest: self.clone(), began: Instant::now() };
        IngestActor { promised: Some(promised), teller: Some(teller) }.start();
        Upload { parts, outcome }
    }

    /// The part of an upload that blocks; ends when its row is on its way, or with what went wrong.
    fn write(&self, body: Body, claim: &Claim, mut permit: Permit, tell: Tell) {
        let sealed =
            receive(body, claim.clone(), &self.store, &self.precedence, || permit.reserved_on_disk());
        match sealed.and_then(|sealed| publish(sealed, &self.store, || self.row_of(claim))) {
            Ok(Published { status, dir, healed }) => {
                // The row is to be written even where nobody is there to be told.
                let _ = tell.published.send(Ok(Named { status, healed, permit }));
                deposit(claim, dir, &self.index, tell.receipt);
            }
            Err(error) => {
                // The pair is free before anybody is told.
                drop(permit);
                let _ = tell.published.send(Err(error));
            }
        }
    }

    /// What the index says of the pair now. Blocks until IndexWriterActor, which has a thread of its own, has looked.
    fn row_of(&self, claim: &Claim) -> Result<Option<KnownRow>, IngestError> {
        let look = Look { host_id: claim.host_id.clone(), episode_id: claim.episode_id.clone() };
        let looked = Handle::current().block_on(self.look.send(look));
        Ok(looked.map_err(|_| IngestError::Gone)??)
    }
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
struct Tell {
    published: oneshot::Sender<Result<Named, IngestError>>,
    /// Goes on to IndexWriterActor. Dropped where there will be no row.
    receipt: ReceiptSender,
}

/// An upload of which nothing has come yet.
#[derive(Debug)]
struct Promised {
    waiting: mpsc::Receiver<Part>,
    claim: Claim,
    permit: Permit,
    ingest: Ingest,
    began: Instant,
}

impl Promised {
    async fn become_an_episode(self) -> Result<Done, IngestError> {
        let Self { waiting, claim, permit, ingest, began } = self;
        let arrived = Body::is_small(claim.length).then(|| ingest.turns.arrive(&claim.host_id));
        let body = Body::of(&claim, waiting).await?;
        let _turn = match &arrived {
            Some(arrived) => Some(arrived.turn().await),
            None => None,
        };
        // Until its receipt, since the syncs of directory and index are what it waits for as well.
        let _short = body.is_gathered().then(|| ingest.precedence.short());
        let ((tell_published, published), (tell_receipt, receipt)) = (oneshot::channel(), oneshot::channel());
        let (promise, tell) = (claim.clone(), Tell { published: tell_published, receipt: tell_receipt });
        // How it ends, also by a panic, is told by its two channels.
        drop(spawn_blocking(move || ingest.write(body, &promise, permit, tell)));
        let receipt = if Step::WaitForRow.is_taken() { Some(receipt.await) } else { None };
        let Named { status, healed, permit } = published.await.map_err(|_| IngestError::Gone)??;
        if let Some(receipt) = receipt {
            has_its_row(&claim, receipt.map_err(|_| IngestError::Gone)??)?;
        }
        // The pair is free before anybody is told.
        drop(permit);
        Ok(stored(&claim, status, healed.as_ref(), began))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct IngestActor {
    promised: Option<Promised>,
    teller: Option<oneshot::Sender<Result<Done, IngestError>>>,
}

impl Actor for IngestActor {
    type Context = Context<Self>;

    /// Waits in a future that the actor itself carries, so that no sender can take it back.
    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(promised) = self.promised.take() else { return ctx.stop() };
        let work = promised.become_an_episode();
        ctx.spawn(fut::wrap_future(work).map(|outcome, act: &mut Self, ctx| {
            if let Some(teller) = act.teller.take() {
                // The client may be gone; what was decided holds all the same.
                let _ = teller.send(outcome);
            }
            ctx.stop();
        }));
    }
}
