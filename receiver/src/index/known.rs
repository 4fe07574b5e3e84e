//! The pairs that have a row, each with the hash that the row names.
//!
//! Kept in memory so that a request can be answered without the file. Only IndexWriterActor changes it; other code
//! holds a [`KnownView`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};
use cis490_shared::row::lines::{Line, read_line};
use cis490_shared::row::{RowKey, read_key};
use cis490_shared::step::Step;

use super::{IndexError, IndexStep};

/// The bytes of the index that are read at a time.
const READ_BUFFER: usize = 256 * 1024;

/// The number of rows that are added under one lock, so that no reader waits for a whole file.
const ROWS_AT_A_TIME: usize = 4096;

/// The pairs of an index, each with the content of its first row.
#[derive(Debug, Default)]
pub struct KnownRows {
    hosts: HashMap<HostId, HostRows>,
    count: usize,
}

/// The rows of one host.
#[derive(Debug, Default)]
pub struct HostRows {
    episodes: HashMap<EpisodeId, KnownRow>,
    /// The sum of the sizes of their archives.
    bytes: u64,
}

/// The content of a pair's row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownRow {
    /// The hash in the row; `None` if the row has no usable one.
    pub sha256: Option<Sha256Digest>,
    /// The size in the row, in bytes; `None` if the row has none.
    pub size_bytes: Option<u64>,
}

impl KnownRow {
    /// Returns true if a file of this size can be the one that the row names.
    pub fn has_size(&self, size_bytes: u64) -> bool {
        self.size_bytes.is_none_or(|promised| promised == size_bytes) || !Step::MatchStoredSize.is_taken()
    }
}

impl KnownRows {
    /// Reads the pairs of an index without changing it; a missing file has no pairs. Blocks.
    pub fn read(path: &Path) -> Result<Self, IndexError> {
        let mut known = Self::default();
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(known),
            other => other.map_err(IndexError::at(IndexStep::Open, path))?,
        };
        known.learn(file).map_err(IndexError::at(IndexStep::Read, path))?;
        Ok(known)
    }

    /// Adds every row from the reader's position to its end. Blocks.
    pub fn learn(&mut self, reader: impl Read) -> io::Result<Tail> {
        read_rows(reader, |keys| self.insert_all(keys))
    }

    fn insert_all(&mut self, keys: &mut Vec<RowKey>) {
        for key in keys.drain(..) {
            self.insert(key);
        }
    }

    /// Adds one row; returns true if its pair had none. Only the first row of a pair counts.
    pub fn insert(&mut self, key: RowKey) -> bool {
        let host = self.hosts.entry(key.host_id).or_default();
        let Entry::Vacant(free) = host.episodes.entry(key.episode_id) else { return false };
        let RowKey { sha256, size_bytes, .. } = key;
        free.insert(KnownRow { sha256, size_bytes });
        host.bytes = host.bytes.saturating_add(size_bytes.unwrap_or(0));
        self.count += 1;
        true
    }

    /// Returns the row of a pair.
    pub fn get(&self, host: &HostId, episode: &EpisodeId) -> Option<KnownRow> {
        self.hosts.get(host)?.episodes.get(episode).copied()
    }

    /// Returns the bytes of one host's archives, according to its rows.
    pub fn bytes_of(&self, host: &HostId) -> u64 {
        self.hosts.get(host).map_or(0, |host| host.bytes)
    }

    /// Returns the hosts that have rows, in no order, each with its rows.
    pub fn hosts(&self) -> impl Iterator<Item = (&HostId, &HostRows)> {
        self.hosts.iter()
    }

    /// Returns the rows of one host.
    pub fn of(&self, host: &HostId) -> Option<&HostRows> {
        self.hosts.get(host)
    }

    /// Returns the number of pairs that have a row.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns true if no pair has a row.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl HostRows {
    /// Returns true if an episode of this name has a row.
    pub fn has(&self, episode: &str) -> bool {
        self.episodes.contains_key(episode)
    }

    /// Returns the episodes that have a row, in no order.
    pub fn episodes(&self) -> impl ExactSizeIterator<Item = &EpisodeId> {
        self.episodes.keys()
    }
}

/// The result of reading an index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tail {
    /// The bytes read, including a torn line.
    pub bytes: u64,
    /// True if the last line lacks its newline.
    pub torn: bool,
    /// The number of skipped lines, which were longer than any row.
    pub overlong: u64,
    /// The offset of the first of them, in bytes from the start of the read.
    pub first_overlong: u64,
}

