//! Shared syncs of the outbox.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use super::*;

/// Lets five threads ask during a first sync, which began before they came. Returns their results, and the number of
/// syncs after the first one. `outcome` decides how these syncs end.
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
