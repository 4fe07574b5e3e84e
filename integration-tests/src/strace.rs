//! A program under strace, attached to or from its start: which system calls it makes, and what it does when one of them fails.
//!
//! The idea is that of the strictest storage tests: record the calls of one operation, then repeat the operation
//! once per call with a fault at that call. strace counts the calls of each thread from the moment it attaches,
//! so "the second `fdatasync`" means the second one of whichever thread makes it first.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Process, group};
use crate::sandbox::Sandbox;
use crate::until::{PATIENCE, wait_until};

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The whole process is killed before the call.
    Kill,
    /// The call is not made and says that the device failed.
    Eio,
    /// The call is not made and says that the disk is full.
    Enospc,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "signal=SIGKILL",
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
        })
    }
}

/// strace, attached to all threads of a process.
pub struct Strace {
    child: Child,
    traced: u32,
    trace: PathBuf,
}

fn fault_options(call: &str, nth: usize, fault: Fault) -> [String; 4] {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{fault}:when={nth}"));
    ["-e".to_owned(), trace, "-e".to_owned(), inject]
}

/// How long strace may take to end; one that waits for a thread that died at the wrong moment never does.
const END: Duration = Duration::from_secs(3);

impl Strace {
    /// Records every call.
    pub fn record(sandbox: &Sandbox, pid: u32) -> Self {
        Self::attach(sandbox, pid, &["-f".to_owned()], || is_traced(pid))
    }

    /// Brings about `fault` at the `nth` call (from 1) of this name in each thread.
    pub fn inject(sandbox: &Sandbox, pid: u32, call: &str, nth: usize, fault: Fault) -> Self {
        let options = [&["-f".to_owned()][..], &fault_options(call, nth, fault)].concat();
        Self::attach(sandbox, pid, &options, || is_traced(pid))
    }

    /// Brings about `fault` at the next call of this name in one thread, and leaves the others alone.
    pub fn inject_in_thread(sandbox: &Sandbox, thread: u32, call: &str, fault: Fault) -> Self {
        Self::attach(sandbox, thread, &fault_options(call, 1, fault), || {
            has_tracer(&format!("/proc/{thread}"))
        })
    }

    fn attach(sandbox: &Sandbox, pid: u32, options: &[String], is_attached: impl Fn() -> bool) -> Self {
        let (trace, notes) = (sandbox.free("strace", ".trace"), sandbox.free("strace", ".notes"));
        let file = fs::File::create(&notes).expect("a file in the sandbox");
        let mut child = Command::new("strace")
            .args(["-qq", "-p", &pid.to_string(), "-o"])
            .arg(&trace)
            .args(options)
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("strace is installed");
        sandbox.adopt("strace", child.id());
        wait_until("strace is attached", PATIENCE, || {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "strace ended: {}", fs::read_to_string(&notes).unwrap_or_default());
            is_attached().then_some(())
        });
        Self { child, traced: pid, trace }
    }

    /// Lets the process go on alone and gives back what was traced.
    pub fn detach(mut self) -> Trace {
        let was_killed = has_ended(self.traced);
        if !was_killed && self.child.try_wait().expect("a child can be waited for").is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
            kill_process(pid, Signal::INT).expect("a child can be signalled");
        }
        let end = Instant::now() + END;
        while self.child.try_wait().expect("a child can be waited for").is_none() {
            if Instant::now() > end {
                self.child.kill().expect("a child can be killed");
            }
            std::thread::yield_now();
        }
        Trace { was_killed, text: fs::read_to_string(&self.trace).expect("a trace") }
    }
}

/// A program that ran under strace from its first call to its end.
pub struct Traced {
    /// Its exit code; none where it was killed, or had to be.
    pub code: Option<i32>,
    /// What it printed and logged.
    pub log: String,
    /// Its calls.
    pub trace: Trace,
}

/// How long a program may run that was failed in its own machinery before it is killed.
const RUN: Duration = Duration::from_secs(5);

