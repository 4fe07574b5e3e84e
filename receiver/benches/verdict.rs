//! A verdict of the version gate: the check itself, and as a message to GateActor and back.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may, and its macros document nothing")]

use std::hint::black_box;
use std::time::SystemTime;

use actix::{Actor, Arbiter, System};
use cis490_receiver::actors::gate::{Check, GateActor};
use cis490_receiver::gate::window::{ClaimedCommit, Current, Gate, Window};
use cis490_shared::ids::CommitHash;
use criterion::{Criterion, criterion_group, criterion_main};

/// The window's size in production.
const WINDOW: u8 = 100;

fn commit(byte: u8) -> CommitHash {
    CommitHash::parse(&format!("{byte:02x}").repeat(20)).unwrap()
}

fn gate() -> Gate {
    let mut gate = Gate::new(true, usize::from(WINDOW));
    let window = Window::new((0..WINDOW).map(commit).collect()).unwrap();
    gate.replace(Current { window, read_at: SystemTime::UNIX_EPOCH });
    gate
}

fn verdict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verdict");
    let claims =
        [("the oldest admitted commit", commit(WINDOW - 1)), ("a commit outside the window", commit(WINDOW))];
    for (what, commit) in claims {
        let claimed = ClaimedCommit::Named(commit);
        let pure = gate();
        group.bench_function(format!("check, {what}"), |bencher| {
            bencher.iter(|| pure.check(black_box(claimed.clone())));
        });
        // In the receiver the HTTP threads ask, and the actor runs on another one.
        let system = System::new();
        let arbiter = Arbiter::new();
        let actor = GateActor::start_in_arbiter(&arbiter.handle(), |_| GateActor::new(gate()));
        group.bench_function(format!("message, {what}"), |bencher| {
            bencher.iter(|| system.block_on(actor.send(Check { claimed: claimed.clone() })).unwrap());
        });
        arbiter.stop();
    }
    group.finish();
}

criterion_group!(benches, verdict);
criterion_main!(benches);
