//! Facts about processes and about the machine, read from /proc.

use std::fs;
use std::time::{Duration, Instant};

use crate::figures;

/// The unit of times in /proc (USER_HZ), the same on every architecture that Linux was ported to lately.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the processor time of a program: its processes and the children that they have waited for.
pub(crate) fn cpu_of_tree(root: u32) -> Duration {
    tree(root).into_iter().map(|pid| cpu_of(pid, 4)).sum()
}

/// Returns the processor time of a single process.
pub(crate) fn cpu_of_process(pid: u32) -> Duration {
    cpu_of(pid, 2)
}

/// Returns the sum of the first `fields` of these: user, system, and both for the children that were waited for.
fn cpu_of(pid: u32, fields: usize) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program may contain anything, so fields are counted after its closing parenthesis.
    let behind = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = behind.split_whitespace().skip(11).take(fields).filter_map(|field| field.parse::<u64>().ok());
    from_ticks(ticks.sum())
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(figures::float(ticks) / TICKS_PER_SECOND)
}

/// Returns a process and all its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        at += 1;
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// Makes [`peak_kib`] count from now on.
pub(crate) fn reset_peak(root: u32) {
    for pid in tree(root) {
        // 5 stands for "the peak resident set size" in proc(5). A process of another user keeps its old peak.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// Returns the largest resident memory of a program in KiB, summed over its processes.
pub(crate) fn peak_kib(root: u32) -> u64 {
    let peak = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    tree(root).iter().map(peak).sum()
}

/// Processor time since the machine was started: the time used by anything, and the time available.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    busy: Duration,
    all: Duration,
}

impl Machine {
    /// Reads the present values.
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
        let all = ticks.iter().sum();
        let idle: u64 = ticks.get(3..5).unwrap_or_default().iter().sum();
        Self { busy: from_ticks(all - idle), all: from_ticks(all) }
    }

    /// Returns the processor time that was used since `earlier`.
    pub(crate) fn busy_since(self, earlier: Self) -> Duration {
        self.busy.saturating_sub(earlier.busy)
    }

    /// Returns the processor time that was available since `earlier`, on all processors together.
    pub(crate) fn all_since(self, earlier: Self) -> Duration {
        self.all.saturating_sub(earlier.all)
    }
}

/// Sleeps for `time`.
#[expect(clippy::disallowed_methods, reason = "how long nothing happens is what some measurements are about")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until less than a fifth of the processors is in use, at most for `patience`.
pub(crate) fn wait_until_quiet(patience: Duration) {
    let began = Instant::now();
    while began.elapsed() < patience {
        let before = Machine::now();
        pause(Duration::from_millis(300));
        let now = Machine::now();
        if now.busy_since(before) * 5 < now.all_since(before) {
            return;
        }
    }
}
