//! The syncs that uploads share. Uploads that come during one wait for the next, and one of them runs it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use cis490_shared::durable;

/// The index, and the uploads that wait for it.
pub(crate) struct GroupCommit {
    index: File,
    queue: Mutex<Queue>,
    round_ended: Condvar,
}

struct Queue {
    /// The directories of the uploads that wait for the next round.
    directories: HashSet<PathBuf>,
    /// The number of that round.
    gathering: u64,
    /// The last round that succeeded.
    durable: u64,
    /// Whether an upload is syncing.
    led: bool,
}

impl GroupCommit {
    /// Returns a group commit for an index that is open for appending.
    pub(crate) fn new(index: File) -> Self {
        let queue = Queue { directories: HashSet::new(), gathering: 1, durable: 0, led: false };
        Self { index, queue: Mutex::new(queue), round_ended: Condvar::new() }
    }

    /// Appends a line, and returns when it and the names in `dir` are durable.
    pub(crate) fn commit(&self, line: &str, dir: &Path) -> io::Result<()> {
        (&self.index).write_all(line.as_bytes())?;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.directories.insert(dir.to_owned());
        let mine = queue.gathering;
        while queue.durable < mine {
            if queue.led {
                queue = self.round_ended.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.led = true;
            queue.gathering += 1;
            let round = queue.gathering - 1;
            let directories = std::mem::take(&mut queue.directories);
            drop(queue);
            if let Err(error) = self.sync(&directories) {
                // No client may be told that its upload is durable. A floor has no better way to refuse.
                let _ = writeln!(io::stderr(), "a sync failed: {error}");
                std::process::exit(1);
            }
            queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.durable = round;
            queue.led = false;
            self.round_ended.notify_all();
        }
        Ok(())
    }

    fn sync(&self, directories: &HashSet<PathBuf>) -> io::Result<()> {
        directories.iter().try_for_each(|directory| durable::sync_dir(directory))?;
        durable::sync_data(&self.index)
    }
}
