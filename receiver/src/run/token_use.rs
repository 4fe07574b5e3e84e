//! Writes when each token was last used, at most once a minute, on a thread of its own.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::warn;

use super::credentials::Credentials;
use crate::auth::last_use::{self, LastUse, Uses};
use crate::io_thread::IoThread;

/// How often it is looked whether there is something new: the first use of a token shows within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two writes.
const WRITE_EVERY: Duration = Duration::from_mins(1);
/// A stop waits this long for the last write.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the file current.
pub(super) struct TokenUse {
    uses: LastUse,
    path: PathBuf,
    thread: IoThread,
    written: Uses,
    is_failing: bool,
}

impl TokenUse {
    /// Begins with what the file holds. Blocks.
    pub(super) fn begin(credentials: &Credentials, path: PathBuf) -> Self {
        let uses = credentials.last_use(&path);
        let written = uses.all();
        Self { uses, path, thread: IoThread::start("token-use"), written, is_failing: false }
    }

    /// Where requests note what they use.
    pub(super) fn noted(&self) -> LastUse {
        self.uses.clone()
    }

    /// Writes whenever there is something new. Never ends.
    pub(super) async fn keep(&mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.write_if_new().await {
                sleep(WRITE_EVERY).await;
            }
        }
    }

    /// Writes the uses since the last write. A disk that hangs does not delay the end of the process.
    pub(super) async fn finish(&mut self) {
        // Losing it is harmless.
        let _ = timeout(LAST_PATIENCE, self.write_if_new()).await;
    }

    /// True where something was to be written.
    async fn write_if_new(&mut self) -> bool {
        let uses = self.uses.all();
        if uses == self.written {
            return false;
        }
        let (path, written) = (self.path.clone(), uses.clone());
        // A thread that is gone has said so.
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
