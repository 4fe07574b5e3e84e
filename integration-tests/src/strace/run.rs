//! strace itself: attached to a running process, or around a program from its first call to its end.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::aim::Shot;
use super::object::Names;
use super::schedule::Schedule;
use super::{Fault, Trace};
use crate::group;
use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::until::{PATIENCE, wait_until};

/// strace, attached to a process.
pub struct Strace {
    child: Child,
    traced: u32,
    trace: PathBuf,
    threads: Vec<u32>,
}

/// Maximum time for strace to end. A strace that waits for a thread that died at the wrong moment never ends.
const END: Duration = Duration::from_secs(3);

/// Option for all threads, also those that are started later.
const ALL_THREADS: &str = "-f";

impl Strace {
    /// Records every call.
    pub fn record(sandbox: &Sandbox, pid: u32) -> Self {
        Self::attach(sandbox, pid, pid, &[ALL_THREADS.to_owned()])
    }

    /// Injects the fault of the shot at its target.
    pub fn shoot(sandbox: &Sandbox, pid: u32, shot: &Shot, names: &Names) -> Self {
        let mut options = shot.options(names);
        let at = if let Some(thread) = shot.thread() {
            threads_of(pid)[thread]
        } else {
            options.push(ALL_THREADS.to_owned());
            pid
        };
        Self::attach(sandbox, pid, at, &options)
    }

    /// Injects `fault` at the `nth` call of this name on this path in each thread, and records every call on the path.
    pub fn inject_on(
        sandbox: &Sandbox,
        pid: u32,
        path: &Path,
        (call, nth): (&str, usize),
        fault: Fault,
    ) -> Self {
        let inject = format!("inject={call}:{}:when={nth}", fault.option());
        let path = path.display().to_string();
        let options = [ALL_THREADS, "-e", &inject, "-P", &path].map(str::to_owned);
        Self::attach(sandbox, pid, pid, &options)
    }

    /// Injects `fault` at the next call of this name in one thread, and leaves the other threads alone.
    pub fn inject_in_thread(sandbox: &Sandbox, thread: u32, call: &str, fault: Fault) -> Self {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{}:when=1", fault.option()));
        Self::attach(sandbox, thread, thread, &["-e".to_owned(), trace, "-e".to_owned(), inject])
    }

    /// Attaches to all threads of the process or, without [`ALL_THREADS`], to the thread `at`.
    fn attach(sandbox: &Sandbox, pid: u32, at: u32, options: &[String]) -> Self {
        let (trace, notes) = (sandbox.free("strace", ".trace"), sandbox.free("strace", ".notes"));
        let file = fs::File::create(&notes).expect("a file in the sandbox");
        let threads = threads_of(pid);
        let mut child = Command::new("strace")
            .args(["-qq", "-yy", "-p", &at.to_string(), "-o"])
            .arg(&trace)
            .args(options)
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("strace is installed");
        sandbox.adopt("strace", child.id());
        let is_for_all = options.iter().any(|option| option == ALL_THREADS);
        wait_until("strace is attached", PATIENCE, || {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "strace ended: {}", fs::read_to_string(&notes).unwrap_or_default());
            let is_attached = if is_for_all { is_traced(pid) } else { has_tracer(&format!("/proc/{at}")) };
            is_attached.then_some(())
        });
        Self { child, traced: pid, trace, threads }
    }

    /// Detaches from the process and returns the trace.
    pub fn detach(mut self) -> Trace {
        let was_killed = has_ended(self.traced);
        if !was_killed && self.child.try_wait().expect("a child can be waited for").is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
            kill_process(pid, Signal::INT).expect("a child can be signalled");
        }
        let end = Instant::now() + END;
        wait_until("strace ends", PATIENCE, || {
            if Instant::now() > end {
                self.child.kill().expect("a child can be killed");
            }
            self.child.try_wait().expect("a child can be waited for")
        });
        let text = fs::read_to_string(&self.trace).expect("a trace");
        Trace { was_killed, text, threads: self.threads }
    }
}

/// A program that ran under strace from its first call to its end.
pub struct Traced {
    /// Its exit code; `None` if it was killed.
    pub code: Option<i32>,
    /// What it printed and logged.
    pub log: String,
    /// Its calls.
    pub trace: Trace,
}

/// Maximum time for a program whose runtime may be broken by a fault, before it is killed.
const RUN: Duration = Duration::from_secs(5);

impl Traced {
    /// Runs the program and records every call.
    pub fn record(sandbox: &Sandbox, command: &Command) -> Self {
        Self::run(sandbox, command, &[], Schedule::Free)
    }

    /// Runs the program and injects the fault of the shot at its target.
    pub fn shoot(sandbox: &Sandbox, command: &Command, shot: &Shot, names: &Names) -> Self {
        Self::run(sandbox, command, &shot.options(names), shot.schedule)
    }

    fn run(sandbox: &Sandbox, command: &Command, options: &[String], schedule: Schedule) -> Self {
        let trace = sandbox.free("strace", ".trace");
        let mut strace = schedule.strace(sandbox);
        strace.args([ALL_THREADS, "-qq", "-yy", "-o"]).arg(&trace).args(options);
        // Without messages to the service manager, which are sent at random times, by the same system calls that shots
        // aim at.
        strace.args(["-E", "NOTIFY_SOCKET"]);
        strace.arg(command.get_program()).args(command.get_args());
        let mut process = Process::start(sandbox, "strace", strace);
        let end = Instant::now() + RUN;
        let status = wait_until("the program ends", PATIENCE, || {
            if Instant::now() > end {
                process.kill();
            }
            process.status()
        });
        // If both were killed, strace ends before the traced program, which holds its locks until it is gone too.
        let group = process.pid();
        wait_until("nothing that was traced is left", PATIENCE, || group::is_gone(group).then_some(()));
        let text = fs::read_to_string(&trace).expect("a trace");
        let was_killed = status.signal().is_some();
        Self {
            code: status.code(),
            log: process.log(),
            trace: Trace { was_killed, text, threads: Vec::new() },
        }
    }
}

/// Returns the threads of a process, in the order in which they were started.
fn threads_of(pid: u32) -> Vec<u32> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut threads: Vec<u32> =
        folder.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect();
    threads.sort_unstable();
    threads
}

/// Returns true if the process is gone, or waits to be reaped by its parent.
fn has_ended(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status
        .lines()
        .any(|line| line.starts_with("State:") && !line.contains("zombie") && !line.contains("dead"))
}

/// Returns true if every thread of the process has a tracer.
fn is_traced(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| has_tracer(&thread.path().display().to_string()))
}

/// Returns true if the thread that this folder of /proc describes has a tracer.
fn has_tracer(folder: &str) -> bool {
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
}
