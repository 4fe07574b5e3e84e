//! The index file: opens it, catches up with other writers, appends in batches.
//!
//! Every batch runs under index.lock and begins with a look at the file as it is now. It first reads the rows that a
//! tool added, and the whole file again if a tool replaced, rewrote or truncated it. So no append rests on stale
//! knowledge. Every function here blocks.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cis490_shared::durable::{self, FileLock};
use cis490_shared::ids::Sha256Digest;
use cis490_shared::row::{IndexRow, RowKey};
use cis490_shared::step::Step;
use tracing::{info, warn};

use super::known::{KnownRows, KnownView, Tail};
use super::{IndexError, IndexStep};

/// The name of the lock beside the index.
const LOCK_NAME: &str = "index.lock";
/// The mode of an index that this program creates.
const INDEX_MODE: u32 = 0o640;
/// The longest wait of a batch for another program's batch; then it fails.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How many of the last bytes read identify the file as the one that was read: some rows.
const FINGERPRINT_BYTES: usize = 4096;

/// The result for one row of a batch that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// The row was written now and is durable.
    Appended,
    /// The pair already had a durable row; nothing was written.
    AlreadyKnown,
    /// The pair has a row that names other bytes, with this hash; nothing was written.
    OtherBytes(Sha256Digest),
}

/// The open index. A process has one, inside IndexWriterActor.
#[derive(Debug)]
pub struct IndexLog {
    path: PathBuf,
    lock_path: PathBuf,
    /// The longest wait of a batch for another program's batch; then it fails.
    patience: Duration,
    /// `None` after a failure, because a descriptor whose sync failed is never synced again.
    file: Option<File>,
    /// How far which file has been read. It outlives the descriptor, so that a failure does not cause a million rows to
    /// be read again.
    place: Option<Place>,
    known: KnownView,
}

/// How far a file has been read: every row before `end` is in `known`.
#[derive(Debug)]
struct Place {
    device: u64,
    inode: u64,
    /// In bytes.
    end: u64,
    /// The last bytes before `end`. Other bytes there mean that a program overwrote rows that were read.
    fingerprint: Vec<u8>,
    /// The last known modification time of the file, in seconds and nanoseconds.
    changed: (i64, i64),
    /// True if the last line lacks its newline, because a write was cut short.
    torn: bool,
    /// True if there may be rows that no program has synced yet.
    unsynced: bool,
}

impl IndexLog {
    /// Opens the index, creates it if it is missing, reads its rows and ends a torn last line.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let lock_path = path.with_file_name(LOCK_NAME);
        let mut log = Self {
            path: path.to_owned(),
            lock_path,
            patience: LOCK_PATIENCE,
            file: None,
            place: None,
            known: KnownView::default(),
        };
        durable::create_file(path, INDEX_MODE).map_err(IndexError::at(IndexStep::Open, path))?;
        log.append_batch(&[])?;
        Ok(log)
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the view of the pairs that have a row; every batch keeps it current.
    pub fn known(&self) -> KnownView {
        self.known.clone()
    }

    /// Appends the rows whose pair has none, durably, and returns a receipt for each row.
    ///
    /// After an error no row of the batch counts, and the bytes written for it are cut off again. A batch without rows
    /// only reads new rows of the file, ends a torn last line and syncs rows that nobody has synced yet.
    pub fn append_batch(&mut self, rows: &[IndexRow]) -> Result<Vec<Receipt>, IndexError> {
        let _lock = self.lock()?;
        let file = self.open_current()?;
        let mut place = self.read_up(&file).map_err(IndexError::at(IndexStep::Read, &self.path))?;
        let composed = self.compose(rows, place.torn);
        let outcome = composed.and_then(|(text, receipts)| {
            self.write(&file, &mut place, &text)?;
            Ok(receipts)
        });
        self.place = Some(place);
        if outcome.is_ok() || !Step::ForgetFailedIndex.is_taken() {
            self.file = Some(file);
        }
        let receipts = outcome?;
        self.known.write(|known| {
            for (row, _) in rows.iter().zip(&receipts).filter(|(_, r)| **r == Receipt::Appended) {
                known.insert(key_of(row));
            }
        });
        Ok(receipts)
    }

