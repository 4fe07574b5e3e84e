//! Repairs at the start, so that the receiver starts from every state that a crash can leave.
//!
//! The start removes uploads that never ended, and makes rows for archives that have none. An archive without a row
//! usually results from a power failure between publishing and indexing. A row without an archive is reported and stays
//! (I3, I5). Missing rows are found before the first request. They are made while requests are served, because after
//! the loss of an index all archives must be read, which may take hours.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cis490_shared::durable::{self, FileLock};
use cis490_shared::ids::Sha256Digest;
use cis490_shared::service;
use cis490_shared::step::Step;
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use crate::index::known::KnownView;
use crate::index::log::Receipt;
use crate::index::publication::Publication;
use crate::index::requests::{Append, IndexHandle};
use crate::store::examine::{Examined, Examiner, Stop};
use crate::store::layout::Store;
use crate::store::reconcile::{Pair, compare};
use crate::store::scan::{Archive, Listing, ScanError, list};

/// The number of archives that are read at a time; their rows share syncs. It is small because uploads need the disk
/// too.
const AT_A_TIME: usize = 2;
/// The interval between log messages about the progress.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// The extra time that each request to the service manager asks for, as long as the start goes on.
const MORE_TIME: Duration = Duration::from_mins(2);
/// The interval between these requests.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// The longest wait for the lock. A git that the last run had just forked holds the lock until its exec.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Takes the lock that a receiver holds for as long as it runs. Blocks, for two seconds at most.
pub fn lock(path: &Path) -> io::Result<Option<FileLock>> {
    if !Step::LockReceiver.is_taken() {
        return Ok(None);
    }
    FileLock::take(path, LOCK_PATIENCE).map(Some)
}

/// SHA-256 gives wrong results on this machine, so it can prove nothing.
#[derive(Debug, thiserror::Error)]
#[error("the self-test of sha256 failed, so this machine cannot verify any data")]
pub struct BrokenHash;

/// Checks the hash function of this machine against a known answer.
pub fn self_test_sha256() -> Result<(), BrokenHash> {
    prove(|message| Sha256::digest(message).into())
}

/// Checks the digest of the message "abc" (FIPS 180-4, which prints it whole).
fn prove(sha256: impl Fn(&[u8]) -> [u8; 32]) -> Result<(), BrokenHash> {
    const ANSWER: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let is_right = Sha256Digest::from_bytes(sha256(b"abc")).to_string() == ANSWER;
    if is_right { Ok(()) } else { Err(BrokenHash) }
}

/// Asks the service manager for more time until the work is done: hashing a large archive can take minutes.
pub async fn with_more_time<T>(work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        service::extend_start(MORE_TIME);
        if let Ok(done) = tokio::time::timeout(ASK_EVERY, &mut work).await {
            return done;
        }
    }
}

/// The progress of the repair, for reports. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    found: usize,
    repaired: AtomicUsize,
    failed: AtomicUsize,
}

impl Progress {
    fn of(found: usize) -> Self {
        Self(Arc::new(Counts { found, ..Counts::default() }))
    }

