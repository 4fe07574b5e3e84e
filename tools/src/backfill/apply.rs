//! The rows on their way to disk: archives are examined on several threads, and what they say goes to an
//! IndexWriterActor in a System of its own, the same actor and the same messages as in the receiver.
//!
//! Between the threads and the actor stands a bounded channel, so memory does not grow with the backlog. A thread
//! hands on what it has examined by the handful, and many rows wait for the actor at a time, so that they share its
//! syncs. It deliberately decides nothing about the index: what is a second row is the actor's to say (invariants
//! I3, I8).

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

/// How many handfuls of findings wait for a free place before the actor.
const MAX_QUEUED: usize = 2;

/// How many rows the actor may hold, and so put into one batch.
const MAX_WAITING: usize = 1024;

/// An archive that was examined, or could not be.
#[derive(Debug)]
pub struct Finding<'a> {
    /// Which one.
    pub archive: &'a Archive,
    /// What it says about itself.
    pub outcome: io::Result<Examined>,
}

/// What a backfill has done.
#[derive(Debug, Default)]
pub struct Applied {
    /// Rows that were appended and are durable.
    pub appended: u64,
    /// Rows that another program, in practice the receiver, appended meanwhile.
    pub already_known: u64,
    /// Archives that could not be read and have no row.
    pub failed: Vec<Failure>,
}

/// A backfill that ended before its end. Running it again goes on where it stopped.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Interrupted {
    /// What was done until then.
    pub applied: Applied,
    /// Why it went no further.
    #[source]
    pub reason: Reason,
}

/// Why a backfill cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The index cannot be appended to.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The actor is gone, which only a fault of this program can bring about.
    #[error("the index writer stopped in the middle of its work")]
    WriterGone,
    /// The system gives no more threads.
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
/// `watch` is shown every finding as it comes. An archive that cannot be read stops no other. The thread that
/// calls becomes that of the actor's System, so it must not be in one already.
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
        // The workers hold the others: when the last of them is done, the channel ends.
        drop(queue);
        System::new().block_on(async { feed(&writer.start().recipient(), findings, watch).await })
    })
}

/// Starts a thread that examines whatever archive is next, until none is left or nobody asks any more.
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
        // Where nobody asks any more, the others know it too.
        let _ = queue.blocking_send(gatherer.take());
    };
    thread::Builder::new().name("examine".to_owned()).spawn_scoped(scope, work).map(drop)
}

/// Why one archive of many has no row.
enum Fault {
    Archive(Failure),
    Writer(Reason),
}

/// Sends the writer a row for each finding and counts its receipts, also those that come after a fault.
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

/// Asks for one row. The receiver may have published the archive a moment ago: its name is synced first.
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
