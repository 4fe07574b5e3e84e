//! A child process that is always reaped, with its log and its messages to the service manager.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::group;
use crate::notices::Notices;
use crate::sandbox::Sandbox;
use crate::until::{PATIENCE, wait_until};

/// A running program. Dropping it kills the program and its children.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    notices: Notices,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` in its own process group; its output goes to `NAME.log` in the sandbox.
    pub fn start(sandbox: &Sandbox, name: &str, mut command: Command) -> Self {
        let log = sandbox.free(name, ".log");
        let file = File::create(&log).expect("a log in the sandbox");
        let notices = Notices::listen(sandbox.free(name, ".notify"));
        command.env("NOTIFY_SOCKET", notices.address()).process_group(0).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a second handle of the log")).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        sandbox.adopt(name, child.id());
        Self { name: name.to_owned(), child, log, notices, ended: None }
    }

    /// Waits until the program has sent the service manager a line that `wanted` accepts.
    ///
    /// Panics if the program ends first.
    pub fn wait_for_notice<T>(&mut self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let waited_for = format!("`{}` says {what}", self.name);
        wait_until(&waited_for, PATIENCE, || {
            // The status is read first, because a program sends its messages before it ends.
            let ended = self.status();
            let said = self.notices.find(|line| wanted(line));
            if let (None, Some(status)) = (&said, ended) {
                panic!("`{}` ended ({status}) before it said {what}:\n{}", self.name, self.log());
            }
            said
        })
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the output so far, both streams interleaved.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("the log can be read")).into_owned()
    }

    /// Returns how the program ended; `None` while it runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    /// Like [`Process::wait`], for a program with much work to do.
    pub fn wait_at_most(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("`{}` ends", self.name);
        wait_until(&what, deadline, || self.status())
    }

    /// Asks the program to end (SIGTERM) and waits for the end. Fails if a child is left.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = self.wait();
        self.wait_for_its_group();
        status
    }

    /// Kills the program and its children at once (SIGKILL), as a power cut would.
    pub fn kill(&mut self) {
        group::kill(self.pid());
        self.wait();
        self.wait_for_its_group();
    }

    /// Waits for the children, which may end later than the program, even after a signal, on a busy machine.
    fn wait_for_its_group(&self) {
        let group = self.pid();
        wait_until(&format!("nothing started by `{}` is left", self.name), PATIENCE, || {
            group::is_gone(group).then_some(())
        });
    }

    /// Sends a signal to the program alone, unless it has ended already.
    pub fn signal(&mut self, signal: Signal) {
        if self.status().is_none() {
            rustix::process::kill_process(group::pid(self.child.id()), signal)
                .expect("a child can be signalled");
        }
    }

    /// Returns each time when the program sent the service manager this line.
    pub fn notice_times(&self, line: &str) -> Vec<Instant> {
        self.notices.times(line)
    }

    /// Returns the processor time of all its threads so far. The program must be running.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a running program");
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        // `utime` and `stime` of proc(5), in hundredths of a second wherever Linux runs.
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(|text| text.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Returns the largest resident set so far, in KiB (`VmHWM` of proc(5)). The program must be running.
    pub fn peak_rss_kib(&self) -> u64 {
        let peak = self.peak_rss_kib_so_far();
        peak.unwrap_or_else(|| panic!("`{}` has no VmHWM: it is no longer running", self.name))
    }

    /// Like [`Process::peak_rss_kib`], for a program that may end at any time; `None` once it has ended.
    pub fn peak_rss_kib_so_far(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            group::kill(self.child.id());
            // It cannot refuse SIGKILL, so an error only means that it was reaped before.
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(sandbox: &Sandbox, script: &str) -> Process {
        let mut command = sandbox.command("sh");
        command.args(["-c", script]);
        Process::start(sandbox, "shell", command)
    }

    #[test]
    fn a_dropped_process_takes_its_children_along() {
        let sandbox = Sandbox::new();
        let process = shell(&sandbox, "sleep 300 & sleep 300");
        let group = process.pid();
        drop(process);
        wait_until("the group is gone", PATIENCE, || group::is_gone(group).then_some(()));
    }

    #[test]
    fn a_program_that_ends_early_is_told_with_its_log() {
        let sandbox = Sandbox::new();
        let mut process = shell(&sandbox, "echo no such key; exit 78");
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            process.wait_for_notice("READY", |line| (line == "READY=1").then_some(()));
        }));
        let message = *ended.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("no such key") && message.contains("78"), "{message}");
    }

    #[test]
    fn a_sandbox_fails_the_test_when_a_process_outlives_it() {
        let sandbox = Sandbox::new();
        let mut process = shell(&sandbox, "trap '' TERM; sleep 300 & exit 3");
        assert_eq!(process.wait().code(), Some(3));
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(sandbox)));
        let message = *dropped.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("shell"), "{message}");
    }

    #[test]
    fn the_peak_of_memory_is_read_from_the_kernel() {
        let sandbox = Sandbox::new();
        let process = shell(&sandbox, "exec sleep 300");
        // Right after its start a program uses hardly any memory.
        let is_loaded = || Some(process.peak_rss_kib()).filter(|peak| *peak >= 100);
        let peak = wait_until("the program is loaded", PATIENCE, is_loaded);
        assert!(peak < 100_000, "{peak} KiB");
    }
}
