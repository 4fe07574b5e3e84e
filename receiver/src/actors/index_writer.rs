//! IndexWriterActor: the only code in the project that appends to index.jsonl.
//!
//! - owns: the [`IndexLog`], and with it the set of pairs that have a row
//! - accepts: [`Append`], [`AppendPublished`], [`ReadRow`], Ping, Drain
//! - publishes: [`IndexObservation`]; reading it never waits for a batch
//! - sends to: nobody
//! - runs on: an arbiter of its own, because a batch blocks; all appends that wait meanwhile go into the next batch and
//!   share one sync (group commit)
//! - ends: with its System, after Drain
//!
//! It guards I1 (acknowledged means durable) and I3 (no pair has two rows).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, ResponseFuture};
use cis490_shared::latest::Latest;
use cis490_shared::row::IndexRow;
use cis490_shared::step::Step;
use tokio::sync::oneshot;
use tracing::{error, info};

use super::{Drain, Ping};
use crate::index::known::{KnownRow, KnownView};
use crate::index::log::{IndexLog, Receipt};
use crate::index::publication::{FileId, Publication};
use crate::index::requests::{Append, AppendPublished, IndexHandle, ReadRow};
use crate::index::{IndexError, IndexStep};

/// The counters of IndexWriterActor since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexObservation {
    /// Batches that succeeded.
    pub batches: u64,
    /// Rows that were written.
    pub appended: u64,
    /// Rows that were not written, because their pair already had one.
    pub already_known: u64,
    /// True from a failed batch or read until the next batch succeeds.
    pub failing: bool,
}

/// The private message that commits all waiting rows as one batch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct CommitBatch;

/// See the module's documentation.
#[derive(Debug)]
pub struct IndexWriterActor {
    log: IndexLog,
    waiting: Vec<Waiting>,
    seen: IndexObservation,
    shown: Latest<IndexObservation>,
    /// Directories whose last sync failed, each of which was logged once.
    unsyncable: BTreeSet<PathBuf>,
}

#[derive(Debug)]
struct Waiting {
    row: IndexRow,
    /// The name that must be durable before the row is.
    publication: Option<Publication>,
    reply: oneshot::Sender<Result<Receipt, IndexError>>,
}

/// The mailbox capacity: further senders wait for a free slot. Each sender is one upload, so this is far above the
/// number of admitted uploads.
const MAILBOX: usize = 1024;

