//! IngestActor: one upload, from its first byte to its receipt.
//!
//! - owns: the temp file and the hash of its upload, and the permit for its pair
//! - accepts: its stream of [`Part`]s, in order, through a bounded channel, so that a slow disk slows the socket
//! - sends to: IndexWriterActor (Append), by way of [`commit`]
//! - runs on: one of a few ingest arbiters, which serve no requests, so that it may write and hash in place;
//!   syncs go to the blocking pool, so that its neighbours go on
//! - ends: with its upload. A stream that ends without `Finish` means abort: the temp file goes
//!
//! A panic here ends this upload only: the temp file and the permit are dropped, the sender sees a 500.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Recipient, StreamHandler, fut};
use actix_rt::ArbiterHandle;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::index_writer::Append;
use crate::ingest::admission::Permit;
use crate::ingest::commit::commit;
use crate::ingest::writer::EpisodeWriter;
use crate::ingest::{Claim, Done, IngestError, Part};
use crate::store::layout::Store;

/// Parts that may wait for the writer. A part is what one read of the socket gave, up to some 350 KB.
const WAITING_PARTS: usize = 4;

/// Where uploads begin: the ingest arbiters, taken in turn, and what every upload needs.
#[derive(Debug, Clone)]
pub struct IngestPool {
    shared: Arc<PoolShared>,
}

#[derive(Debug)]
struct PoolShared {
    arbiters: Vec<ArbiterHandle>,
    next: AtomicUsize,
    store: Arc<Store>,
    index: Recipient<Append>,
}

/// The HTTP layer's end of an upload.
#[derive(Debug)]
pub struct Upload {
    /// Takes the parts; closed once the upload has ended badly.
    pub parts: mpsc::Sender<Part>,
    /// How it ended. Dropped without a word only where the actor panicked.
    pub outcome: oneshot::Receiver<Result<Done, IngestError>>,
}

impl IngestPool {
    /// A pool on these arbiters, of which there must be at least one.
    pub fn new(arbiters: Vec<ArbiterHandle>, store: Arc<Store>, index: Recipient<Append>) -> Self {
        Self { shared: Arc::new(PoolShared { arbiters, next: AtomicUsize::new(0), store, index }) }
    }

    /// Starts an upload on the next arbiter.
    pub fn begin(&self, claim: Claim, permit: Permit) -> Upload {
        let shared = &self.shared;
        let (parts, waiting) = mpsc::channel(WAITING_PARTS);
        let (outcome_sender, outcome) = oneshot::channel();
        let (store, index) = (Arc::clone(&shared.store), shared.index.clone());
        let turn = shared.next.fetch_add(1, Ordering::Relaxed) % shared.arbiters.len();
        IngestActor::start_in_arbiter(&shared.arbiters[turn], move |ctx| {
            ctx.add_stream(ReceiverStream::new(waiting));
            IngestActor::begin(claim, permit, store, index, outcome_sender)
        });
        Upload { parts, outcome }
    }

    /// Whether every arbiter still runs what it is given.
    pub async fn ping(&self) -> bool {
        for arbiter in &self.shared.arbiters {
            let (alive, answer) = oneshot::channel();
            // The answer is lost only with the arbiter, which the receiver's error tells.
            let given = arbiter.spawn(async move { alive.send(()).unwrap_or_default() });
            if !given || answer.await.is_err() {
                return false;
            }
        }
        true
    }
}

/// An upload whose bytes are coming.
#[derive(Debug)]
struct Writing {
    writer: EpisodeWriter,
    permit: Permit,
    store: Arc<Store>,
    index: Recipient<Append>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct IngestActor {
    /// None once the last byte came or the upload has failed.
    writing: Option<Box<Writing>>,
    began: Instant,
    outcome: Option<oneshot::Sender<Result<Done, IngestError>>>,
}

impl IngestActor {
    /// Creates the temp file; where that fails, the sender is told and nothing else happens.
    fn begin(
        claim: Claim,
        mut permit: Permit,
        store: Arc<Store>,
        index: Recipient<Append>,
        outcome: oneshot::Sender<Result<Done, IngestError>>,
    ) -> Self {
        let mut actor = Self { writing: None, began: Instant::now(), outcome: Some(outcome) };
        match EpisodeWriter::begin(&store, claim) {
            Ok(writer) => {
                permit.reserved_on_disk();
                actor.writing = Some(Box::new(Writing { writer, permit, store, index }));
            }
            Err(error) => {
                drop(permit);
                actor.tell(Err(error.into()));
            }
        }
        actor
    }

    fn tell(&mut self, outcome: Result<Done, IngestError>) {
        if let Some(sender) = self.outcome.take() {
            // The client may be gone; what was decided holds all the same.
            let _ = sender.send(outcome);
        }
    }

    /// Gives the upload up. The pair is free and the temp file gone before anybody is told.
    fn fail(&mut self, error: IngestError, ctx: &mut Context<Self>) {
        self.writing = None;
        self.tell(Err(error));
        ctx.stop();
    }

    /// Commits in a future that the actor itself carries, so that no sender can take it back.
    fn finish(&mut self, writing: Writing, ctx: &mut Context<Self>) {
        let Writing { writer, permit, store, index } = writing;
        let began = self.began;
        let work = async move {
            let outcome = match writer.seal() {
                Ok(sealed) => commit(sealed, store, index, began).await,
                Err(error) => Err(error),
            };
            drop(permit);
            outcome
        };
        ctx.spawn(fut::wrap_future(work).map(|outcome, act: &mut Self, ctx| {
            act.tell(outcome);
            ctx.stop();
        }));
    }
}

impl Actor for IngestActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.writing.is_none() {
            ctx.stop();
        }
    }
}

impl StreamHandler<Part> for IngestActor {
    fn handle(&mut self, part: Part, ctx: &mut Self::Context) {
        // Parts behind the last one that counted are of no use to anybody.
        let Some(mut writing) = self.writing.take() else { return };
        match part {
            Part::Data(bytes) => match writing.writer.write(&bytes) {
                Ok(()) => self.writing = Some(writing),
                Err(error) => {
                    drop(writing);
                    self.fail(error, ctx);
                }
            },
            Part::Finish => self.finish(*writing, ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        if let Some(writing) = &self.writing {
            let received = writing.writer.received();
            self.fail(IngestError::Aborted { received }, ctx);
        }
    }
}
