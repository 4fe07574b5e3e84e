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
use std::io::{self, Read};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, Scope};
use std::time::Instant;

use cis490_receiver::store::scan::Archive;
use cis490_receiver::store::stored::Stored;
use cis490_shared::ids::Sha256Digest;
use cis490_shared::regular;
use indicatif::ProgressBar;
use rustix::fs::{Advice, CWD, fadvise};
use sha2::{Digest, Sha256};

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
    /// The hash that its row promises.
    pub sha256: Sha256Digest,
}

/// What came out.
#[derive(Debug)]
pub enum Outcome {
    /// What was promised.
    Good,
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
pub fn judge(promised: Sha256Digest, mut read: impl FnMut() -> io::Result<Stored>) -> Outcome {
    let mut twice = || {
        let first = read()?.sha256;
        if first == promised {
            return Ok(Outcome::Good);
        }
        let second = read()?.sha256;
        Ok(if second == promised { Outcome::Unsteady { first } } else { Outcome::Damaged { first, second } })
    };
    twice().unwrap_or_else(|error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Outcome::Gone,
        _ => Outcome::Unread(error),
    })
}

/// Reads every target, `jobs` at a time and as fast as `throttle` allows, in their order. Blocks.
///
/// `done` is told the position of each target and what came out, as it comes; `bar` counts bytes. Fails only where
/// not even one thread can be started.
pub fn rehash(
    targets: &[Target<'_>],
    jobs: NonZeroUsize,
    throttle: &Throttle,
    bar: &ProgressBar,
    done: &mut dyn FnMut(usize, Outcome),
) -> io::Result<()> {
    let work = Work { targets, next: AtomicUsize::new(0), throttle, bar };
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
}

impl Work<'_> {
    /// Starts a thread that reads whatever target is next, until none is left.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        queue: SyncSender<Vec<(usize, Outcome)>>,
    ) -> io::Result<()> {
        let work = move || {
            let mut buffer = vec![0; self.throttle.read_bytes()];
            let (mut ahead, mut gatherer) = (VecDeque::new(), Gatherer::default());
            loop {
                self.ask_ahead(&mut ahead);
                let Some(Asked { position, target, file }) = ahead.pop_front() else { break };
                let mut opened = Some(file);
                let outcome = judge(target.sha256, || {
                    let file = opened.take().unwrap_or_else(|| open(&target.archive.path))?;
                    self.read(file, &mut buffer)
                });
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

    /// Size and hash of a file that was opened here, from the disk.
    ///
    /// One byte more than it says that it has is enough to tell that it is another: it could grow for ever.
    fn read(&self, file: File, buffer: &mut [u8]) -> io::Result<Stored> {
        let mut left = file.metadata()?.len();
        let mut file = file.take(left.saturating_add(1));
        let (mut hasher, mut size_bytes, mut given_up) = (Sha256::new(), 0, 0);
        loop {
            self.throttle.wait_for(left.min(buffer.len() as u64));
            let length = match file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if length == 0 {
                give_up_pages(file.get_ref(), given_up, None);
                return Ok(Stored { size_bytes, sha256: Sha256Digest::from_bytes(hasher.finalize().into()) });
            }
            hasher.update(&buffer[..length]);
            size_bytes += length as u64;
            left = left.saturating_sub(length as u64);
            self.bar.inc(length as u64);
            if size_bytes - given_up >= GIVE_UP_AFTER {
                give_up_pages(file.get_ref(), given_up, NonZeroU64::new(size_bytes - given_up));
                given_up = size_bytes;
            }
        }
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
