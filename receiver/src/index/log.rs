//! The index file: opened, caught up with, appended to in batches.
//!
//! Every batch runs under index.lock and begins by looking at the file as it is now: replaced, truncated or
//! grown by a tool, it is read again, so that nothing is ever appended on a stale belief. All of it blocks.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cis490_shared::durable::{self, FileLock};
use cis490_shared::row::{IndexRow, RowKey};
use cis490_shared::step::Step;

use super::known::KnownView;
use super::{IndexError, IndexStep};

/// The name of the lock beside the index.
const LOCK_NAME: &str = "index.lock";
/// The mode of an index that this program creates.
const INDEX_MODE: u32 = 0o640;
/// How long a batch waits for another program's batch before it fails.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// What became of one row of a batch that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// The row was written now and is durable.
    Appended,
    /// The pair had a row before, which is durable; nothing was written.
    AlreadyKnown,
}

/// The open index. There is one in a process, inside IndexWriterActor.
#[derive(Debug)]
pub struct IndexLog {
    path: PathBuf,
    lock_path: PathBuf,
    /// How long a batch waits for another program's batch before it fails.
    patience: Duration,
    /// None after a failure: a descriptor whose sync failed is never synced again.
    attached: Option<Attached>,
    known: KnownView,
}

/// An open file and how far it has been read.
#[derive(Debug)]
struct Attached {
    file: File,
    device: u64,
    inode: u64,
    /// Everything before this offset is in `known`.
    end: u64,
    /// The last line lacks its newline: somebody's write was cut short.
    torn: bool,
    /// There may be rows that no program has synced yet.
    unsynced: bool,
}

