//! Reads archives again, several at a time, and compares their hashes with the promised ones.
//!
//! The check is of the disk, so cached pages of an archive are dropped before it is read. They are dropped again
//! afterwards, so that a receiver on the same machine keeps its own cache. An archive with a wrong hash is read again
//! before it is reported, because a bit can also flip in a controller, a cable or memory.
//!
//! A disk serves many reads in hardly more time than one. So a thread requests several small archives at a time and
//! hashes one while the others are read. With a rate limit it requests nothing ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Take};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, Scope};
use std::time::Instant;

use cis490_receiver::store::scan::Archive;
use cis490_receiver::store::stored::Stored;
use cis490_shared::ids::{CommitHash, Sha256Digest};
use cis490_shared::regular;
use indicatif::ProgressBar;
use rustix::fs::{Advice, CWD, fadvise};
use sha2::{Digest, Sha256};

use super::deep::{Expected, Fault, Opener, judge_form};
use super::throttle::Throttle;
use crate::gather::Gatherer;

/// How many batches of outcomes may wait for the receiver of the channel.
const MAX_QUEUED: usize = 2;
/// The most archives that a thread has requested from the disk and not yet read.
const MAX_AHEAD: usize = 16;
/// Larger archives are not requested ahead: the kernel reads ahead within them by itself, and a thread must not hold
/// many of them while another has none.
const MAX_AHEAD_BYTES: u64 = 1 << 20;
/// The number of bytes after which the pages read so far are dropped.
const GIVE_UP_AFTER: u64 = 8 << 20;

/// An archive to be read again.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// Its size in bytes when the store was walked.
    pub size_bytes: u64,
    /// The hash in its row, if there is one.
    pub sha256: Option<Sha256Digest>,
    /// The commit that its row names.
    pub commit: Option<&'a CommitHash>,
}

/// The result of reading an archive.
#[derive(Debug)]
pub enum Outcome {
    /// The archive matches its row.
    Good,
    /// The archive matches its row, but it is no episode, or not the named one.
    Odd(Fault),
    /// Both reads gave another hash.
    Damaged {
        /// The hash of the first read.
        first: Sha256Digest,
        /// The hash of the second read.
        second: Sha256Digest,
    },
    /// The first read gave another hash, the second the promised one: the archive is good, this machine is not.
    Unsteady {
        /// The hash of the first read.
        first: Sha256Digest,
    },
    /// The file no longer exists.
    Gone,
    /// The file cannot be read.
    Unread(io::Error),
}

/// Reads an archive, and reads it again if its hash is not the promised one.
pub fn judge(promised: Option<Sha256Digest>, mut read: impl FnMut() -> io::Result<Stored>) -> Outcome {
    let mut twice = || {
        let first = read()?.sha256;
        let Some(promised) = promised.filter(|promised| *promised != first) else {
            return Ok(Outcome::Good);
        };
        let second = read()?.sha256;
        Ok(if second == promised { Outcome::Unsteady { first } } else { Outcome::Damaged { first, second } })
    };
    twice().unwrap_or_else(|error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Outcome::Gone,
        _ => Outcome::Unread(error),
    })
}

/// The settings for reading archives.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// The most archives read at a time.
    pub jobs: NonZeroUsize,
    /// The rate limit.
    pub throttle: &'a Throttle,
    /// The progress bar, which counts bytes.
    pub bar: &'a ProgressBar,
    /// True if the archives are also decompressed and their contents checked.
    pub is_deep: bool,
}

/// Reads the targets in order. Blocks.
///
/// Calls `done` with the position and the outcome of each target. Fails only if no thread at all can be started.
pub fn rehash(
    targets: &[Target<'_>],
    manner: Manner<'_>,
    done: &mut dyn FnMut(usize, Outcome),
) -> io::Result<()> {
    let Manner { jobs, throttle, bar, is_deep } = manner;
    let work = Work { targets, next: AtomicUsize::new(0), throttle, bar, is_deep };
    let (queue, outcomes) = mpsc::sync_channel(MAX_QUEUED);
    thread::scope(|scope| {
        for started in 0..jobs.get().min(targets.len()) {
            match work.start(scope, queue.clone()) {
                Err(error) if started == 0 => return Err(error),
                // Fewer threads only take longer.
                Err(_) => break,
                Ok(()) => {}
            }
        }
        // The threads hold the other senders, so the channel ends with the last thread.
        drop(queue);
        for (position, outcome) in outcomes.into_iter().flatten() {
            done(position, outcome);
        }
        Ok(())
    })
}

/// The state that the threads share.
struct Work<'a> {
    targets: &'a [Target<'a>],
    next: AtomicUsize,
    throttle: &'a Throttle,
    bar: &'a ProgressBar,
    is_deep: bool,
}

