//! What a start repairs: whatever state a crash left, the receiver starts from it.
//!
//! Swept are uploads that never ended; rows are made for archives that have none, in practice because the power
//! went between publishing and indexing. A row without an archive is reported and stays (I3, I5). What lacks its row is
//! found before the first request, and gets it while requests are served: after an index was lost, all archives are
//! to be read, for hours perhaps.

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

/// How many archives are read at a time; their rows share syncs. Uploads want the disk as well.
const AT_A_TIME: usize = 2;
/// How often it is said how far the repair is.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// The service manager is asked for this much more time, again and again, as long as the start goes on.
const MORE_TIME: Duration = Duration::from_mins(2);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// A git that the last run had started just before it ended holds its lock until it is git: from its fork to its exec.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Takes a lock that one receiver holds for as long as it runs. Blocks, for two seconds at most.
pub fn lock(path: &Path) -> io::Result<Option<FileLock>> {
    if !Step::LockReceiver.is_taken() {
        return Ok(None);
    }
    FileLock::take(path, LOCK_PATIENCE).map(Some)
}

/// The hash of this machine is broken: nothing that it proves could be believed.
#[derive(Debug, thiserror::Error)]
#[error("sha256 gives a wrong answer to a known question on this machine, which must not judge any data")]
pub struct BrokenHash;

/// Asks the hash that this machine uses a question whose answer is known.
pub fn self_test_sha256() -> Result<(), BrokenHash> {
    prove(|message| Sha256::digest(message).into())
}

/// Asks for the digest of the message "abc" (FIPS 180-4, which prints it whole).
fn prove(sha256: impl Fn(&[u8]) -> [u8; 32]) -> Result<(), BrokenHash> {
    const ANSWER: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let is_right = Sha256Digest::from_bytes(sha256(b"abc")).to_string() == ANSWER;
    if is_right { Ok(()) } else { Err(BrokenHash) }
}

/// Keeps the service manager patient until the work is done: hashing a large archive can take minutes.
pub async fn with_more_time<T>(work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        service::extend_start(MORE_TIME);
        if let Ok(done) = tokio::time::timeout(ASK_EVERY, &mut work).await {
            return done;
        }
    }
}

/// How far the repair is, for whoever asks.
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

    /// Archives that the start found without a row.
    pub fn found(&self) -> usize {
        self.0.found
    }

    /// Of these, how many have theirs now.
    pub fn repaired(&self) -> usize {
        self.0.repaired.load(Ordering::Relaxed)
    }

    /// Of these, how many got none; the log says why.
    pub fn failed(&self) -> usize {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Of these, how many are still to be read.
    pub fn waiting(&self) -> usize {
        self.found().saturating_sub(self.repaired() + self.failed())
    }
}

/// What a start found to be repaired.
#[derive(Debug, Default)]
pub struct Repair {
    without_row: Vec<Archive>,
    progress: Progress,
}

/// A list of the archives that is being made.
pub type Listed = tokio::task::JoinHandle<Result<Listing, ScanError>>;

/// Begins to list the archives, which can go on while the index is read.
///
/// A row that another program adds meanwhile is read after its archive was looked for, so no archive seems to lack one.
pub fn begin_listing(store: &Store) -> Listed {
    let root = store.root().to_owned();
    tokio::task::spawn_blocking(move || list(&root, None, &mut |_| {}))
}

/// Compares store and index both ways, and says what is to be repaired.
///
/// Nothing here keeps the receiver from starting: what cannot be repaired is logged and comes up again at the
/// next start, in a backfill, or when the shipper sends it again.
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
    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Makes the rows that are missing. What was repaired when it is dropped is durable, and the next start goes on.
    pub async fn run(self, index: IndexHandle) {
        let Self { without_row, progress } = self;
        if without_row.is_empty() {
            return;
        }
        // The threads that read know nothing of a future that was dropped.
        let reading = Reading::default();
        info!(archives = without_row.len(), "stored archives have no row, they are read and get theirs");
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
                "stored archives get their rows"
            );
        }
        info!(
            rows = progress.repaired(),
            failed = progress.failed(),
            "stored archives without a row have theirs now"
        );
    }
}

/// The archives without a row and the pairs without an archive. Blocks.
fn differences(listing: &Listing, known: &KnownView) -> (Vec<Archive>, Vec<Pair>) {
    for failure in &listing.failed {
        warn!(error = %failure, "a directory of the store cannot be listed");
    }
    let (without_row, gone) = known.read(|known| compare(listing, known));
    // What could not be listed may hold what seems to be gone.
    (without_row, if listing.failed.is_empty() { gone } else { Vec::new() })
}

fn report(gone: &[Pair]) {
    if let Some((host_id, episode_id)) = gone.first() {
        warn!(
            rows = gone.len(),
            %host_id,
            %episode_id,
            help = "restore the archives from a copy, or have the hosts send them again",
            "rows of the index have no archive, the first one is named here"
        );
    }
}

/// Reading that is given up with whoever began it.
#[derive(Default)]
struct Reading(Stop);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes the row of one archive; true where it is durable.
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
        warn!(reason = %doubt, path = %path.display(), "a stored archive gets a row without its commit");
    }
    // What the index said is logged by its actor.
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
