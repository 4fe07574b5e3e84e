//! From sealed bytes to a receipt: sync, publish, sync the directory, write the row, in that order.
//!
//! Runs in the blocking pool, started by an IngestActor, and needs no client to wait for it: one that hangs up cannot
//! cut a commit in half.
//! A crash between any two steps leaves either a temp file, which the next start sweeps, or a stored archive
//! without a row, which the next upload of the same bytes or a backfill completes (I1, I2, I4).

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use actix::Recipient;
use cis490_shared::clock::WallTime;
use cis490_shared::durable::Temp;
use cis490_shared::ids::Sha256Digest;
use cis490_shared::row::{IndexRow, SCHEMA_VERSION};
use cis490_shared::step::Step;
use cis490_shared::wire::answer::StoreStatus;
use rustix::io::Errno;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::writer::Sealed;
use super::{Claim, Done, IngestError};
use crate::actors::index_writer::{Append, Deposit};
use crate::index::IndexError;
use crate::index::known::KnownRow;
use crate::index::log::Receipt;
use crate::store::host_dir::HostDir;
use crate::store::layout::Store;
use crate::store::stored;

/// Where IndexWriterActor says that a row is durable, or why it is not.
pub type ReceiptSender = oneshot::Sender<Result<Receipt, IndexError>>;

/// An archive that has its name.
#[derive(Debug)]
pub struct Published {
    /// Whether it got it now.
    pub status: StoreStatus,
    /// The directory that has it, whose sync is due.
    pub dir: HostDir,
    /// What was in its place, where that was damaged.
    pub healed: Option<Healed>,
}

/// A damaged archive in whose place the right one is.
#[derive(Debug)]
pub struct Healed {
    /// Where it is kept.
    kept: PathBuf,
    /// Its hash; none where it could not be read.
    found: Option<Sha256Digest>,
}

/// Hands the row of a published archive to IndexWriterActor, which will write it whether or not anybody still waits for
/// the receipt.
pub fn deposit(claim: &Claim, dir: HostDir, index: &Recipient<Deposit>, receipt: ReceiptSender) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the row must be written even if nobody waits for it any more, and there are as many as admitted"
    )]
    index.do_send(Deposit { row: row_of(claim), dir, receipt });
}

/// The end of an upload whose row is durable.
pub fn stored(claim: &Claim, status: StoreStatus, healed: Option<&Healed>, began: Instant) -> Done {
    if let Some(Healed { kept, found }) = healed {
        warn!(
            host_id = %claim.host_id,
            episode_id = %claim.episode_id,
            kept = %kept.display(),
            found_sha256 = found.map(tracing::field::display),
            sha256 = %claim.sha256,
            "a stored archive was damaged; it is kept aside, and the right bytes are in its place"
        );
    }
    info!(
        host_id = %claim.host_id,
        episode_id = %claim.episode_id,
        commit = claim.commit.as_ref().map(tracing::field::display),
        size_bytes = claim.length,
        elapsed_ms = began.elapsed().as_millis(),
        was_there = status == StoreStatus::AlreadyPresent,
        "episode stored"
    );
    if let Some(amnesty) = &claim.amnesty {
        info!(
            host_id = %claim.host_id,
            episode_id = %claim.episode_id,
            commit = %amnesty.commit,
            reason = %amnesty.reason,
            admitted_by = %amnesty.by,
            until = amnesty.until.map(tracing::field::display),
            "accepted under an amnesty"
        );
    }
    Done { status }
}

/// Makes sure that the pair of an archive that is stored has its row in the index as it is now, not as it was
/// when it was last looked at: whoever asks will retire the episode (I4, accident 1).
pub async fn confirm_row(claim: &Claim, index: &Recipient<Append>) -> Result<(), IngestError> {
    if !Step::ConfirmRow.is_taken() {
        return Ok(());
    }
    let append = Append { row: row_of(claim), publish_dir: None };
    let receipt = index.send(append).await.map_err(|_| IngestError::Gone)??;
    has_its_row(claim, receipt)
}

