//! A verdict of the version gate, from the gate that GateActor has published.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may, and its macros document nothing")]

use std::hint::black_box;
use std::time::SystemTime;

use cis490_receiver::gate::window::{ClaimedCommit, Gate, Window, WindowReading};
use cis490_shared::ids::CommitHash;
use cis490_shared::latest::Latest;
use criterion::{Criterion, criterion_group, criterion_main};

/// The window's size in production.
const WINDOW: u8 = 100;

fn commit(byte: u8) -> CommitHash {
    CommitHash::parse(&format!("{byte:02x}").repeat(20)).unwrap()
}

fn gate() -> Latest<Gate> {
    let window = Window::new((0..WINDOW).map(commit).collect()).unwrap();
    let reading = WindowReading { window, read_at: SystemTime::UNIX_EPOCH };
    Latest::new(Gate::new(true, usize::from(WINDOW)).with_window(reading))
}

fn verdict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verdict");
    let claims =
        [("the oldest admitted commit", commit(WINDOW - 1)), ("a commit outside the window", commit(WINDOW))];
    let gate = gate();
    for (what, commit) in claims {
        let claimed = ClaimedCommit::Named(commit);
        group.bench_function(what, |bencher| {
            bencher.iter(|| gate.now().check(black_box(claimed.clone()), None, SystemTime::UNIX_EPOCH));
        });
    }
    group.finish();
}

criterion_group!(benches, verdict);
criterion_main!(benches);
