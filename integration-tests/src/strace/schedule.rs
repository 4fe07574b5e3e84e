//! Schedules: the same program, whose threads take turns in another way.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity};

use crate::sandbox::Sandbox;

/// How the threads of a program take turns. What only happens in one order of theirs is found in one of these.
#[derive(Debug, Clone, Copy)]
pub(super) enum Schedule {
    /// strace stops every call.
    Free,
    /// strace stops only the calls that it traces.
    Swift,
    /// On one processor, where a thread goes on until it waits for something.
    Single,
}

impl Schedule {
    pub(super) const ALL: [Self; 3] = [Self::Free, Self::Swift, Self::Single];

    /// strace, by which such a program is run.
    pub(super) fn strace(self, sandbox: &Sandbox) -> Command {
        match self {
            Self::Free => sandbox.command("strace"),
            Self::Swift => {
                let mut command = sandbox.command("strace");
                command.arg("--seccomp-bpf");
                command
            }
            Self::Single => {
                let mut command = sandbox.command("taskset");
                // SCHED_BATCH: no thread gives way to one that it has woken (sched(7)).
                command.args(["-c", &one_processor().to_string(), "chrt", "--batch", "0", "strace"]);
                command
            }
        }
    }
}

/// A processor of those that this process may use, another one each time.
fn one_processor() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let allowed = sched_getaffinity(None).expect("the processors of this process");
    let processors: Vec<usize> =
        (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
    processors[NEXT.fetch_add(1, Ordering::Relaxed) % processors.len()]
}
