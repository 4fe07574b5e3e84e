//! Looks at files that may hang, a dead mount or a disk in trouble, on a thread that is used for nothing else.
//!
//! Whether a token still counts must not depend on a pool of threads that others can fill. An owner begins no look before
//! the last one has come back, so a file system that hangs costs one thread. Nobody waits for the thread at the end of
//! the process: it may never come back.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

/// A look that takes longer than this hangs. A disk under load may well need some seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The thread of the looks; it ends with the last clone of this.
#[derive(Debug, Clone)]
pub struct Looker {
    jobs: mpsc::Sender<Job>,
}

/// The thread could not be started, or a look has panicked, which was printed where it happened.
#[derive(Debug, thiserror::Error)]
#[error("the thread that looks at the files is gone")]
pub struct Gone;

impl Looker {
    /// Starts the thread. Where that fails every look is [`Gone`], and the log has the reason.
    pub fn start(name: &str) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || queue.into_iter().for_each(|job| job());
        if let Err(failure) = thread::Builder::new().name(name.to_owned()).spawn(run) {
            error!(error = %failure, thread = name, "cannot start a thread");
        }
        Self { jobs }
    }

    /// Begins `look`, which may block, after all earlier ones.
    pub fn look<T, F>(&self, look: F) -> impl Future<Output = Result<T, Gone>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more: its owner is gone.
            let _ = tell.send(look());
        });
        let sent = self.jobs.send(job).map_err(|_| Gone);
        async move {
            sent?;
            told.await.map_err(|_| Gone)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looks_come_one_after_the_other_on_one_thread() {
        let looker = Looker::start("looker");
        let thread = || thread::current().id();
        let (first, second) = tokio::join!(looker.look(thread), looker.look(thread));
        assert_eq!(first.unwrap(), second.unwrap());
    }

    #[tokio::test]
    async fn a_look_that_panicked_is_the_last_one() {
        let looker = Looker::start("looker");
        assert!(looker.look(|| panic!("as a test wants it")).await.is_err());
        assert!(looker.look(|| ()).await.is_err());
    }
}
