//! From sealed bytes to a receipt: sync, publish, sync the directory, write the row, in that order.
//!
//! A crash between any two steps leaves either a temp file, which the next start sweeps, or a stored archive
//! without a row, which the next upload of the same bytes or a backfill completes (I1, I2, I4).

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use cis490_shared::clock::WallTime;
use cis490_shared::durable::Temp;
use cis490_shared::ids::Sha256Digest;
use cis490_shared::row::{IndexRow, SCHEMA_VERSION};
use cis490_shared::step::Step;
use cis490_shared::wire::answer::StoreStatus;
use rustix::io::Errno;
use tracing::{info, warn};

use super::writer::Sealed;
use super::{DeclaredUpload, Done, IngestError};
use crate::index::known::KnownRow;
use crate::index::log::Receipt;
use crate::index::publication::Publication;
use crate::store::host_dir::HostDir;
use crate::store::layout::Store;
use crate::store::stored;

/// An archive that has its name.
#[derive(Debug)]
pub struct Published {
    /// Whether it got it now.
    pub status: StoreStatus,
    /// What must be durable before its row is.
    pub publication: Publication,
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

/// The end of an upload whose row is durable.
pub fn log_stored(
    declared: &DeclaredUpload,
    status: StoreStatus,
    healed: Option<&Healed>,
    began: Instant,
) -> Done {
    if let Some(Healed { kept, found }) = healed {
        warn!(
            host_id = %declared.host_id,
            episode_id = %declared.episode_id,
            kept = %kept.display(),
            found_sha256 = found.map(tracing::field::display),
            sha256 = %declared.sha256,
            "a stored archive was damaged; it is kept aside, and the right bytes are in its place"
        );
    }
    info!(
        host_id = %declared.host_id,
        episode_id = %declared.episode_id,
        commit = declared.commit.as_ref().map(tracing::field::display),
        size_bytes = declared.length,
        elapsed_ms = began.elapsed().as_millis(),
        was_there = status == StoreStatus::AlreadyPresent,
        "episode stored"
    );
    if let Some(amnesty) = &declared.amnesty {
        info!(
            host_id = %declared.host_id,
            episode_id = %declared.episode_id,
            commit = %amnesty.commit,
            reason = %amnesty.reason,
            admitted_by = %amnesty.by,
            until = amnesty.until.map(tracing::field::display),
            "accepted under an amnesty"
        );
    }
    Done { status }
}

/// Refuses an upload whose pair has a row that names other bytes.
pub fn has_its_row(declared: &DeclaredUpload, receipt: Receipt) -> Result<(), IngestError> {
    match receipt {
        Receipt::Appended | Receipt::AlreadyKnown => Ok(()),
        Receipt::OtherBytes(stored) => compare(stored, declared.sha256),
    }
}

/// Makes sealed bytes durable and gives them their final name; a name that is taken is compared, never replaced. The sync
/// of the name is still due. `row` tells what the index says of the pair. Blocks.
pub fn publish(
    sealed: Sealed,
    store: &Store,
    row: impl FnOnce() -> Result<Option<KnownRow>, IngestError>,
) -> Result<Published, IngestError> {
    let Sealed { declared, mut temp } = sealed;
    Step::SyncArchive.take(|| temp.sync())?;
    let dir = store.ensure_host_dir(&declared.host_id)?;
    match dir.publish(&mut temp, &declared.episode_id) {
        Ok(()) => {
            let publication = dir.into_publication();
            Ok(Published { status: StoreStatus::Stored, publication, healed: None })
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let healed = take_the_name(&declared, temp, store, &dir, row)?;
            let status = if healed.is_some() { StoreStatus::Stored } else { StoreStatus::AlreadyPresent };
            Ok(Published { status, publication: dir.into_publication(), healed })
        }
        Err(error) => Err(error.into()),
    }
}

/// The name is taken: by the same bytes, by others, which stay, or by a file that is not what its row promises, or can
/// be no archive at all. That one is moved aside, where it is kept, and the right bytes take its place.
///
/// A crash between both leaves a row without an archive, and a host that was told nothing: it sends again (I1, I4).
fn take_the_name(
    declared: &DeclaredUpload,
    mut temp: Temp,
    store: &Store,
    dir: &HostDir,
    row: impl FnOnce() -> Result<Option<KnownRow>, IngestError>,
) -> Result<Option<Healed>, IngestError> {
    let DeclaredUpload { host_id, episode_id, sha256, .. } = declared;
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

/// The row of a stored upload.
pub fn row_of(declared: &DeclaredUpload) -> IndexRow {
    IndexRow {
        backfilled: false,
        commit: declared.commit.clone(),
        episode_id: declared.episode_id.clone(),
        host_id: declared.host_id.clone(),
        received_at_wall: WallTime::now(),
        schema_version: SCHEMA_VERSION,
        sha256: declared.sha256,
        size_bytes: declared.length,
    }
}
