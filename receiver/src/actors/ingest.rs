//! IngestActor: one upload, from its promise to its receipt.
//!
//! - owns: the life of its upload: the writer that it started, and who is told how it ended
//! - accepts: nothing; the [`Part`]s go straight to the writer, through a bounded channel, so that a slow disk
//!   slows the socket
//! - sends to: IndexWriterActor (Deposit), from the writer's thread
//! - runs on: the arbiter of the request that began it, where it only waits: hashing, writing and syncing happen in
//!   the blocking pool (ADR 0002)
//! - ends: with its upload, whether or not anybody still wants to know
//!
//! A panic of the writer ends this upload only: the temp file and the permit are dropped, the sender sees a 500.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Recipient, fut};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::index_writer::Deposit;
use crate::ingest::admission::Permit;
use crate::ingest::commit::{Handed, hand_over, receipt};
use crate::ingest::receive::{Body, receive};
use crate::ingest::{Claim, Done, IngestError, Part};
use crate::store::layout::Store;

/// Parts that may wait for the writer. A part is what one read of the socket gave, up to some 350 KB.
const WAITING_PARTS: usize = 4;

/// Where uploads begin, and what every upload needs.
#[derive(Debug, Clone)]
pub struct Ingest {
    store: Arc<Store>,
    index: Recipient<Deposit>,
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
    pub fn new(store: Arc<Store>, index: Recipient<Deposit>) -> Self {
        Self { store, index }
    }

    /// Starts an upload on the arbiter of the caller.
    pub fn begin(&self, claim: Claim, permit: Permit) -> Upload {
        let (parts, waiting) = mpsc::channel(WAITING_PARTS);
        let (teller, outcome) = oneshot::channel();
        let promised = Promised { waiting, claim, permit, ingest: self.clone(), began: Instant::now() };
        IngestActor { promised: Some(promised), teller: Some(teller) }.start();
        Upload { parts, outcome }
    }

    /// The part of an upload that blocks; ends when its row is on its way.
    fn write(
        &self,
        body: Body,
        claim: Claim,
        mut permit: Permit,
        began: Instant,
    ) -> Result<(Handed, Permit), IngestError> {
        let sealed = receive(body, claim, &self.store, || permit.reserved_on_disk())?;
        Ok((hand_over(sealed, &self.store, &self.index, began)?, permit))
    }
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
        let body = Body::of(&claim, waiting).await?;
        let writer = spawn_blocking(move || ingest.write(body, claim, permit, began));
        let (handed, permit) = writer.await.map_err(|_| IngestError::Gone)??;
        let done = receipt(handed).await;
        // The pair is free before anybody is told.
        drop(permit);
        done
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
