//! Schedules: different orders in which the threads of a program take turns.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity};

use crate::sandbox::Sandbox;

/// A way in which the threads of a program take turns. A call that only occurs in one order of the threads is found
/// under one of these.
#[derive(Debug, Clone, Copy)]
pub(super) enum Schedule {
    /// strace stops every call.
    Free,
    /// strace stops only the calls that it traces.
    Swift,
    /// The program runs on one processor, where a thread runs until it waits for something.
    Single,
}

impl Schedule {
    pub(super) const ALL: [Self; 3] = [Self::Free, Self::Swift, Self::Single];

    /// Returns the command that runs strace under this schedule.
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
                // With SCHED_BATCH no thread is preempted by a thread that it has woken (sched(7)).
                command.args(["-c", &one_processor().to_string(), "chrt", "--batch", "0", "strace"]);
                command
            }
        }
    }
}

/// Returns one of the processors that this process may use, a different one each time.
fn one_processor() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let allowed = sched_getaffinity(None).expect("the processors of this process");
    let processors: Vec<usize> =
        (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
    processors[NEXT.fetch_add(1, Ordering::Relaxed) % processors.len()]
}
