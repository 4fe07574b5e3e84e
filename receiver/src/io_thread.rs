//! A thread for files that may hang, on a dead mount or a failing disk.
//!
//! Checking a token must not depend on a pool of threads that uploads can fill. An owner starts no read before the last
//! one has returned, so a file system that hangs blocks only one thread. The end of the process does not wait for the
//! thread, because it may never return.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

/// A read that takes longer than this counts as hung. A disk under load may need some seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The handle of the thread, which ends with the last clone of its handle.
#[derive(Debug, Clone)]
pub struct IoThread {
    jobs: mpsc::Sender<Job>,
}

/// The thread could not be started, or its work panicked; the panic was printed where it happened.
#[derive(Debug, thiserror::Error)]
#[error("the thread that reads the files is gone")]
pub struct Gone;

impl IoThread {
    /// Starts the thread. If that fails, the log has the reason and every `run` returns [`Gone`].
    pub fn start(name: &str) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || queue.into_iter().for_each(|job| job());
        if let Err(failure) = thread::Builder::new().name(name.to_owned()).spawn(run) {
            error!(error = %failure, thread = name, "cannot start a thread");
        }
        Self { jobs }
    }

    /// Runs `work`, which may block, after all earlier work.
    pub fn run<T, F>(&self, work: F) -> impl Future<Output = Result<T, Gone>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job = Box::new(move || {
            // The owner may be gone, so that nobody waits for the result.
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
