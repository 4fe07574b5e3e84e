//! The promises of index.jsonl, read as a stream: hash, size and time from the first row of each pair.
//!
//! The file is opened read-only, and closed after each read. [`Ledger::catch_up`] reads the rows that a live receiver
//! has appended since; an index that was replaced meanwhile is read anew. All programs parse lines with
//! `cis490_shared::row`: a line that names its pair is that pair's row.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cis490_receiver::index::{IndexError, IndexStep};
use cis490_receiver::store::reconcile::Pair;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::row::lines::{Line, read_line};
use cis490_shared::row::{IndexRow, read_key};
use jiff::Timestamp;

/// The size of the read buffer, in bytes.
const READ_BUFFER: usize = 256 * 1024;

/// The facts about an archive in the first row of its pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Promise {
    /// The hash; `None` if the row holds no usable one.
    pub sha256: Option<Sha256Digest>,
    /// The size; `None` if the row is not complete.
    pub size_bytes: Option<u64>,
    /// The time when it was stored; `None` if the row holds no valid time.
    pub received_at: Option<Timestamp>,
    /// The number of the judged commit among those of the index: see [`Ledger::commit`].
    commit: Option<u32>,
}

/// A further row of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondRow {
    /// The pair.
    pub pair: Pair,
    /// The line number, counted from 1.
    pub line: u64,
    /// True if it has the hash of the first row.
    pub same_hash: bool,
}

/// A count of lines with a common property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    /// The number of lines.
    pub count: u64,
    /// The line number of the first, counted from 1; 0 if there is none.
    pub first: u64,
}

impl Lines {
    fn add(&mut self, line: u64) {
        if self.count == 0 {
            self.first = line;
        }
        self.count += 1;
    }
}

/// The index as far as it has been read.
#[derive(Debug, Default)]
pub struct Ledger {
    only: Option<HostId>,
    hosts: HashMap<HostId, HashMap<EpisodeId, Promise>>,
    rows: u64,
    second_rows: Vec<SecondRow>,
    not_rows: Lines,
    unproven: Lines,
    /// Device and inode of the file; `None` if the file is missing.
    file: Option<(u64, u64)>,
    /// The number of complete lines read, and the offset after the last of them.
    lines: u64,
    end: u64,
    torn: Option<Torn>,
    /// Stored once each, because thousands of rows share a commit.
    commits: Vec<CommitHash>,
    commit_numbers: HashMap<CommitHash, u32>,
}

/// A last line without its newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Torn {
    at: u64,
    /// True if the previous read found it too, so that no program is writing it now.
    stays: bool,
}

impl Ledger {
    /// Reads an index, or only the rows of one host; a missing file has no rows. Blocks.
    pub fn read(path: &Path, only: Option<&HostId>) -> Result<Self, IndexError> {
        let mut ledger = Self { only: only.cloned(), ..Self::default() };
        ledger.catch_up(path)?;
        Ok(ledger)
    }

    /// Reads the rows appended since the last read. Blocks.
    pub fn catch_up(&mut self, path: &Path) -> Result<(), IndexError> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget();
                return Ok(());
            }
            other => other.map_err(IndexError::at(IndexStep::Open, path))?,
        };
        let mut read = || {
            let opened = file.metadata()?;
            let id = Some((opened.dev(), opened.ino()));
            if self.file != id || opened.len() < self.end {
                self.forget();
                self.file = id;
            }
            file.seek(SeekFrom::Start(self.end))?;
            self.learn(BufReader::with_capacity(READ_BUFFER, &file))
        };
        read().map_err(IndexError::at(IndexStep::Read, path))
    }

    fn forget(&mut self) {
        *self = Self { only: self.only.take(), ..Self::default() };
    }

    /// Reads every line after the known ones.
    fn learn(&mut self, mut reader: impl BufRead) -> io::Result<()> {
        let torn_before = self.torn.take().map(|torn| torn.at);
        let mut line = Vec::new();
        loop {
            let read @ Line { length, ended } = read_line(&mut reader, &mut line)?;
            if ended {
                self.lines += 1;
                self.end += length;
                match read.is_overlong() {
                    true => self.not_rows.add(self.lines),
                    false => self.take_line(&line, self.lines),
                }
                continue;
            }
            if length > 0 {
                let stays = torn_before == Some(self.end);
                self.torn = Some(Torn { at: self.end, stays });
                // Readers and the receiver accept a torn line that names its pair as a row.
                if stays && read_key(&line).is_some() {
                    self.take_line(&line, self.lines + 1);
                }
            }
            return Ok(());
        }
    }

    fn take_line(&mut self, line: &[u8], number: u64) {
        let Some(key) = read_key(line) else {
            if !line.trim_ascii().is_empty() {
                self.not_rows.add(number);
            }
            return;
        };
        if self.only.as_ref().is_some_and(|only| *only != key.host_id) {
            return;
        }
        self.rows += 1;
        let row = IndexRow::parse(line).ok();
        let promise = Promise {
            sha256: key.sha256,
            size_bytes: row.as_ref().map(|row| row.size_bytes),
            received_at: row.as_ref().and_then(|row| row.received_at_wall.as_str().parse().ok()),
            commit: row.and_then(|row| row.commit).and_then(|commit| self.number(commit)),
        };
        if let Some(first) = self.get(&key.host_id, &key.episode_id) {
            let same_hash = first.sha256 == promise.sha256;
            let pair = (key.host_id, key.episode_id);
            return self.second_rows.push(SecondRow { pair, line: number, same_hash });
        }
        if promise.sha256.is_none() {
            self.unproven.add(number);
        }
        self.hosts.entry(key.host_id).or_default().insert(key.episode_id, promise);
    }

    /// Returns the number of a commit; `None` if there are more commits than numbers.
    fn number(&mut self, commit: CommitHash) -> Option<u32> {
        if let Some(number) = self.commit_numbers.get(&commit) {
            return Some(*number);
        }
        let number = u32::try_from(self.commits.len()).ok()?;
        self.commits.push(commit.clone());
        self.commit_numbers.insert(commit, number);
        Some(number)
    }

    /// Returns the commit that a row names.
    pub fn commit(&self, promise: &Promise) -> Option<&CommitHash> {
        self.commits.get(usize::try_from(promise.commit?).ok()?)
    }

    /// Returns the promise for a pair; `None` if the pair has no row.
    pub fn get(&self, host: &HostId, episode: &EpisodeId) -> Option<&Promise> {
        self.hosts.get(host)?.get(episode)
    }

    /// Returns all pairs that have a row, in no order.
    pub fn pairs(&self) -> impl Iterator<Item = (&HostId, &EpisodeId)> {
        self.hosts.iter().flat_map(|(host, episodes)| episodes.keys().map(move |episode| (host, episode)))
    }

    /// Returns the number of rows, second rows included.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the second and later rows of pairs, in the order of the file.
    pub fn second_rows(&self) -> &[SecondRow] {
        &self.second_rows
    }

    /// Returns the lines that are neither blank nor rows.
    pub const fn not_rows(&self) -> Lines {
        self.not_rows
    }

    /// Returns the first rows without a usable hash.
    pub const fn unproven(&self) -> Lines {
        self.unproven
    }

    /// Returns true if there is no file.
    pub const fn is_missing(&self) -> bool {
        self.file.is_none()
    }

    /// Returns the number of the last line if it lacked its newline at two reads.
    pub fn torn_line(&self) -> Option<u64> {
        self.torn.filter(|torn| torn.stays).map(|_| self.lines + 1)
    }
}

#[cfg(test)]
mod tests;
