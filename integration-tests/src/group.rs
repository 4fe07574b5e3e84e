//! Process groups: a program and its children.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal};

/// Converts a process id to the type that system calls take.
pub(crate) fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).expect("the system gave this id")
}

/// Kills every process of the group, if any is left.
pub(crate) fn kill(group: u32) {
    let _ = rustix::process::kill_process_group(pid(group), Signal::KILL);
}

/// Returns true if no process of the group runs any more. A process that has ended but was not reaped does not run.
pub(crate) fn is_gone(group: u32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    !entries.flatten().map(|entry| entry.path()).any(|process| {
        state_and_group(&process).is_some_and(|(_, of)| of == group) && has_running_thread(&process)
    })
}

/// Returns true if any thread of the process runs. The first thread may end before the others, which still hold files
/// and locks.
fn has_running_thread(process: &Path) -> bool {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let mut states = threads.filter_map(|thread| state_and_group(&thread.path()));
    states.any(|(state, _)| !matches!(state, 'Z' | 'X'))
}

fn state_and_group(of: &Path) -> Option<(char, u32)> {
    parse_stat(&fs::read_to_string(of.join("stat")).ok()?)
}

/// Parses state and group from `/proc/PID/stat`; the name in parentheses may hold any character.
fn parse_stat(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse_stat;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        assert_eq!(parse_stat("12 (a) R (b)) S 1 77 77 0 -1"), Some(('S', 77)));
    }
}
