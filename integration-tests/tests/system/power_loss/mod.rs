//! Tests of a loss of power after any operation on a disk that forgets everything unsynced, including names.
//!
//! Each test lets the real programs work on a forgetful disk. Then, for every operation on it and every way to lose
//! unsynced changes, the programs are started on the disk that a machine would find. Then the following must hold:
//!
//! - an acknowledged episode is there with its row (I1)
//! - a final name shows only whole bytes (I2)
//! - archives and rows match (I3)
//! - sending again succeeds (I4)
//! - the receiver starts and leaves nothing partial (I5)
//! - the lab host has lost nothing, and has a reason for each refused episode (I6, I7)

mod backfill;
mod healing;
mod killed;
mod receiver;
mod recovery;
mod release;
mod shipper;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use cis490_shared::row::IndexRow;
use integration_tests::depth::Depth;
use integration_tests::forgetful::{History, Loss, Tree};

/// The losses that follow a rule.
const BY_RULE: [Loss; 5] = [Loss::Everything, Loss::Data, Loss::Zeros, Loss::Torn, Loss::Nothing];

/// Returns the number of random losses at each position. At the depth of the gate, more would find hardly any new
/// state.
fn by_chance() -> usize {
    Depth::chosen().pick(10, 40, 400)
}

/// Number of states that are checked at the same time: programs wait for each other, so three keep two cores busy.
const AT_A_TIME: usize = 3;

/// A state of the disk that a machine may find after a loss of power.
struct Found {
    tree: Tree,
    /// The number of operations before the loss.
    position: usize,
    /// The last operation and the loss, for people.
    point: String,
}

/// Checks every state that may be found if the power fails after the first `from` operations or later.
///
/// A state that is found several times is checked once, for the latest position, because the most was acknowledged by
/// then. Fails if there are fewer operations or fewer different states than `at_least`, because that would prove
/// nothing.
fn walk(name: &str, history: &History, from: usize, at_least: (usize, usize), check: impl Fn(&Found) + Sync) {
    walk_by(by_chance(), name, history, from, at_least, check);
}

/// Like [`walk`], with `by_chance` random losses at each position. Tests with many different states use fewer.
fn walk_by(
    by_chance: usize,
    name: &str,
    history: &History,
    from: usize,
    at_least: (usize, usize),
    check: impl Fn(&Found) + Sync,
) {
    let mut distinct = HashMap::new();
    for position in from..=history.len() {
        let seeds = (position * by_chance) as u64..((position + 1) * by_chance) as u64;
        for loss in BY_RULE.into_iter().chain(seeds.map(Loss::Some)) {
            distinct.insert(history.after(position, loss).fingerprint(), (position, loss));
        }
    }
    let mut states: Vec<(usize, Loss)> = distinct.into_values().collect();
    states.sort_by_key(|(position, loss)| (*position, format!("{loss:?}")));
    let operations: Vec<&str> = history.operations().collect();
    at_the_same_time(states.len(), |state| {
        let (position, loss) = states[state];
        let done = position.checked_sub(1).map_or("nothing", |at| operations[at]);
        let point = format!("power lost after operation {position}, {done}, losing {loss:?}");
        check(&Found { tree: history.after(position, loss), position, point });
    });
    let (operations, states) = (history.len() - from, states.len());
    let losses = BY_RULE.len() + by_chance;
    println!("{name}: {operations} operations, {losses} losses each, {states} different states survived");
    assert!(operations >= at_least.0 && states >= at_least.1, "{name}: fewer than {at_least:?}");
}

/// Calls `work` for every number below `count`, several at the same time.
fn at_the_same_time(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(count) {
            scope.spawn(|| {
                let _end = EndAllOnPanic(&next);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(number);
                }
            });
        }
    });
}

/// A guard that stops the checks of other states after a panic.
struct EndAllOnPanic<'a>(&'a AtomicUsize);

impl Drop for EndAllOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(usize::MAX / 2, Ordering::Relaxed);
        }
    }
}

/// Fails unless the history has operations that begin and end like these, in this order.
fn assert_in_order(history: &History, wanted: &[(&str, &str)]) {
    let mut operations = history.operations();
    for (begin, end) in wanted {
        let is_it = |operation: &str| operation.starts_with(begin) && operation.ends_with(end);
        if !operations.any(is_it) {
            let all: Vec<&str> = history.operations().collect();
            panic!("`{begin}...{end}` was not done when it should have been:\n{}", all.join("\n"));
        }
    }
}

/// Returns the rows of an index and the number of lines that are not rows. A last line without an end does not count.
fn rows_in(index: &[u8]) -> (Vec<IndexRow>, usize) {
    let whole = index.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let lines: Vec<_> = whole.map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()).collect();
    let rows: Vec<IndexRow> = lines.iter().filter_map(|line| IndexRow::parse(line).ok()).collect();
    let others = lines.len() - rows.len();
    (rows, others)
}