/// Passes on every row from the reader's position to its end, some thousands at a time. Blocks.
fn read_rows(reader: impl Read, mut take_in: impl FnMut(&mut Vec<RowKey>)) -> io::Result<Tail> {
    let mut reader = BufReader::with_capacity(READ_BUFFER, reader);
    let (mut line, mut keys, mut tail) = (Vec::new(), Vec::new(), Tail::default());
    loop {
        let read @ Line { length, ended } = read_line(&mut reader, &mut line)?;
        if length == 0 || keys.len() == ROWS_AT_A_TIME {
            take_in(&mut keys);
        }
        if length == 0 {
            return Ok(tail);
        }
        if read.is_overlong() {
            tail.overlong += 1;
            tail.first_overlong = if tail.overlong == 1 { tail.bytes } else { tail.first_overlong };
        }
        tail.bytes += length;
        tail.torn = !ended;
        keys.extend(read_key(&line));
    }
}

/// A reader's view of the pairs that have a row; the writer keeps it current.
#[derive(Debug, Clone, Default)]
pub struct KnownView(Arc<RwLock<KnownRows>>);

impl KnownView {
    /// Returns the row of a pair, as of the last batch.
    pub fn get(&self, host: &HostId, episode: &EpisodeId) -> Option<KnownRow> {
        self.read(|known| known.get(host, episode))
    }

    /// Returns the bytes of one host's archives, as of the last batch.
    pub fn bytes_of(&self, host: &HostId) -> u64 {
        self.read(|known| known.bytes_of(host))
    }

    /// Returns the number of pairs that have a row.
    pub fn len(&self) -> usize {
        self.read(KnownRows::len)
    }

    /// Returns true if no pair has a row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives access to all rows at once; a batch that ends meanwhile waits.
    pub fn read<T>(&self, read: impl FnOnce(&KnownRows) -> T) -> T {
        // A panic under the lock cannot leave a half-made entry that would be wrong to read.
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the rows that were appended; for the log alone. Readers hardly wait, because each lock covers few rows.
    pub(super) fn learn(&self, reader: impl Read) -> io::Result<Tail> {
        read_rows(reader, |keys| self.write(|known| known.insert_all(keys)))
    }

    /// Replaces all rows with those of another index; for the log alone.
    pub(super) fn replace(&self, rows: KnownRows) {
        let former = self.write(|known| std::mem::replace(known, rows));
        // Dropping a million rows takes time, so it happens outside of the lock.
        drop(former);
    }

    /// Changes the rows; for the log alone.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut KnownRows) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(host: &str, episode: &str, byte: u8) -> String {
        let sha256 = Sha256Digest::from_bytes([byte; 32]);
        format!("{{\"episode_id\": \"{episode}\", \"host_id\": \"{host}\", \"sha256\": \"{sha256}\"}}\n")
    }

    #[test]
    fn the_first_row_of_a_pair_counts_and_junk_is_skipped() {
        let text = [
            line("h", "e1", 1),
            "\n".into(),
            "not json\n".into(),
            line("h", "e1", 2),
            line("g", "e1", 3),
            "{\"host_id\":\"h\",\"episode_id\":\"e9\"".into(),
        ]
        .concat();
        let mut known = KnownRows::default();
        let tail = known.learn(text.as_bytes()).unwrap();
        assert_eq!(tail, Tail { bytes: text.len() as u64, torn: true, ..Tail::default() });
        let sha256 =
            known.get(&HostId::parse("h").unwrap(), &EpisodeId::parse("e1").unwrap()).unwrap().sha256;
        assert_eq!(sha256, Some(Sha256Digest::from_bytes([1; 32])));
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn a_hole_or_a_line_without_an_end_is_skipped_and_said() {
        let text = [
            line("h", "e1", 1).into_bytes(),
            vec![0; 1 << 20],
            b"\n".to_vec(),
            line("h", "e2", 1).into_bytes(),
            vec![b'x'; 1 << 20],
        ]
        .concat();
        let mut known = KnownRows::default();
        let tail = known.learn(&text[..]).unwrap();
        let first_overlong = line("h", "e1", 1).len() as u64;
        assert_eq!(tail, Tail { bytes: text.len() as u64, torn: true, overlong: 2, first_overlong });
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn more_rows_than_are_taken_in_at_a_time_are_all_known() {
        let count = 2 * ROWS_AT_A_TIME + 1;
        let text: String = (0..count).map(|n| line("h", &format!("e{n}"), 1)).collect();
        let view = KnownView::default();
        view.learn(text.as_bytes()).unwrap();
        assert_eq!(view.len(), count);
        assert_eq!(KnownRows::default().learn(text.as_bytes()).unwrap().bytes, text.len() as u64);
    }

    #[test]
    fn a_missing_index_has_no_rows() {
        assert!(KnownRows::read(Path::new("/nonexistent/index.jsonl")).unwrap().is_empty());
    }
}
