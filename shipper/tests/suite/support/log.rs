//! The log of a test's thread, as lines.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;

thread_local! {
    /// The log of this thread since [`Log::catch`].
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of this thread since it was caught.
pub struct Log {
    /// Keeps the log on its thread.
    _of_this_thread: PhantomData<*const ()>,
}

impl Log {
    /// Clears the log of this thread. One subscriber serves the whole process: with one per thread, tracing remembers
    /// for all threads that a call site is not wanted.
    pub fn catch() -> Self {
        let subscriber = tracing_subscriber::fmt().with_writer(|| Writer).with_ansi(false);
        // A second call finds the subscriber of the first.
        let _ = subscriber.with_target(false).without_time().try_init();
        LOGGED.with_borrow_mut(Vec::clear);
        Self { _of_this_thread: PhantomData }
    }

    /// Returns the lines that contain `needle`.
    #[expect(clippy::unused_self, reason = "nothing was caught without it")]
    pub fn with(&self, needle: &str) -> Vec<String> {
        let text = LOGGED.with_borrow(|logged| String::from_utf8(logged.clone()).unwrap());
        text.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
    }

    pub fn count(&self, needle: &str) -> usize {
        self.with(needle).len()
    }
}

/// A writer that keeps the log of its thread.
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
