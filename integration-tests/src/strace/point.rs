//! The points of an operation: every call of the file system and the network, each with its own name.

use std::collections::BTreeMap;
use std::fmt;

use super::Fault;
use super::object::{Names, Object};
use super::trace::Trace;

/// Calls that wait, schedule, ask the process about itself, or manage memory and descriptors.
///
/// They change no durable state, and exchange nothing with anything outside the process.
const HARMLESS: &[&str] = &[
    "arch_prctl",
    "brk",
    "clock_gettime",
    "clone3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "eventfd2",
    "execve",
    "exit",
    "exit_group",
    "fcntl",
    "futex",
    "geteuid",
    "getpid",
    "getrandom",
    "gettid",
    "ioctl",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "poll",
    "prctl",
    "prlimit64",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "socketpair",
    "tgkill",
    "timerfd_settime",
];

/// Calls on a file that a bad disk can fail. `close` is missing, because no program relies on its result and it does
/// not access the disk.
const ON_DISK: &[&str] = &[
    "access",
    "fallocate",
    "fchmod",
    "fchown",
    "fdatasync",
    "flock",
    "fsync",
    "ftruncate",
    "getdents64",
    "lseek",
    "mkdir",
    "newfstatat",
    "openat",
    "pread64",
    "read",
    "renameat2",
    "statfs",
    "statx",
    "unlink",
    "write",
];

/// Calls on a file that need space; so does an `openat` that creates the file.
const NEED_ROOM: &[&str] = &["fallocate", "fdatasync", "fsync", "mkdir", "renameat2", "write"];

/// A call whose name is the same in every run: the `nth` call of this name on this object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    call: String,
    object: String,
    nth: usize,
    creates: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let new = if self.creates { "new " } else { "" };
        write!(f, "{} #{} of {new}{}", self.call, self.nth, self.object)
    }
}

impl Point {
    /// Returns true if the call is a sync. If a sync fails, no client may get a success that depends on it.
    pub fn is_sync(&self) -> bool {
        matches!(self.call.as_str(), "fdatasync" | "fsync")
    }

    /// Returns true if the kernel makes the call itself when the process is killed before it. The end of a process
    /// closes all its descriptors, so dying before a `close` leaves the same state as dying after it.
    pub(super) fn is_made_by_dying(&self) -> bool {
        self.call == "close"
    }

    /// Returns true if this file is one of the call's objects.
    pub(super) fn is_on(&self, file: &str) -> bool {
        self.object.split(" -> ").any(|own| own == file)
    }

    /// Returns true if the fault can occur at this call: a kill at any call, a disk error only at a call on the disk.
    pub(super) fn can_meet(&self, fault: Fault) -> bool {
        let (call, is_on_disk) = (self.call.as_str(), self.object != NETWORK);
        match fault {
            Fault::Kill => true,
            Fault::Eio => is_on_disk && ON_DISK.contains(&call),
            Fault::Enospc => is_on_disk && (self.creates || NEED_ROOM.contains(&call)),
        }
    }
}

/// The object of every call on a connection.
const NETWORK: &str = "the network";

/// A call of a trace, in the form in which it is counted and aimed at.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub thread: u32,
    pub call: String,
    /// The files by which strace finds the call, by their names for all runs.
    pub files: Vec<String>,
    /// `None` for a call that changes no durable state.
    pub point: Option<Point>,
    pub was_failed: bool,
    pub never_returned: bool,
}

/// Returns the steps of a trace, in the order in which they began.
///
/// Panics on a call that is not known to be harmless and has an unknown object. This file must then learn it.
pub(super) fn steps(trace: &Trace, names: &Names) -> Vec<Step> {
    let mut seen: BTreeMap<(String, String, bool), usize> = BTreeMap::new();
    let mut steps = Vec::new();
    for call in trace.calls() {
        let object = names.object(&call);
        let is_harmless = HARMLESS.contains(&call.name.as_str());
        assert!(is_harmless || object != Object::Unknown, "a call that nobody has classified: {call:?}");
        let files = match &object {
            Object::Files(files) => names.matched(&call).map_or_else(|| files.clone(), |file| vec![file]),
            _ => Vec::new(),
        };
        let creates = call.arguments.contains("O_CREAT");
        let name = match object {
            Object::Files(files) => Some(files.join(" -> ")),
            Object::Network => Some(NETWORK.to_owned()),
            Object::Aside | Object::Unknown => None,
        };
        let point = name.filter(|_| !is_harmless && !call.came_too_early()).map(|object| {
            let nth = seen.entry((call.name.clone(), object.clone(), creates)).or_default();
            *nth += 1;
            Point { call: call.name.clone(), object, nth: *nth, creates }
        });
        let (was_failed, never_returned) = (call.was_failed(), call.never_returned());
        steps.push(Step { thread: call.thread, call: call.name, files, point, was_failed, never_returned });
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn points(text: &str) -> Vec<String> {
        let trace = Trace { text: text.to_owned(), was_killed: false, threads: Vec::new() };
        let steps = steps(&trace, &Names::of(Path::new("/tmp/s")));
        steps.iter().filter_map(|step| step.point.as_ref()).map(Point::to_string).collect()
    }

    #[test]
    fn a_point_is_the_call_the_object_and_how_many_came_before() {
        let text = "1 write(3</tmp/s/x>, \"\", 1) = 1\n\
                    2 write(4</tmp/s/y>, \"\", 1) = 1\n\
                    1 write(5<anon_inode:[eventfd]>, \"\", 8) = 8\n\
                    2 futex(0x7f, FUTEX_WAKE, 1) = 1\n\
                    1 recvfrom(6<TCP:[a:1->b:2]>, 0x1, 8) = -1 EAGAIN (Try again)\n\
                    1 recvfrom(6<TCP:[a:1->b:2]>, 0x1, 8) = 8\n\
                    2 write(3</tmp/s/x>, \"\", 1) = 1\n\
                    2 openat(AT_FDCWD</tmp/s>, \"/tmp/s/x\", O_WRONLY|O_CREAT) = 3</tmp/s/x>\n";
        let expected = [
            "write #1 of x",
            "write #1 of y",
            "recvfrom #1 of the network",
            "write #2 of x",
            "openat #1 of new x",
        ];
        assert_eq!(points(text), expected);
    }

    #[test]
    fn a_call_that_nobody_has_classified_is_no_silent_gap() {
        let told = std::panic::catch_unwind(|| points("1 io_uring_setup(8, {flags=0}) = 3")).unwrap_err();
        let message = *told.downcast::<String>().unwrap();
        assert!(message.contains("nobody has classified") && message.contains("io_uring_setup"), "{message}");
    }

    #[test]
    fn only_what_creates_needs_room_to_be_opened_and_a_connection_has_no_disk() {
        let point = |call: &str, object: &str, creates| Point {
            call: call.to_owned(),
            object: object.to_owned(),
            nth: 1,
            creates,
        };
        assert!(point("openat", "x", true).can_meet(Fault::Enospc));
        assert!(!point("openat", "x", false).can_meet(Fault::Enospc));
        assert!(point("openat", "x", false).can_meet(Fault::Eio));
        assert!(!point("close", "x", false).can_meet(Fault::Eio));
        assert!(!point("write", NETWORK, false).can_meet(Fault::Eio));
        assert!(point("sendto", NETWORK, false).can_meet(Fault::Kill));
    }
}