    fn lock(&self) -> Result<FileLock, IndexError> {
        let taken = FileLock::take(&self.lock_path, self.patience);
        taken.map_err(IndexError::at(IndexStep::Lock, &self.lock_path))
    }

    /// Returns the open file if it is still the one at the path; otherwise opens the one at the path.
    fn open_current(&mut self) -> Result<File, IndexError> {
        let at_path = std::fs::metadata(&self.path).map_err(IndexError::at(IndexStep::Open, &self.path))?;
        let is_ours = self.place.as_ref().is_some_and(|place| place.is_of(&at_path));
        if let Some(file) = self.file.take().filter(|_| is_ours) {
            // A person who removed our permission means it, even though the open descriptor would still work.
            Step::NoticePermission
                .take(|| rustix::fs::access(&self.path, rustix::fs::Access::WRITE_OK))
                .map_err(|errno| IndexError::at(IndexStep::Open, &self.path)(errno.into()))?;
            return Ok(file);
        }
        durable::open_append(&self.path).map_err(IndexError::at(IndexStep::Open, &self.path))
    }

    /// Reads the rows that other programs appended since the last batch. A replaced or overwritten file is read from
    /// its start.
    fn read_up(&mut self, file: &File) -> std::io::Result<Place> {
        let found = file.metadata()?;
        let mut place = match self.place.take() {
            Some(place) if place.still_holds(file, &found)? => place,
            Some(_) => {
                info!(path = %self.path.display(), "the index was replaced or written over, it is read again");
                return self.read_anew(file, &found);
            }
            None => return self.read_anew(file, &found),
        };
        if found.len() > place.end {
            let tail = self.known.learn(rows_of(file, place.end, found.len())?)?;
            self.take_note(&mut place, &tail, file, &found)?;
        }
        Ok(place)
    }

    /// Reads the whole file into new rows. The old ones stay in force until that is done.
    fn read_anew(&mut self, file: &File, found: &Metadata) -> std::io::Result<Place> {
        let mut rows = KnownRows::default();
        let tail = rows.learn(rows_of(file, 0, found.len())?)?;
        let mut place = Place::at_start(found);
        self.take_note(&mut place, &tail, file, found)?;
        self.known.replace(rows);
        Ok(place)
    }

    fn take_note(
        &self,
        place: &mut Place,
        tail: &Tail,
        file: &File,
        found: &Metadata,
    ) -> std::io::Result<()> {
        if tail.overlong > 0 {
            warn!(
                path = %self.path.display(),
                lines = tail.overlong,
                offset = place.end + tail.first_overlong,
                help = "no row is lost, a crash may have left a hole; look at the first line: `tail -c +OFFSET INDEX \
                        | head -c 200 | xxd`",
                "the index has overlong lines, skipping them"
            );
        }
        place.end += tail.bytes;
        place.torn = tail.torn;
        place.unsynced |= tail.bytes > 0;
        place.changed = changed(found);
        place.fingerprint = fingerprint(file, place.end)?;
        Ok(())
    }

    /// Returns the bytes to append and the receipt for each row.
    fn compose(&self, rows: &[IndexRow], torn: bool) -> Result<(Vec<u8>, Vec<Receipt>), IndexError> {
        let mut text = if torn { vec![b'\n'] } else { Vec::new() };
        let mut pairs = std::collections::HashSet::new();
        let mut receipts = Vec::with_capacity(rows.len());
        for row in rows {
            let pair = (&row.host_id, &row.episode_id);
            if let Some(known) = self.known.get(pair.0, pair.1) {
                let other = known.sha256.filter(|sha256| *sha256 != row.sha256);
                receipts.push(other.map_or(Receipt::AlreadyKnown, Receipt::OtherBytes));
                continue;
            }
            if !pairs.insert(pair) {
                receipts.push(Receipt::AlreadyKnown);
                continue;
            }
            let line = row.to_line().map_err(|error| {
                IndexError::at(IndexStep::Write, &self.path)(std::io::Error::other(error))
            })?;
            text.extend_from_slice(&line);
            receipts.push(Receipt::Appended);
        }
        Ok((text, receipts))
    }

