//! Touches files that may hang, on a dead mount or a disk in trouble, on a thread that is used for nothing else.
//!
//! Whether a token still counts must not depend on a pool of threads that others can fill. An owner begins no read before
//! the last one has come back, so a file system that hangs costs one thread. Nobody waits for the thread at the end of
//! the process: it may never come back.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

/// A read that takes longer than this hangs. A disk under load may well need some seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The thread; it ends with the last clone of this.
#[derive(Debug, Clone)]
pub struct IoThread {
    jobs: mpsc::Sender<Job>,
}

/// The thread could not be started, or what it ran has panicked, which was printed where it happened.
#[derive(Debug, thiserror::Error)]
#[error("the thread that reads the files is gone")]
pub struct Gone;

impl IoThread {
    /// Starts the thread. Where that fails everything is [`Gone`], and the log has the reason.
    pub fn start(name: &str) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || queue.into_iter().for_each(|job| job());
        if let Err(failure) = thread::Builder::new().name(name.to_owned()).spawn(run) {
            error!(error = %failure, thread = name, "cannot start a thread");
        }
        Self { jobs }
    }

    /// Runs `work`, which may block, after all that it was given before.
    pub fn run<T, F>(&self, work: F) -> impl Future<Output = Result<T, Gone>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more: its owner is gone.
            let _ = tell.send(work());
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
    async fn what_it_is_given_runs_one_after_the_other_on_one_thread() {
        let thread = IoThread::start("thread");
        let current = || thread::current().id();
        let (first, second) = tokio::join!(thread.run(current), thread.run(current));
        assert_eq!(first.unwrap(), second.unwrap());
    }

    #[tokio::test]
    async fn after_a_panic_nothing_runs() {
        let thread = IoThread::start("thread");
        assert!(thread.run(|| panic!("as a test wants it")).await.is_err());
        assert!(thread.run(|| ()).await.is_err());
    }
}
