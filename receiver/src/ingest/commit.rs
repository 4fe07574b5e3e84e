//! From sealed bytes to a receipt: sync, publish, sync the directory, write the row, in that order.
//!
//! A crash between two steps leaves a temp file or a stored archive without a row. The next start sweeps the temp file.
//! The next start, a backfill or the next upload of the same bytes makes the row (I1, I2, I4).

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

/// An archive that has its final name.
#[derive(Debug)]
pub struct Published {
    /// Stored now, or already present.
    pub status: StoreStatus,
    /// The name that must be durable before the row is.
    pub publication: Publication,
    /// The damaged file that the archive replaced, if there was one.
    pub healed: Option<Healed>,
}

/// A damaged archive that the right one has replaced.
#[derive(Debug)]
pub struct Healed {
    /// The path where the damaged file is kept.
    kept: PathBuf,
    /// Its hash; `None` if it could not be read.
    found: Option<Sha256Digest>,
}

/// Logs the end of an upload whose row is durable.
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
            "damaged archive healed, the old file is kept"
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

/// Checks the receipt of a row: refuses the upload if the pair has a row that names other bytes.
pub fn has_its_row(declared: &DeclaredUpload, receipt: Receipt) -> Result<(), IngestError> {
    match receipt {
        Receipt::Appended | Receipt::AlreadyKnown => Ok(()),
        Receipt::OtherBytes(stored) => compare(stored, declared.sha256),
    }
}

/// Makes sealed bytes durable and gives them their final name; a file that has the name is compared, never overwritten.
/// The sync of the name is still due. `row` returns the row of the pair in the index. Blocks.
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

/// Handles a name that is already taken. Returns `None` if the file has the same bytes.
///
/// Heals the file if the upload has the hash that the row names. If no row names a hash, it heals a file that cannot be
/// an archive at all. To heal means to move the file aside, where it is kept, and to publish the right bytes. Any other
/// file stays, and the upload is refused.
///
/// A crash between move and publish leaves a row without an archive. The host got no answer, so it sends again (I1,
/// I4).
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

/// Returns true if a read failed because the disk lost the data: a bad block, or a wrong checksum in the file system.
fn is_damage(error: &io::Error) -> bool {
    let errnos = [Errno::IO, Errno::BADMSG, Errno::UCLEAN];
    errnos.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Refuses bytes whose hash differs from the stored one.
pub fn compare(stored: Sha256Digest, yours: Sha256Digest) -> Result<(), IngestError> {
    if stored == yours || !Step::CompareHashes.is_taken() {
        return Ok(());
    }
    Err(IngestError::Conflict { stored, yours })
}

/// Returns the row of a stored upload.
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