    /// Appends with one write call and syncs; on failure cuts the file back to where the batch began.
    fn write(&self, file: &File, place: &mut Place, text: &[u8]) -> Result<(), IndexError> {
        if text.is_empty() && !(place.unsynced && Step::SyncFoundRows.is_taken()) {
            return Ok(());
        }
        let outcome = append_durably(file, text);
        if outcome.is_err() {
            // The lock is held, so the bytes behind `end` are ours, and nobody was told of them. If the cut fails too,
            // the next batch reads those rows from the file and syncs them before it answers.
            let _ = Step::CutFailedBatch.take(|| file.set_len(place.end));
            place.unsynced = true;
        }
        // If the metadata cannot be read, the file counts as changed.
        place.changed = file.metadata().map_or_else(|_| (0, 0), |now| changed(&now));
        outcome.map_err(|(step, error)| IndexError::at(step, &self.path)(error))?;
        place.advance(text);
        Ok(())
    }
}

impl Place {
    fn at_start(found: &Metadata) -> Self {
        let (device, inode) = (found.dev(), found.ino());
        let (fingerprint, changed) = (Vec::new(), changed(found));
        Self { device, inode, end: 0, fingerprint, changed, torn: false, unsynced: false }
    }

    fn is_of(&self, found: &Metadata) -> bool {
        (self.device, self.inode) == (found.dev(), found.ino())
    }

    /// Returns true if the rows that were read are still there. A program that overwrites the file instead of replacing
    /// it keeps the inode, and perhaps the length. Then the fingerprint differs, or the modification time does although
    /// nothing was appended.
    fn still_holds(&self, file: &File, found: &Metadata) -> std::io::Result<bool> {
        if !self.is_of(found) {
            return Ok(false);
        }
        let is_untouched = found.len() > self.end || changed(found) == self.changed;
        Ok(found.len() >= self.end && is_untouched && fingerprint(file, self.end)? == self.fingerprint)
    }

    /// Records bytes that were appended and are durable.
    fn advance(&mut self, text: &[u8]) {
        self.end += text.len() as u64;
        self.fingerprint.extend_from_slice(text);
        let excess = self.fingerprint.len().saturating_sub(FINGERPRINT_BYTES);
        self.fingerprint.drain(..excess);
        self.torn = false;
        self.unsynced = false;
    }
}

/// Returns a reader of the file from one offset to another.
fn rows_of(mut file: &File, from: u64, to: u64) -> std::io::Result<impl Read> {
    file.seek(SeekFrom::Start(from))?;
    Ok(file.take(to.saturating_sub(from)))
}

/// Returns the last bytes before `end`; empty if the file is shorter than `end`.
fn fingerprint(file: &File, end: u64) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(end).map_or(FINGERPRINT_BYTES, |end| end.min(FINGERPRINT_BYTES));
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, end - length as u64) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(()) => Ok(bytes),
    }
}

fn changed(found: &Metadata) -> (i64, i64) {
    (found.mtime(), found.mtime_nsec())
}

/// Makes one write call and one sync; the error says which of them failed.
fn append_durably(mut file: &File, text: &[u8]) -> Result<(), (IndexStep, std::io::Error)> {
    if !text.is_empty() {
        let written = file.write(text).map_err(|error| (IndexStep::Write, error))?;
        if written < text.len() {
            return Err((IndexStep::Write, std::io::ErrorKind::StorageFull.into()));
        }
    }
    Step::SyncIndex.take(|| durable::sync_data(file)).map_err(|error| (IndexStep::Sync, error))
}

fn key_of(row: &IndexRow) -> RowKey {
    RowKey {
        host_id: row.host_id.clone(),
        episode_id: row.episode_id.clone(),
        sha256: Some(row.sha256),
        size_bytes: Some(row.size_bytes),
    }
}

#[cfg(test)]
mod tests;