/// Refuses an upload whose pair has a row that names other bytes.
pub fn has_its_row(claim: &Claim, receipt: Receipt) -> Result<(), IngestError> {
    match receipt {
        Receipt::Appended | Receipt::AlreadyKnown => Ok(()),
        Receipt::OtherBytes(stored) => compare(stored, claim.sha256),
    }
}

/// Makes sealed bytes durable and gives them their final name; a name that is taken is compared, never replaced. Gives
/// back the directory that has the name, whose sync is still due. `row` tells what the index says of the pair. Blocks.
pub fn publish(
    sealed: Sealed,
    store: &Store,
    row: impl FnOnce() -> Result<Option<KnownRow>, IngestError>,
) -> Result<Published, IngestError> {
    let Sealed { claim, mut temp } = sealed;
    Step::SyncArchive.take(|| temp.sync())?;
    let dir = store.ensure_host_dir(&claim.host_id)?;
    match dir.publish(&mut temp, &claim.episode_id) {
        Ok(()) => Ok(Published { status: StoreStatus::Stored, dir, healed: None }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let healed = take_the_name(&claim, temp, store, &dir, row)?;
            let status = if healed.is_some() { StoreStatus::Stored } else { StoreStatus::AlreadyPresent };
            Ok(Published { status, dir, healed })
        }
        Err(error) => Err(error.into()),
    }
}

/// The name is taken: by the same bytes, by others, which stay, or by a file that is not what its row promises, or can
/// be no archive at all. That one is moved aside, where it is kept, and the right bytes take its place.
///
/// A crash between both leaves a row without an archive, and a host that was told nothing: it sends again (I1, I4).
fn take_the_name(
    claim: &Claim,
    mut temp: Temp,
    store: &Store,
    dir: &HostDir,
    row: impl FnOnce() -> Result<Option<KnownRow>, IngestError>,
) -> Result<Option<Healed>, IngestError> {
    let Claim { host_id, episode_id, sha256, .. } = claim;
    let found = match stored::hash_in(dir, episode_id) {
        Ok(Some(found)) if found.sha256 == *sha256 => return Ok(None),
        Ok(Some(found)) => Ok(found.sha256),
        Err(error) if is_damage(&error) => Err(error),
        Ok(None) => return Err(io::Error::from(io::ErrorKind::AlreadyExists).into()),
        Err(error) => return Err(error.into()),
    };
    let promised = row()?.and_then(|row| row.sha256);
    let is_right = match promised {
        Some(promised) => promised == *sha256,
        None => dir.archive(episode_id)?.map_or(Ok(false), |file| stored::is_void(&file))?,
    };
    if !is_right && Step::HealByRow.is_taken() {
        compare(promised.map_or(found, Ok)?, *sha256)?;
        return Ok(None);
    }
    let kept = dir.set_aside(episode_id, &store.ensure_damaged_dir(host_id)?)?;
    dir.publish(&mut temp, episode_id)?;
    Ok(Some(Healed { kept, found: found.ok() }))
}

/// Whether a file cannot be read for what the disk has lost: a bad block, or a checksum of the file system.
fn is_damage(error: &io::Error) -> bool {
    let errnos = [Errno::IO, Errno::BADMSG, Errno::UCLEAN];
    errnos.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Refuses bytes whose hash differs from what is stored under their id.
pub fn compare(stored: Sha256Digest, yours: Sha256Digest) -> Result<(), IngestError> {
    if stored == yours || !Step::CompareHashes.is_taken() {
        return Ok(());
    }
    Err(IngestError::Conflict { stored, yours })
}

fn row_of(claim: &Claim) -> IndexRow {
    IndexRow {
        backfilled: false,
        commit: claim.commit.clone(),
        episode_id: claim.episode_id.clone(),
        host_id: claim.host_id.clone(),
        received_at_wall: WallTime::now(),
        schema_version: SCHEMA_VERSION,
        sha256: claim.sha256,
        size_bytes: claim.length,
    }
}