impl Traced {
    /// Runs the program and records every call.
    pub fn record(sandbox: &Sandbox, command: &Command) -> Self {
        Self::run(sandbox, command, &[])
    }

    /// Runs the program with `fault` at the `nth` call (from 1) of this name in each thread.
    pub fn inject(sandbox: &Sandbox, command: &Command, call: &str, nth: usize, fault: Fault) -> Self {
        Self::run(sandbox, command, &fault_options(call, nth, fault))
    }

    /// The same, counting only calls on this very path: how another thread's calls of that name come into reach.
    pub fn inject_at(
        sandbox: &Sandbox,
        command: &Command,
        path: &Path,
        (call, nth, fault): (&str, usize, Fault),
    ) -> Self {
        let at = ["-P".to_owned(), path.to_str().expect("a plain path").to_owned()];
        Self::run(sandbox, command, &[&fault_options(call, nth, fault)[..], &at].concat())
    }

    fn run(sandbox: &Sandbox, command: &Command, options: &[String]) -> Self {
        let trace = sandbox.free("strace", ".trace");
        let mut strace = sandbox.command("strace");
        strace.args(["-f", "-qq", "-o"]).arg(&trace).args(options);
        strace.arg(command.get_program()).args(command.get_args());
        let mut process = Process::start(sandbox, "strace", strace);
        let end = Instant::now() + RUN;
        while process.status().is_none() {
            if Instant::now() > end {
                process.kill();
            }
            std::thread::yield_now();
        }
        let status = process.wait();
        // strace ends before what it traced does, where both were killed; locks are held until that is gone too.
        let group = process.pid();
        wait_until("nothing that was traced is left", PATIENCE, || group::is_gone(group).then_some(()));
        let text = fs::read_to_string(&trace).expect("a trace");
        Self {
            code: status.code(),
            log: process.log(),
            trace: Trace { was_killed: status.signal().is_some(), text },
        }
    }
}

/// Whether the process is gone, or only waits for its parent to notice that it is.
fn has_ended(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status
        .lines()
        .any(|line| line.starts_with("State:") && !line.contains("zombie") && !line.contains("dead"))
}

/// Whether every thread of the process has a tracer.
fn is_traced(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| has_tracer(&thread.path().display().to_string()))
}

/// Whether the thread that this folder of /proc describes has a tracer.
fn has_tracer(folder: &str) -> bool {
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
}

/// What strace wrote: a line per call, each behind the number of its thread.
pub struct Trace {
    text: String,
    was_killed: bool,
}

impl Trace {
    /// The names of the calls and how often the busiest thread made each.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        let mut per_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in self.text.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
            // What stands before a parenthesis elsewhere, as in `<... read resumed>`, is no name.
            if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                *per_thread.entry((thread, name)).or_default() += 1;
            }
        }
        let mut calls = BTreeMap::new();
        for ((_, name), count) in per_thread {
            let most: &mut usize = calls.entry(name.to_owned()).or_default();
            *most = count.max(*most);
        }
        calls
    }

    /// Whether the fault came about.
    pub fn has_fired(&self) -> bool {
        // A call that was cut short by a signal has a question mark for its result.
        self.was_killed || self.text.contains("(INJECTED)") || self.text.contains(" = ?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_per_thread_and_the_busiest_counts() {
        let trace = |text: &str| Trace { text: text.to_owned(), was_killed: false };
        let two_threads = trace(
            "12 openat(AT_FDCWD, \"/x\") = 3\n\
             13 openat(AT_FDCWD, \"/y\" <unfinished ...>\n\
             12 openat(AT_FDCWD, \"/z\") = 4\n\
             13 <... openat resumed>) = 5\n\
             13 +++ exited with 0 +++\n",
        );
        assert_eq!(two_threads.calls(), BTreeMap::from([("openat".to_owned(), 2)]));
        assert!(!two_threads.has_fired());
        assert!(trace("7 fsync(3) = -1 EIO (Input/output error) (INJECTED)").has_fired());
    }
}