impl IndexWriterActor {
    /// Opens the index at `path`; creates it if it is missing. Blocks.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        Ok(Self {
            log: IndexLog::open(path)?,
            waiting: Vec::new(),
            seen: IndexObservation::default(),
            shown: Latest::default(),
            unsyncable: BTreeSet::new(),
        })
    }

    /// Returns the handle for requests to the actor.
    pub fn handle(address: &Addr<Self>) -> IndexHandle {
        let address = address.clone();
        IndexHandle::new(address.clone().recipient(), address.clone().recipient(), address.recipient())
    }

    /// Returns the view of the pairs that have a row, which stays current while the actor lives.
    pub fn known(&self) -> KnownView {
        self.log.known()
    }

    /// Returns the view of the counters, which stays current while the actor lives.
    pub fn shown(&self) -> Latest<IndexObservation> {
        self.shown.clone()
    }

    /// Adds a row to the next batch, which starts once the messages now in the mailbox have been handled.
    fn take_in(&mut self, row: Waiting, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() {
            ctx.notify(CommitBatch);
        }
        self.waiting.push(row);
    }

    /// Commits all waiting rows as one batch and answers every sender. Blocks.
    fn commit(&mut self) {
        let mut batch = std::mem::take(&mut self.waiting);
        if batch.is_empty() {
            return;
        }
        self.refuse_unpublished(&mut batch);
        let (rows, replies): (Vec<IndexRow>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.row, waiting.reply)).unzip();
        let outcome = self.log.append_batch(&rows);
        self.note(outcome.as_deref());
        for (index, reply) in replies.into_iter().enumerate() {
            // If the sender is gone, its row is durable all the same.
            let _ = reply.send(match &outcome {
                Ok(receipts) => Ok(receipts[index]),
                Err(error) => Err(error.clone()),
            });
        }
    }

    /// Syncs each directory of the batch once. Removes rows whose directory cannot be synced, and answers them with the
    /// error.
    fn refuse_unpublished(&mut self, batch: &mut Vec<Waiting>) {
        let publications: BTreeMap<_, &Publication> = batch
            .iter()
            .filter_map(|waiting| waiting.publication.as_ref())
            .map(|publication| (publication.place(), publication))
            .collect();
        let synced: Vec<(PathBuf, Option<FileId>, io::Result<()>)> = publications
            .into_iter()
            .map(|((path, id), publication)| {
                (path.to_owned(), id, Step::SyncHostDir.take(|| publication.sync()))
            })
            .collect();
        for (dir, id, outcome) in synced {
            let Err(failure) = outcome else {
                if self.unsyncable.remove(&dir) {
                    info!(path = %dir.display(), "the directory of stored episodes can be synced again");
                }
                continue;
            };
            let failure = IndexError::at(IndexStep::SyncDirectory, &dir)(failure);
            if self.unsyncable.insert(dir.clone()) {
                error!(error = %failure, help = %failure.remedy(), "the directory of a stored episode cannot be synced");
            }
            let of_dir = |waiting: &mut Waiting| {
                waiting.publication.as_ref().is_some_and(|publication| publication.place() == (&dir, id))
            };
            for waiting in batch.extract_if(.., of_dir) {
                // A sender that is gone will ask again.
                let _ = waiting.reply.send(Err(failure.clone()));
            }
        }
    }

    /// Counts a batch. Logs when the index starts to fail and when it works again, not in between.
    fn note(&mut self, outcome: Result<&[Receipt], &IndexError>) {
        match outcome {
            Ok(receipts) => {
                let appended = receipts.iter().filter(|r| **r == Receipt::Appended).count() as u64;
                self.seen.batches += 1;
                self.seen.appended += appended;
                self.seen.already_known += receipts.len() as u64 - appended;
                if std::mem::take(&mut self.seen.failing) {
                    info!("the index can be appended to again");
                }
            }
            Err(failure) if !std::mem::replace(&mut self.seen.failing, true) => {
                error!(error = %failure, help = %failure.remedy(), "the index cannot be appended to, uploads are answered 500");
            }
            Err(_) => {}
        }
        self.shown.publish(self.seen.clone());
    }
}

impl Actor for IndexWriterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Append> for IndexWriterActor {
    // The row is queued before the future exists, so a sender that goes away cannot cancel it.
    type Result = ResponseFuture<Result<Receipt, IndexError>>;

    fn handle(&mut self, append: Append, ctx: &mut Self::Context) -> Self::Result {
        let Append { row, publication } = append;
        let path = self.log.path().to_owned();
        let (reply, receipt) = oneshot::channel();
        self.take_in(Waiting { row, publication, reply }, ctx);
        Box::pin(async move {
            receipt.await.unwrap_or_else(|_| {
                Err(IndexError::at(IndexStep::Write, &path)(io::Error::other("the writer stopped")))
            })
        })
    }
}

impl Handler<AppendPublished> for IndexWriterActor {
    type Result = ();

    fn handle(&mut self, append: AppendPublished, ctx: &mut Self::Context) {
        let AppendPublished { row, publication, receipt: reply } = append;
        self.take_in(Waiting { row, publication: Some(publication), reply }, ctx);
    }
}

impl Handler<CommitBatch> for IndexWriterActor {
    type Result = ();

    fn handle(&mut self, _: CommitBatch, _: &mut Self::Context) {
        self.commit();
    }
}

impl Handler<ReadRow> for IndexWriterActor {
    type Result = Result<Option<KnownRow>, IndexError>;

    fn handle(&mut self, ReadRow { host_id, episode_id }: ReadRow, _: &mut Self::Context) -> Self::Result {
        // A readable index may still refuse an append, so a success here does not end a failure.
        self.log.append_batch(&[]).inspect_err(|failure| self.note(Err(failure)))?;
        Ok(self.log.known().get(&host_id, &episode_id))
    }
}

impl Handler<Ping> for IndexWriterActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Drain> for IndexWriterActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.commit();
    }
}