impl Work<'_> {
    /// Starts a thread that reads the next target, until none is left.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        queue: SyncSender<Vec<(usize, Outcome)>>,
    ) -> io::Result<()> {
        let opener = self.is_deep.then(Opener::new).transpose()?;
        let work = move || {
            let mut buffer = vec![0; self.throttle.read_bytes()];
            let (mut ahead, mut gatherer) = (VecDeque::new(), Gatherer::default());
            loop {
                self.ask_ahead(&mut ahead);
                let Some(Asked { position, target, file }) = ahead.pop_front() else { break };
                let (mut first, mut fault) = (Some(file), None);
                let outcome = judge(target.sha256, || {
                    let file = first.take().unwrap_or_else(|| open(&target.archive.path))?;
                    let mut paced = self.paced(file)?;
                    fault = match &opener {
                        Some(opener) => self.open_up(opener, target, &mut paced)?,
                        None => None,
                    };
                    paced.finish(&mut buffer)
                });
                let outcome = match (outcome, fault) {
                    (Outcome::Good, Some(fault)) => Outcome::Odd(fault),
                    (outcome, _) => outcome,
                };
                let handful = gatherer.add((position, outcome), Instant::now());
                if handful.is_some_and(|handful| queue.send(handful).is_err()) {
                    return;
                }
            }
            // If the channel is closed, nobody needs these outcomes.
            let _ = queue.send(gatherer.take());
        };
        thread::Builder::new().name("rehash".to_owned()).spawn_scoped(scope, work).map(drop)
    }

    /// Opens the next target. If it is small and the rate is not limited, also opens the targets after it.
    fn ask_ahead<'t>(&'t self, ahead: &mut VecDeque<Asked<'t>>) {
        let is_small = |asked: &Asked<'_>| asked.target.size_bytes <= MAX_AHEAD_BYTES;
        while ahead.len() < MAX_AHEAD
            && ahead.back().is_none_or(|last| is_small(last) && !self.throttle.is_limited())
        {
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = self.targets.get(position) else { return };
            let asked = Asked { position, target, file: open(&target.archive.path) };
            if let (Ok(file), true, false) = (&asked.file, is_small(&asked), self.throttle.is_limited()) {
                // Only advice: if it fails, the file is read later.
                let _ = fadvise(file, 0, NonZeroU64::new(target.size_bytes), Advice::WillNeed);
            }
            ahead.push_back(asked);
        }
    }

    /// Prepares an open file for reading from the disk.
    fn paced(&self, file: File) -> io::Result<Paced<'_>> {
        let left = file.metadata()?.len();
        let file = file.take(left.saturating_add(1));
        let (throttle, bar) = (self.throttle, self.bar);
        Ok(Paced { file, left, hasher: Sha256::new(), size_bytes: 0, given_up: 0, throttle, bar })
    }

    /// Checks the contents of an archive, which reads some or all of it.
    fn open_up(
        &self,
        opener: &Opener,
        target: &Target<'_>,
        paced: &mut Paced<'_>,
    ) -> io::Result<Option<Fault>> {
        let expected = Expected { episode_id: &target.archive.episode_id, commit: target.commit };
        // A broken form is reported first, because it is worse than a wrong name in meta.json.
        match judge_form(BufReader::with_capacity(self.throttle.read_bytes(), paced))? {
            Some(fault) => Ok(Some(fault)),
            None => opener.judge_meta(&target.archive.path, expected),
        }
    }
}

/// A file that is hashed and counted while it is read, within the rate limit. Its pages are dropped after that.
///
/// At most one byte beyond the initial size is read, because the file could grow for ever. That byte changes the hash.
struct Paced<'a> {
    file: Take<File>,
    left: u64,
    hasher: Sha256,
    size_bytes: u64,
    given_up: u64,
    throttle: &'a Throttle,
    bar: &'a ProgressBar,
}

impl Paced<'_> {
    /// Reads the rest and returns size and hash of the whole file.
    fn finish(mut self, buffer: &mut [u8]) -> io::Result<Stored> {
        while self.read(buffer)? > 0 {}
        give_up_pages(self.file.get_ref(), self.given_up, None);
        let sha256 = Sha256Digest::from_bytes(self.hasher.finalize().into());
        Ok(Stored { size_bytes: self.size_bytes, sha256 })
    }
}

impl Read for Paced<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.throttle.wait_for(self.left.min(into.len() as u64));
        let length = loop {
            match self.file.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.hasher.update(&into[..length]);
        self.size_bytes += length as u64;
        self.left = self.left.saturating_sub(length as u64);
        self.bar.inc(length as u64);
        if self.size_bytes - self.given_up >= GIVE_UP_AFTER {
            let read = NonZeroU64::new(self.size_bytes - self.given_up);
            give_up_pages(self.file.get_ref(), self.given_up, read);
            self.given_up = self.size_bytes;
        }
        Ok(length)
    }
}

/// An open archive that the disk may already be reading.
struct Asked<'a> {
    position: usize,
    target: &'a Target<'a>,
    file: io::Result<File>,
}

/// Opens a file and drops its cached pages.
fn open(path: &Path) -> io::Result<File> {
    let file = regular::open(CWD, path)?;
    give_up_pages(&file, 0, None);
    Ok(file)
}

/// Drops the cached pages of a part of a file.
fn give_up_pages(file: &File, from: u64, length: Option<NonZeroU64>) {
    // Only advice: if the file system ignores it, the file is still read.
    let _ = fadvise(file, from, length, Advice::DontNeed);
}

#[cfg(test)]
mod tests;
