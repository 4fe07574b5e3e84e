//! Reading archives again, several at a time, and judging what came out against what was promised.
//!
//! What is judged is the disk: pages that the kernel still holds are given up first, and given up again afterwards, so
//! that a receiver on the same machine keeps its own. A wrong hash is an accusation, so the archive is read once more
//! before it is made: a bit can also flip on its way through a controller, a cable or memory.
//!
//! A disk answers many questions in hardly more time than one, so a thread asks for several small archives at a time
//! and hashes one while the others come; where the rate is limited it asks for nothing before its turn.

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

/// How many handfuls of outcomes wait to be taken in.
const MAX_QUEUED: usize = 2;
/// How many archives a thread has asked the disk for and not yet read.
const MAX_AHEAD: usize = 16;
/// Larger archives are asked for when their turn comes: the kernel reads ahead within them by itself, and a thread must
/// not hold many of them while another has none.
const MAX_AHEAD_BYTES: u64 = 1 << 20;
/// After so many bytes the pages behind them are given up.
const GIVE_UP_AFTER: u64 = 8 << 20;

/// An archive to be read again.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Which one.
    pub archive: &'a Archive,
    /// Its size in bytes, by the last look.
    pub size_bytes: u64,
    /// The hash that its row promises; none on a row that promises none.
    pub sha256: Option<Sha256Digest>,
    /// The commit that its row names.
    pub commit: Option<&'a CommitHash>,
}

/// What came out.
#[derive(Debug)]
pub enum Outcome {
    /// What was promised.
    Good,
    /// What was promised, and yet no episode, or not the one that was said.
    Odd(Fault),
    /// Something else, twice.
    Damaged {
        /// What the first read gave.
        first: Sha256Digest,
        /// What the second read gave.
        second: Sha256Digest,
    },
    /// Something else once, then what was promised: the archive is good, this machine is not.
    Unsteady {
        /// What the first read gave.
        first: Sha256Digest,
    },
    /// Nothing: there is no such file any more.
    Gone,
    /// Nothing: it cannot be read.
    Unread(io::Error),
}

/// Reads an archive, and once more where it is not what was promised.
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

/// How archives are read.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// How many at a time.
    pub jobs: NonZeroUsize,
    /// How fast.
    pub throttle: &'a Throttle,
    /// Counts bytes.
    pub bar: &'a ProgressBar,
    /// Whether they are opened as well.
    pub is_deep: bool,
}

/// Reads every target in their order. Blocks.
///
/// `done` is told the position of each target and what came out, as it comes. Fails only where not even one thread can
/// be started.
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
                // Fewer threads take longer, and that is all.
                Err(_) => break,
                Ok(()) => {}
            }
        }
        // The threads hold the others: when the last of them is done, the channel ends.
        drop(queue);
        for (position, outcome) in outcomes.into_iter().flatten() {
            done(position, outcome);
        }
        Ok(())
    })
}

/// What the threads share.
struct Work<'a> {
    targets: &'a [Target<'a>],
    next: AtomicUsize,
    throttle: &'a Throttle,
    bar: &'a ProgressBar,
    is_deep: bool,
}

impl Work<'_> {
    /// Starts a thread that reads whatever target is next, until none is left.
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
            // Where nobody asks any more, nobody misses it.
            let _ = queue.send(gatherer.take());
        };
        thread::Builder::new().name("rehash".to_owned()).spawn_scoped(scope, work).map(drop)
    }

    /// Takes what is next and, where that is small and the rate is not limited, what comes after it.
    fn ask_ahead<'t>(&'t self, ahead: &mut VecDeque<Asked<'t>>) {
        let is_small = |asked: &Asked<'_>| asked.target.size_bytes <= MAX_AHEAD_BYTES;
        while ahead.len() < MAX_AHEAD
            && ahead.back().is_none_or(|last| is_small(last) && !self.throttle.is_limited())
        {
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = self.targets.get(position) else { return };
            let asked = Asked { position, target, file: open(&target.archive.path) };
            if let (Ok(file), true, false) = (&asked.file, is_small(&asked), self.throttle.is_limited()) {
                // Advice: where it is not taken, the file comes when it is read.
                let _ = fadvise(file, 0, NonZeroU64::new(target.size_bytes), Advice::WillNeed);
            }
            ahead.push_back(asked);
        }
    }

    /// A file that was opened here, to be read from the disk.
    fn paced(&self, file: File) -> io::Result<Paced<'_>> {
        let left = file.metadata()?.len();
        let file = file.take(left.saturating_add(1));
        let (throttle, bar) = (self.throttle, self.bar);
        Ok(Paced { file, left, hasher: Sha256::new(), size_bytes: 0, given_up: 0, throttle, bar })
    }

    /// Judges what an archive holds, which reads some or all of it.
    fn open_up(
        &self,
        opener: &Opener,
        target: &Target<'_>,
        paced: &mut Paced<'_>,
    ) -> io::Result<Option<Fault>> {
        let expected = Expected { episode_id: &target.archive.episode_id, commit: target.commit };
        // One whose form is broken may say who it is all the same, and that would be the lesser news.
        match judge_form(BufReader::with_capacity(self.throttle.read_bytes(), paced))? {
            Some(fault) => Ok(Some(fault)),
            None => opener.judge_meta(&target.archive.path, expected),
        }
    }
}

/// A file that is hashed and counted as it is read, not faster than allowed, and whose pages are given up behind it.
///
/// One byte more than it says that it has is enough to tell that it is another: it could grow for ever.
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
    /// Reads what is left; size and hash of all of it.
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

/// An archive that is open and perhaps on its way from the disk.
struct Asked<'a> {
    position: usize,
    target: &'a Target<'a>,
    file: io::Result<File>,
}

/// Opens a file whose pages the kernel no longer holds.
fn open(path: &Path) -> io::Result<File> {
    let file = regular::open(CWD, path)?;
    give_up_pages(&file, 0, None);
    Ok(file)
}

/// Lets the kernel forget what it holds of a part of a file.
fn give_up_pages(file: &File, from: u64, length: Option<NonZeroU64>) {
    // Advice: a file system that takes none is read all the same.
    let _ = fadvise(file, from, length, Advice::DontNeed);
}

#[cfg(test)]
mod tests;
