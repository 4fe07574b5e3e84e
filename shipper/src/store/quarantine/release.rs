//! Has refused episodes go back to `episodes/`: those of a commit that the gate admits by now, or those that a person
//! names.
//!
//! Everything here blocks. What cannot go back stays where it is and says why; nothing is deleted or replaced.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::entries::{Entry, entries};
use crate::store::layout::{Dirs, DirsError};
use crate::store::moves::MoveBack;

/// So many go back together, and share the syncs.
const BATCH: usize = 256;

/// What became of those that were to go back.
#[derive(Debug, Default)]
pub struct Released {
    /// So many are in `episodes/` again.
    pub count: usize,
    /// What stayed, and why; only the first few.
    pub stayed: Vec<(String, DirsError)>,
}

/// How many that stayed are told one by one.
const MAX_STAYED: usize = 10;

impl Released {
    fn take(&mut self, batch: &[MoveBack], done: Vec<Result<(), DirsError>>) {
        for (returning, done) in batch.iter().zip(done) {
            match done {
                Ok(()) => self.count += 1,
                Err(error) if self.stayed.len() < MAX_STAYED => {
                    self.stayed.push((returning.name.clone(), error));
                }
                Err(_) => {}
            }
        }
    }
}

/// Has those go back that are `wanted`, `at_most` so many; ends early where `stop` says so.
pub fn release(
    dirs: &Dirs,
    at_most: usize,
    stop: &AtomicBool,
    mut wanted: impl FnMut(&Entry) -> bool,
) -> io::Result<Released> {
    let (mut released, mut batch, mut found) = (Released::default(), Vec::new(), 0);
    for entry in entries(&dirs.quarantine_root())? {
        if found == at_most || stop.load(Ordering::Relaxed) {
            break;
        }
        let entry = entry?;
        let Some(returning) = entry.returning().filter(|_| wanted(&entry)) else { continue };
        batch.push(returning);
        found += 1;
        if batch.len() == BATCH {
            released.take(&batch, dirs.release(&batch));
            batch.clear();
        }
    }
    if !batch.is_empty() {
        released.take(&batch, dirs.release(&batch));
    }
    Ok(released)
}

/// Has those go back that were refused for this commit alone.
pub fn release_commit(dirs: &Dirs, commit: &str, at_most: usize, stop: &AtomicBool) -> io::Result<Released> {
    release(dirs, at_most, stop, |entry| {
        let awaited = entry.note().and_then(|note| entry.awaited_commit(&note));
        awaited.is_some_and(|awaited| awaited.as_str() == commit)
    })
}
