//! Examines archives on several threads and sends their rows to an IndexWriterActor in a System of its own: the same
//! actor and the same messages as in the receiver.
//!
//! A bounded channel connects the threads to the actor, so memory does not grow with the backlog. A thread sends its
//! findings in batches, and many rows wait for the actor at a time, so that they share its syncs. This module
//! deliberately decides nothing about the index: only the actor recognises a second row (invariants I3, I8).

use std::cell::Cell;
use std::future::ready;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Instant;

use actix::{Actor, Recipient, System};
use cis490_receiver::actors::index_writer::IndexWriterActor;
use cis490_receiver::index::IndexError;
use cis490_receiver::index::log::Receipt;
use cis490_receiver::index::publication::Publication;
use cis490_receiver::index::requests::Append;
use cis490_receiver::store::examine::{Examined, Examiner};
use cis490_receiver::store::scan::{Archive, Failure};
use cis490_shared::durable;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::gather::Gatherer;

/// How many batches of findings may wait for the actor.
const MAX_QUEUED: usize = 2;

/// The most rows that wait at the actor, and so the most in one of its batches.
const MAX_WAITING: usize = 1024;

/// The result of examining an archive.
#[derive(Debug)]
pub struct Finding<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// The row that it gives, or the error.
    pub outcome: io::Result<Examined>,
}

/// The result of a backfill.
#[derive(Debug, Default)]
pub struct Applied {
    /// Rows that were appended and are durable.
    pub appended: u64,
    /// Rows that another program, in practice the receiver, appended meanwhile.
    pub already_known: u64,
    /// Archives that could not be read and have no row.
    pub failed: Vec<Failure>,
}

/// A backfill that ended early. Another run continues where it stopped.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Interrupted {
    /// The result until then.
    pub applied: Applied,
    /// The reason for the end.
    #[source]
    pub reason: Reason,
}

/// Why a backfill cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The index cannot be appended to.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The actor is gone, which only a bug in this program can cause.
    #[error("the index writer stopped in the middle of its work")]
    WriterGone,
    /// The system refuses another thread.
    #[error("no thread to read archives can be started: {0}")]
    Thread(#[source] io::Error),
}

impl From<Reason> for Interrupted {
    fn from(reason: Reason) -> Self {
        Self { applied: Applied::default(), reason }
    }
}

/// Appends a row for each archive to the index, reading `jobs` archives at a time. Blocks.
///
/// Calls `watch` with each finding. An unreadable archive does not stop the others. The calling thread runs the actor's
/// System, so it must not be in another one.
pub fn apply<'a>(
    archives: &'a [Archive],
    index: &Path,
    jobs: NonZeroUsize,
    watch: &mut dyn FnMut(&Finding<'a>),
) -> Result<Applied, Interrupted> {
    let writer = IndexWriterActor::open(index).map_err(Reason::Index)?;
    let next = AtomicUsize::new(0);
    let (queue, findings) = mpsc::channel(MAX_QUEUED);
    thread::scope(|scope| {
        for _ in 0..jobs.get().min(archives.len()) {
            start_worker(scope, archives, &next, queue.clone()).map_err(Reason::Thread)?;
        }
        // The workers hold the other senders, so the channel ends with the last worker.
        drop(queue);
        System::new().block_on(async { feed(&writer.start().recipient(), findings, watch).await })
    })
}

/// Starts a thread that examines the next archive, until none is left or the channel is closed.
fn start_worker<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    archives: &'a [Archive],
    next: &'scope AtomicUsize,
    queue: mpsc::Sender<Vec<Finding<'a>>>,
) -> io::Result<()> {
    let mut examiner = Examiner::new()?;
    let work = move || {
        let mut gatherer = Gatherer::default();
        while let Some(archive) = archives.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = examiner.examine(archive);
            let handful = gatherer.add(Finding { archive, outcome }, Instant::now());
            if handful.is_some_and(|handful| queue.blocking_send(handful).is_err()) {
                return;
            }
        }
        // If the channel is closed, nobody needs these findings.
        let _ = queue.blocking_send(gatherer.take());
    };
    thread::Builder::new().name("examine".to_owned()).spawn_scoped(scope, work).map(drop)
}

/// Why an archive has no row.
enum Fault {
    Archive(Failure),
    Writer(Reason),
}

/// Sends the writer a row for each finding and counts its receipts, including those that arrive after a fault.
async fn feed<'a>(
    writer: &Recipient<Append>,
    mut findings: mpsc::Receiver<Vec<Finding<'a>>>,
    watch: &mut dyn FnMut(&Finding<'a>),
) -> Result<Applied, Interrupted> {
    let (mut applied, mut first_fault) = (Applied::default(), None);
    let go_on = Cell::new(true);
    let receipts = stream::poll_fn(|cx| findings.poll_recv(cx))
        .flat_map(stream::iter)
        .take_while(|_| ready(go_on.get()))
        .inspect(watch)
        .map(|finding| append(writer, finding))
        .buffer_unordered(MAX_WAITING);
    let mut receipts = pin!(receipts);
    while let Some(receipt) = receipts.next().await {
        match receipt {
            Ok(Receipt::Appended) => applied.appended += 1,
            Ok(Receipt::AlreadyKnown | Receipt::OtherBytes(_)) => applied.already_known += 1,
            Err(Fault::Archive(failure)) => applied.failed.push(failure),
            Err(Fault::Writer(reason)) => {
                go_on.set(false);
                first_fault.get_or_insert(reason);
            }
        }
    }
    applied.failed.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    match first_fault {
        None => Ok(applied),
        Some(reason) => Err(Interrupted { applied, reason }),
    }
}

/// Appends one row. The receiver may have published the archive a moment ago, so its directory is synced first.
async fn append(writer: &Recipient<Append>, finding: Finding<'_>) -> Result<Receipt, Fault> {
    let Finding { archive, outcome } = finding;
    let examined =
        outcome.map_err(|source| Fault::Archive(Failure { path: archive.path.clone(), source }))?;
    let publication = Some(Publication::at(durable::parent(&archive.path)));
    match writer.send(Append { row: examined.row, publication }).await {
        Ok(receipt) => receipt.map_err(|error| Fault::Writer(Reason::Index(error))),
        Err(_) => Err(Fault::Writer(Reason::WriterGone)),
    }
}

#[cfg(test)]
mod tests;
