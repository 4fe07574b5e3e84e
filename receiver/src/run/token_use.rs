//! Writes the last use of each token, at most once a minute, on a thread of its own.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::warn;

use super::credentials::Credentials;
use crate::auth::last_use::{self, LastUse, Uses};
use crate::io_thread::IoThread;

/// The interval between checks for new uses: the first use of a token is written within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two writes.
const WRITE_EVERY: Duration = Duration::from_mins(1);
/// The longest wait of a stop for the last write.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The writer of the file.
pub(super) struct TokenUse {
    uses: LastUse,
    path: PathBuf,
    thread: IoThread,
    written: Uses,
    is_failing: bool,
}

impl TokenUse {
    /// Begins with the uses in the file. Blocks.
    pub(super) fn begin(credentials: &Credentials, path: PathBuf) -> Self {
        let uses = credentials.last_use(&path);
        let written = uses.all();
        Self { uses, path, thread: IoThread::start("token-use"), written, is_failing: false }
    }

    /// Returns the handle with which requests note uses.
    pub(super) fn noted(&self) -> LastUse {
        self.uses.clone()
    }

    /// Writes new uses as they appear. Never ends.
    pub(super) async fn keep(&mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.write_if_new().await {
                sleep(WRITE_EVERY).await;
            }
        }
    }

    /// Writes the uses since the last write. A hung disk does not delay the end of the process.
    pub(super) async fn finish(&mut self) {
        // Losing the last uses is harmless.
        let _ = timeout(LAST_PATIENCE, self.write_if_new()).await;
    }

    /// Writes the uses if there are new ones; returns true if there were.
    async fn write_if_new(&mut self) -> bool {
        let uses = self.uses.all();
        if uses == self.written {
            return false;
        }
        let (path, written) = (self.path.clone(), uses.clone());
        // If the thread is gone, that has been reported already.
        if let Ok(outcome) = self.thread.run(move || last_use::write(&path, &uses)).await {
            if let (Err(error), false) = (&outcome, self.is_failing) {
                warn!(%error, path = %self.path.display(), "cannot save the last use of tokens");
            }
            self.is_failing = outcome.is_err();
        }
        self.written = written;
        true
    }
}
