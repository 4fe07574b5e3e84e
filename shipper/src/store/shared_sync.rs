//! One sync of a directory for all who wait for one: those who come while it is under way share the next.
//!
//! It knows nothing of what is synced.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets threads share the syncs of one directory.
#[derive(Debug, Default)]
pub struct SharedSync {
    state: Mutex<State>,
    changed: Condvar,
}

/// Whoever asks gets a number; a sync is for all up to the number that was given out last when it began.
#[derive(Debug, Default)]
struct State {
    asked: u64,
    done: u64,
    /// The last sync that failed was for those up to here.
    failed: u64,
    kind: Option<io::ErrorKind>,
    under_way: bool,
}

impl SharedSync {
    /// Comes back once a sync that began after this was called is done, by `sync` or by somebody else's. Blocks.
    ///
    /// One that fails fails all who waited for it: none of them may believe the next.
    pub fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        state.asked += 1;
        let ours = state.asked;
        while state.under_way && state.done < ours && state.failed < ours {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed >= ours {
            return Err(state.kind.unwrap_or(io::ErrorKind::Other).into());
        }
        if state.done >= ours {
            return Ok(());
        }
        state.under_way = true;
        let all = state.asked;
        drop(state);
        let synced = sync();
        let mut state = self.lock();
        state.under_way = false;
        match &synced {
            Ok(()) => state.done = all,
            Err(error) => (state.failed, state.kind) = (all, Some(error.kind())),
        }
        self.changed.notify_all();
        synced
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// Lets five threads ask while a first sync is under way, which began before they came; what they got, and how
    /// many syncs there were after it, of which `outcome` decides the first.
    fn five_beside_one(outcome: fn() -> io::Result<()>) -> (Vec<bool>, usize) {
        let (shared, later) = (SharedSync::default(), AtomicUsize::new(0));
        let (begun, wait_begun) = channel();
        let (end, wait_end) = channel::<()>();
        let results = thread::scope(|scope| {
            let shared = &shared;
            let first = scope.spawn(move || {
                shared.sync(|| {
                    begun.send(()).unwrap();
                    wait_end.recv().unwrap();
                    Ok(())
                })
            });
            wait_begun.recv().unwrap();
            let sync = || {
                later.fetch_add(1, Ordering::SeqCst);
                outcome()
            };
            let others: Vec<_> = (0..5).map(|_| scope.spawn(move || shared.sync(sync))).collect();
            while shared.lock().asked < 6 {
                thread::yield_now();
            }
            assert_eq!(later.load(Ordering::SeqCst), 0, "nobody syncs beside another");
            end.send(()).unwrap();
            first.join().unwrap().unwrap();
            others.into_iter().map(|other| other.join().unwrap().is_ok()).collect()
        });
        (results, later.load(Ordering::SeqCst))
    }

    #[test]
    fn those_who_come_while_one_is_under_way_share_the_next_and_not_that_one() {
        assert_eq!(five_beside_one(|| Ok(())), (vec![true; 5], 1));
    }

    #[test]
    fn one_that_fails_fails_all_who_waited_for_it_and_nobody_after_them() {
        assert_eq!(five_beside_one(|| Err(io::ErrorKind::StorageFull.into())), (vec![false; 5], 1));
        let shared = SharedSync::default();
        shared.sync(|| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        shared.sync(|| Ok(())).unwrap();
    }
}
