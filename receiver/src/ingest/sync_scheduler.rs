//! Short uploads go first at the disk.
//!
//! A sync waits for all data that the disk was given before, by any upload. Long uploads give it hundreds of megabytes,
//! and a short one would wait for these in three syncs in a row (I9). So while short uploads are active, a long one
//! syncs in small steps. Only one long upload at a time takes a step, and none does while a short one is at the disk.
//! But a step starts at the latest five milliseconds after the last one. So a flood of short uploads does not stop the
//! long ones. Without short uploads, long ones get all that the disk can give.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The bytes that a long upload writes between two steps, and that a short upload may find ahead of it at the disk.
pub const STEP_BYTES: u64 = 1 << 20;
/// The longest time from the last step to the next one while short uploads are at the disk.
const PATIENCE: Duration = Duration::from_millis(5);
/// How long after the last short upload another one is expected.
const LULL: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug)]
pub struct SyncScheduler {
    patience: Duration,
    lull: Duration,
    state: Mutex<State>,
    /// Signalled when no short upload is left, and when a step has ended.
    changed: Condvar,
}

impl Default for SyncScheduler {
    fn default() -> Self {
        Self { patience: PATIENCE, lull: LULL, state: Mutex::default(), changed: Condvar::new() }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Short uploads at the disk now.
    short: usize,
    last_short: Option<Instant>,
    is_stepping: bool,
    last_step: Option<Instant>,
    /// The number of steps taken.
    steps: u64,
}

impl State {
    /// Returns how long a step must still wait; `None` if it may start.
    fn wait(&self, patience: Duration) -> Option<Duration> {
        match self.last_step {
            _ if self.is_stepping => Some(Duration::MAX),
            Some(last) if self.short > 0 => {
                patience.checked_sub(last.elapsed()).filter(|left| !left.is_zero())
            }
            _ => None,
        }
    }
}

/// A short upload at the disk, from its first byte there to its receipt.
#[derive(Debug)]
pub struct Short(Arc<SyncScheduler>);

impl SyncScheduler {
    /// Registers a short upload at the disk.
    pub fn short(self: &Arc<Self>) -> Short {
        self.lock().short += 1;
        Short(Arc::clone(self))
    }

    /// Returns the number of short uploads at the disk now, and the number of steps that long uploads have taken for
    /// short ones.
    pub fn observe(&self) -> (usize, u64) {
        let state = self.lock();
        (state.short, state.steps)
    }

    /// Returns true if long uploads must take steps, because a short one is at the disk or was recently.
    pub fn is_wanted(&self) -> bool {
        let state = self.lock();
        state.short > 0 || state.last_short.is_some_and(|last| last.elapsed() < self.lull)
    }

    /// Waits for the turn of a long upload, then runs `sync`, which syncs its bytes. Blocks.
    pub fn step<T>(&self, sync: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        while let Some(wait) = state.wait(self.patience) {
            state = match self.changed.wait_timeout(state, wait) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        state.is_stepping = true;
        drop(state);
        let _stepping = Stepping(self);
        sync()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and every state is safe to continue with.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.short -= 1;
        state.last_short = Some(Instant::now());
        if state.short == 0 {
            self.0.changed.notify_all();
        }
    }
}

/// A step under way; it ends even if the sync panics.
struct Stepping<'a>(&'a SyncScheduler);

impl Drop for Stepping<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_stepping = false;
        state.steps += 1;
        state.last_step = Some(Instant::now());
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Longer than any test.
    const EVER: Duration = Duration::from_hours(1);
    /// Long enough for a thread that does not have to wait.
    const MOMENT: Duration = Duration::from_millis(100);

    fn scheduler(patience: Duration, lull: Duration) -> Arc<SyncScheduler> {
        let scheduler = SyncScheduler { patience, lull, ..SyncScheduler::default() };
        // The very first step does not wait.
        scheduler.step(|| ());
        Arc::new(scheduler)
    }

    #[test]
    fn a_step_waits_for_the_short_upload_at_the_disk() {
        let scheduler = scheduler(EVER, EVER);
        let shorts = [scheduler.short(), scheduler.short()];
        let (sender, stepped) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| scheduler.step(|| sender.send(()).unwrap()));
            for short in shorts {
                stepped.recv_timeout(MOMENT).unwrap_err();
                drop(short);
            }
            stepped.recv().unwrap();
        });
    }

    #[test]
    fn a_flood_of_short_uploads_does_not_stop_the_long_ones() {
        let scheduler = scheduler(Duration::from_millis(1), EVER);
        let _short = scheduler.short();
        assert_eq!((0..10).map(|step| scheduler.step(|| step)).sum::<i32>(), 45);
        assert_eq!(scheduler.observe(), (1, 11));
    }

    #[test]
    fn one_long_upload_at_a_time_takes_a_step_and_a_panic_in_it_ends_it() {
        let scheduler = scheduler(Duration::ZERO, EVER);
        let at_once = AtomicUsize::new(0);
        let steps = || {
            for _ in 0..500 {
                scheduler.step(|| {
                    assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                    thread::yield_now();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                });
            }
        };
        thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(steps))));
        thread::scope(|scope| scope.spawn(|| scheduler.step(|| panic!("as it should"))).join().unwrap_err());
        scheduler.step(|| ());
    }

    #[test]
    fn steps_are_wanted_while_short_uploads_are_about_and_for_a_while_after() {
        for lull in [Duration::ZERO, EVER] {
            let scheduler = scheduler(EVER, lull);
            assert!(!scheduler.is_wanted());
            let short = scheduler.short();
            assert!(scheduler.is_wanted());
            drop(short);
            assert_eq!(scheduler.is_wanted(), lull == EVER);
        }
    }
}