    fn count(&self, is_repaired: bool) {
        let Counts { repaired, failed, .. } = &*self.0;
        (if is_repaired { repaired } else { failed }).fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of archives that the start found without a row.
    pub fn found(&self) -> usize {
        self.0.found
    }

    /// Returns the number of these that have their row now.
    pub fn repaired(&self) -> usize {
        self.0.repaired.load(Ordering::Relaxed)
    }

    /// Returns the number of these that got no row; the log says why.
    pub fn failed(&self) -> usize {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Returns the number of these that are still to be read.
    pub fn waiting(&self) -> usize {
        self.found().saturating_sub(self.repaired() + self.failed())
    }
}

/// The repairs that a start found to be necessary.
#[derive(Debug, Default)]
pub struct Repair {
    without_row: Vec<Archive>,
    progress: Progress,
}

/// A listing of the archives that is under way.
pub type Listed = tokio::task::JoinHandle<Result<Listing, ScanError>>;

/// Starts to list the archives; the listing runs while the index is read.
///
/// Rows that another program adds meanwhile are read after their archives were listed, so no archive wrongly seems to
/// lack its row.
pub fn begin_listing(store: &Store) -> Listed {
    let root = store.root().to_owned();
    tokio::task::spawn_blocking(move || list(&root, None, &mut |_| {}))
}

/// Compares store and index both ways, and returns the necessary repairs.
///
/// No failure here stops the start. It is logged, and comes up again at the next start, in a backfill, or when the
/// shipper sends the episode again.
pub async fn reconcile(listed: Listed, known: &KnownView) -> Repair {
    let listing = match listed.await {
        Ok(Ok(listing)) => listing,
        Ok(Err(failure)) => {
            error!(error = %failure, "the store cannot be compared with its index");
            return Repair::default();
        }
        // It panicked, which has been printed already.
        Err(_) => return Repair::default(),
    };
    let view = known.clone();
    let Ok((without_row, gone)) = tokio::task::spawn_blocking(move || differences(&listing, &view)).await
    else {
        return Repair::default();
    };
    report(&gone);
    let without_row = if Step::ReconcileArchives.is_taken() { without_row } else { Vec::new() };
    Repair { progress: Progress::of(without_row.len()), without_row }
}

impl Repair {
    /// Returns the progress, which stays current during the repair.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Makes the missing rows. If it is dropped early, the rows made so far are durable, and the next start makes the
    /// rest.
    pub async fn run(self, index: IndexHandle) {
        let Self { without_row, progress } = self;
        if without_row.is_empty() {
            return;
        }
        // Dropping this future does not stop the threads that read. This guard does.
        let reading = Reading::default();
        info!(archives = without_row.len(), "indexing stored archives that have no row");
        let work = stream::iter(without_row)
            .map(|archive| repair(archive, &index, Stop::clone(&reading.0)))
            .buffer_unordered(AT_A_TIME)
            .for_each(|is_repaired| {
                progress.count(is_repaired);
                std::future::ready(())
            });
        tokio::pin!(work);
        while tokio::time::timeout(SAY_EVERY, &mut work).await.is_err() {
            info!(
                archives = progress.found(),
                waiting = progress.waiting(),
                "still indexing stored archives"
            );
        }
        info!(rows = progress.repaired(), failed = progress.failed(), "finished indexing stored archives");
    }
}

/// Returns the archives without a row and the pairs without an archive. Blocks.
fn differences(listing: &Listing, known: &KnownView) -> (Vec<Archive>, Vec<Pair>) {
    for failure in &listing.failed {
        warn!(error = %failure, "a directory of the store cannot be listed");
    }
    let (without_row, gone) = known.read(|known| compare(listing, known));
    // A directory that could not be listed may hold the archives that seem to be missing.
    (without_row, if listing.failed.is_empty() { gone } else { Vec::new() })
}

fn report(gone: &[Pair]) {
    if let Some((host_id, episode_id)) = gone.first() {
        warn!(
            rows = gone.len(),
            %host_id,
            %episode_id,
            help = "restore the archives from a copy, or have the hosts send them again",
            "index rows have no archive, first one shown"
        );
    }
}

/// Stops the threads that read when it is dropped.
#[derive(Default)]
struct Reading(Stop);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes the row of one archive; returns true if the row is durable.
async fn repair(archive: Archive, index: &IndexHandle, stop: Stop) -> bool {
    let publication = Some(Publication::at(durable::parent(&archive.path)));
    let path = archive.path.clone();
    let examined = tokio::task::spawn_blocking(move || Examiner::until(stop)?.examine(&archive)).await;
    let Examined { row, doubt } = match examined.map_err(io::Error::other).and_then(|examined| examined) {
        Ok(examined) => examined,
        Err(error) => {
            warn!(%error, path = %path.display(), "a stored archive without a row cannot be read");
            return false;
        }
    };
    if let Some(doubt) = doubt {
        warn!(reason = %doubt, path = %path.display(), "indexing a stored archive without its commit");
    }
    // The actor logs errors of the index.
    matches!(index.append(Append { row, publication }).await, Ok(Receipt::Appended | Receipt::AlreadyKnown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_hashes_wrong_is_found_out() {
        self_test_sha256().unwrap();
        let with_a_flipped_bit = |message: &[u8]| {
            let mut digest: [u8; 32] = Sha256::digest(message).into();
            digest[31] ^= 1;
            digest
        };
        prove(with_a_flipped_bit).unwrap_err();
    }
}