impl IndexLog {
    /// Opens the index, creating it where it is missing, reads its rows and ends a torn last line.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let lock_path = path.with_file_name(LOCK_NAME);
        let mut log = Self {
            path: path.to_owned(),
            lock_path,
            patience: LOCK_PATIENCE,
            attached: None,
            known: KnownView::default(),
        };
        durable::create_file(path, INDEX_MODE).map_err(IndexError::at(IndexStep::Open, path))?;
        log.append_batch(&[])?;
        Ok(log)
    }

    /// The pairs that have a row, kept current by every batch.
    pub fn known(&self) -> KnownView {
        self.known.clone()
    }

    /// Appends the rows whose pair has none, durably, and says for each what became of it.
    ///
    /// On an error no row of the batch counts: what was written of it is cut off again.
    pub fn append_batch(&mut self, rows: &[IndexRow]) -> Result<Vec<Receipt>, IndexError> {
        let _lock = self.lock()?;
        let mut attached = self.attach()?;
        self.catch_up(&mut attached)?;
        let (text, receipts) = self.compose(rows, attached.torn)?;
        if let Err(failed) = self.write(&mut attached, &text) {
            if !Step::ForgetFailedIndex.is_taken() {
                self.attached = Some(attached);
            }
            return Err(failed);
        }
        self.known.write(|known| {
            for (row, _) in rows.iter().zip(&receipts).filter(|(_, r)| **r == Receipt::Appended) {
                known.insert(key_of(row));
            }
        });
        self.attached = Some(attached);
        Ok(receipts)
    }

    fn lock(&self) -> Result<Option<FileLock>, IndexError> {
        if !Step::LockIndex.is_taken() {
            return Ok(None);
        }
        let taken = FileLock::take(&self.lock_path, self.patience);
        taken.map(Some).map_err(IndexError::at(IndexStep::Lock, &self.lock_path))
    }

    /// The open file if it still is the one at our path, otherwise that one, to be read from its start.
    fn attach(&mut self) -> Result<Attached, IndexError> {
        let at_path = std::fs::metadata(&self.path).map_err(IndexError::at(IndexStep::Open, &self.path))?;
        let is_other = |a: &Attached| (a.device, a.inode) != (at_path.dev(), at_path.ino());
        let is_replaced = |a: &Attached| is_other(a) && Step::NoticeReplaced.is_taken();
        let is_truncated = |a: &Attached| at_path.len() < a.end && Step::NoticeTruncated.is_taken();
        let same = |a: &Attached| !is_replaced(a) && !is_truncated(a);
        if let Some(attached) = self.attached.take().filter(same) {
            // Somebody who took our permission away means it, even though the open descriptor would still work.
            Step::NoticePermission
                .take(|| rustix::fs::access(&self.path, rustix::fs::Access::WRITE_OK))
                .map_err(|errno| IndexError::at(IndexStep::Open, &self.path)(errno.into()))?;
            return Ok(attached);
        }
        let file = durable::open_append(&self.path).map_err(IndexError::at(IndexStep::Open, &self.path))?;
        let opened = file.metadata().map_err(IndexError::at(IndexStep::Open, &self.path))?;
        self.known.write(|known| *known = super::known::KnownRows::default());
        Ok(Attached {
            file,
            device: opened.dev(),
            inode: opened.ino(),
            end: 0,
            torn: false,
            unsynced: opened.len() > 0,
        })
    }

    /// Reads what other programs appended since the last batch.
    fn catch_up(&self, attached: &mut Attached) -> Result<(), IndexError> {
        let read = |attached: &mut Attached| {
            let length = attached.file.metadata()?.len();
            if length == attached.end || (attached.end > 0 && !Step::CatchUp.is_taken()) {
                return Ok(());
            }
            attached.file.seek(SeekFrom::Start(attached.end))?;
            let tail = (&attached.file).take(length - attached.end);
            let tail = self.known.write(|known| known.learn(tail))?;
            attached.end += tail.bytes;
            attached.torn = tail.torn;
            attached.unsynced = true;
            Ok(())
        };
        read(attached).map_err(IndexError::at(IndexStep::Read, &self.path))
    }

    /// The bytes to append and what they will mean for each row.
    fn compose(&self, rows: &[IndexRow], torn: bool) -> Result<(Vec<u8>, Vec<Receipt>), IndexError> {
        let mut text = if torn && Step::EndTornLine.is_taken() { vec![b'\n'] } else { Vec::new() };
        let mut pairs = std::collections::HashSet::new();
        let mut receipts = Vec::with_capacity(rows.len());
        for row in rows {
            let pair = (&row.host_id, &row.episode_id);
            let has_row = self.known.get(pair.0, pair.1).is_some() && Step::KnowPairs.is_taken();
            if has_row || (!pairs.insert(pair) && Step::KnowPairsOfBatch.is_taken()) {
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

    /// Appends by one write call and syncs; on failure cuts the file back to where the batch began.
    fn write(&self, attached: &mut Attached, text: &[u8]) -> Result<(), IndexError> {
        if text.is_empty() && !(attached.unsynced && Step::SyncFoundRows.is_taken()) {
            return Ok(());
        }
        if let Err((step, error)) = append_durably(&attached.file, text) {
            // The lock is held, so what stands behind `end` is ours and nobody was told of it. Where the cut
            // fails too, the next batch reads those rows from the file and syncs them before it answers.
            let _ = Step::CutFailedBatch.take(|| attached.file.set_len(attached.end));
            return Err(IndexError::at(step, &self.path)(error));
        }
        attached.end += text.len() as u64;
        attached.torn = false;
        attached.unsynced = false;
        Ok(())
    }
}

/// One write call and one sync; tells which of them failed.
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
        size_bytes: row.size_bytes,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cis490_shared::clock::WallTime;
    use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};

    use super::*;

    fn row(episode: &str) -> IndexRow {
        IndexRow {
            backfilled: false,
            commit: None,
            episode_id: EpisodeId::parse(episode).unwrap(),
            host_id: HostId::parse("h").unwrap(),
            received_at_wall: WallTime::from(std::time::SystemTime::UNIX_EPOCH),
            schema_version: 1,
            sha256: Sha256Digest::from_bytes([1; 32]),
            size_bytes: 1,
        }
    }

    /// A directory with an index of the given content, and the log opened on it.
    fn log_on(content: &str) -> (tempfile::TempDir, PathBuf, IndexLog) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.jsonl");
        fs::write(&path, content).unwrap();
        let log = IndexLog::open(&path).unwrap();
        (dir, path, log)
    }

    fn episodes_in(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let rows = text.lines().filter_map(|line| IndexRow::parse(line.as_bytes()).ok());
        rows.map(|row| row.episode_id.to_string()).collect()
    }

    #[test]
    fn a_batch_appends_what_is_new_and_recognises_the_rest() {
        let (_dir, path, mut log) = log_on("");
        assert_eq!(log.append_batch(&[row("a"), row("b"), row("a")]).unwrap()[2], Receipt::AlreadyKnown);
        let receipts = log.append_batch(&[row("b"), row("c")]).unwrap();
        assert_eq!(receipts, [Receipt::AlreadyKnown, Receipt::Appended]);
        assert_eq!(episodes_in(&path), ["a", "b", "c"]);
    }

    #[test]
    fn old_content_stays_as_it_is_and_a_torn_line_is_ended() {
        let old = "junk\n\n{\"episode_id\": \"a\", \"host_id\": \"h\"}\n{\"torn\": ";
        let (_dir, path, mut log) = log_on(old);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{old}\n"), "ended when it was opened");
        assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::AlreadyKnown]);
        log.append_batch(&[row("b")]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("{old}\n{{")), "{text}");
    }

    #[test]
    fn rows_of_another_program_are_seen_by_the_next_batch() {
        let (_dir, path, mut log) = log_on("");
        log.append_batch(&[row("a")]).unwrap();
        let mut other = IndexLog::open(&path).unwrap();
        other.append_batch(&[row("b")]).unwrap();
        assert_eq!(log.append_batch(&[row("b")]).unwrap(), [Receipt::AlreadyKnown]);
        assert_eq!(other.append_batch(&[row("a")]).unwrap(), [Receipt::AlreadyKnown]);
        assert_eq!(episodes_in(&path), ["a", "b"]);
    }

    #[test]
    fn a_replaced_index_is_read_again_before_anything_is_appended() {
        let (dir, path, mut log) = log_on("");
        log.append_batch(&[row("a")]).unwrap();
        let other = dir.path().join("other");
        fs::write(&other, row("b").to_line().unwrap()).unwrap();
        cis490_shared::durable::rename_noreplace(&path, &dir.path().join("old")).unwrap();
        cis490_shared::durable::rename_noreplace(&other, &path).unwrap();
        let receipts = log.append_batch(&[row("a"), row("b")]).unwrap();
        assert_eq!(receipts, [Receipt::Appended, Receipt::AlreadyKnown]);
        assert_eq!(episodes_in(&path), ["b", "a"]);
    }

    #[test]
    fn a_truncated_index_gets_its_lost_rows_back_when_they_are_sent_again() {
        let (_dir, path, mut log) = log_on("");
        log.append_batch(&[row("a"), row("b")]).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::Appended]);
        assert_eq!(episodes_in(&path), ["a"]);
    }

    #[test]
    fn a_vanished_index_is_an_error_until_it_is_back_and_never_made_anew() {
        let (dir, path, mut log) = log_on("");
        let aside = dir.path().join("aside");
        cis490_shared::durable::rename_noreplace(&path, &aside).unwrap();
        let error = log.append_batch(&[row("a")]).unwrap_err();
        assert_eq!((error.step, path.try_exists().unwrap()), (IndexStep::Open, false));
        assert!(error.remedy().contains("cis490-index-backfill"), "{}", error.remedy());
        cis490_shared::durable::rename_noreplace(&aside, &path).unwrap();
        assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::Appended]);
    }

    #[test]
    fn a_lock_held_by_somebody_else_is_waited_for_and_not_for_ever() {
        let (dir, path, mut log) = log_on("");
        let lock = FileLock::take(&dir.path().join(LOCK_NAME), Duration::ZERO).unwrap();
        log.patience = Duration::ZERO;
        assert_eq!(log.append_batch(&[row("a")]).unwrap_err().step, IndexStep::Lock);
        assert_eq!(episodes_in(&path), [""; 0]);
        log.patience = LOCK_PATIENCE;
        let batch = std::thread::spawn(move || log.append_batch(&[row("a")]).unwrap());
        drop(lock);
        assert_eq!(batch.join().unwrap(), [Receipt::Appended]);
    }
}
