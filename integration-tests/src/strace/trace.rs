//! Parses the output of strace into calls.

use std::collections::BTreeMap;

/// One system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The thread that made it.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// The text between its parentheses, as strace writes it; truncated if the call never returned.
    pub arguments: String,
    /// The text after the equals sign; a question mark or empty if the call never returned.
    pub result: String,
}

impl Call {
    /// Returns true if an injected error occurred at this call.
    pub(super) fn was_failed(&self) -> bool {
        self.result.ends_with("(INJECTED)")
    }

    /// Returns true if the call never returned, like the call before which a process is killed.
    pub(super) fn never_returned(&self) -> bool {
        matches!(self.result.as_str(), "" | "?")
    }

    /// Returns true if the call only found that it must be repeated later.
    pub(super) fn came_too_early(&self) -> bool {
        self.result.contains("EAGAIN")
    }
}

/// The output of strace: a line per call, each after the number of its thread.
#[derive(Debug, Clone)]
pub struct Trace {
    pub(super) text: String,
    pub(super) was_killed: bool,
    /// The threads at the time when strace was attached, in the order in which they were started.
    pub(super) threads: Vec<u32>,
}

impl Trace {
    /// Returns true if the fault occurred.
    pub fn has_fired(&self) -> bool {
        // A call that a signal interrupted has a question mark for its result.
        self.was_killed || self.text.contains("(INJECTED)") || self.text.contains(" = ?")
    }

    /// Returns the calls in the order in which they began: name, arguments with the paths of descriptors, result.
    pub fn lines(&self) -> Vec<(String, String, String)> {
        self.calls().into_iter().map(|call| (call.name, call.arguments, call.result)).collect()
    }

    /// Returns the number of calls of this name whose arguments contain the text.
    pub fn count(&self, name: &str, text: &str) -> usize {
        self.calls().iter().filter(|call| call.name == name && call.arguments.contains(text)).count()
    }

    /// Returns the calls in the order in which they began.
    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        let mut open = BTreeMap::new();
        for line in self.text.lines() {
            let (thread, rest) = at_thread(line);
            if let Some(end) = rest.strip_prefix("<... ") {
                let (Some(call), Some((_, end))) = (open.remove(&thread), end.split_once(" resumed>")) else {
                    continue;
                };
                let (arguments, result) = at_equals_sign(end);
                let call: &mut Call = &mut calls[call];
                call.arguments.push_str(arguments);
                result.clone_into(&mut call.result);
                continue;
            }
            let Some((name, rest)) = rest.split_once('(') else { continue };
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            let (arguments, result) = match rest.split_once(" <unfinished ...>") {
                None => at_equals_sign(rest),
                // Nothing follows `= ?`.
                Some((arguments, end)) => (arguments, at_equals_sign(end).1),
            };
            if result.is_empty() {
                open.insert(thread, calls.len());
            }
            let (name, arguments, result) = (name.to_owned(), arguments.to_owned(), result.to_owned());
            calls.push(Call { thread, name, arguments, result });
        }
        calls
    }
}

/// Returns the number of the thread and the rest of the line. strace writes no number if it traces a single thread.
fn at_thread(line: &str) -> (u32, &str) {
    let numbered = line.split_once(' ').and_then(|(thread, rest)| Some((thread.parse().ok()?, rest)));
    let (thread, rest) = numbered.unwrap_or((0, line));
    (thread, rest.trim_start())
}

/// Returns the arguments, without the parenthesis after them, and the result.
fn at_equals_sign(rest: &str) -> (&str, &str) {
    let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
    let arguments = arguments.trim_end();
    (arguments.strip_suffix(')').unwrap_or(arguments), result.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(text: &str) -> Trace {
        Trace { text: text.to_owned(), was_killed: false, threads: Vec::new() }
    }

    #[test]
    fn a_call_that_another_thread_interrupts_is_put_together() {
        let calls = trace(
            "12 openat(AT_FDCWD</x>, \"/x (1)\", O_RDONLY) = 3</x (1)>\n\
             13 statx(4</y>, \"\", 0, STATX_ALL <unfinished ...>\n\
             12 close(3</x (1)>)                  = 0\n\
             13 <... statx resumed>, {stx_size=5, ...}) = 0\n\
             13 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
             12 read(5</z>,  <unfinished ...>) = ?\n\
             13 +++ killed by SIGKILL +++\n",
        )
        .calls();
        let short: Vec<_> = calls.iter().map(|c| (c.thread, c.name.as_str(), c.result.as_str())).collect();
        assert_eq!(
            short,
            [(12, "openat", "3</x (1)>"), (13, "statx", "0"), (12, "close", "0"), (12, "read", "?")]
        );
        assert_eq!(calls[1].arguments, "4</y>, \"\", 0, STATX_ALL, {stx_size=5, ...}");
        assert!(calls[3].never_returned() && !calls[2].never_returned());
    }

    #[test]
    fn the_trace_of_one_thread_has_no_numbers() {
        let calls = trace("write(3</x>, \"\", 1 <unfinished ...>) = ?\n+++ killed by SIGKILL +++").calls();
        assert_eq!((calls.len(), calls[0].thread, calls[0].name.as_str()), (1, 0, "write"));
    }

    #[test]
    fn an_error_that_was_brought_about_is_told_from_one_of_the_system() {
        let text = "7 fsync(3</x>) = -1 EIO (Input/output error)";
        assert!(!trace(text).has_fired());
        let injected = trace(&format!("{text} (INJECTED)"));
        assert!(injected.has_fired() && injected.calls()[0].was_failed());
        assert!(trace("7 recvfrom(3<x>, 0, 0) = -1 EAGAIN (Try again)").calls()[0].came_too_early());
    }
}
