//! The commits of the window that hosts use, so that the log can warn when one poll removes them. In memory only.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cis490_shared::ids::CommitHash;

/// A commit counts as used if it was admitted within this time, because a recording host sends at least one episode a
/// day.
const RECENT: Duration = Duration::from_hours(24);

/// The time at which each commit was last admitted. Holds at most the commits of the window and those removed by one
/// poll.
#[derive(Debug, Default)]
pub struct Used(Mutex<HashMap<CommitHash, SystemTime>>);

impl Used {
    /// Records that the gate admitted a commit of the window, for an upload or for a question.
    pub fn note(&self, commit: &CommitHash, now: SystemTime) {
        let mut used = self.used();
        match used.get_mut(commit) {
            Some(last) => *last = now,
            None => drop(used.insert(commit.clone(), now)),
        }
    }

    /// Forgets the commits that are not in the window; returns those of them that were used recently, sorted.
    pub fn taken_away(&self, holds: impl Fn(&CommitHash) -> bool, now: SystemTime) -> Vec<CommitHash> {
        let mut used = self.used();
        let gone = used.extract_if(|commit, _| !holds(commit));
        // If the clock was set back, a time in the future counts as recent.
        let is_recent =
            |last: SystemTime| now.duration_since(last).is_ok_and(|age| age <= RECENT) || last > now;
        let mut gone: Vec<_> = gone.filter(|(_, last)| is_recent(*last)).map(|(commit, _)| commit).collect();
        gone.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        gone
    }

    fn used(&self) -> MutexGuard<'_, HashMap<CommitHash, SystemTime>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_lately_and_is_taken_away_is_told_of_once() {
        let commit = |digit: &str| CommitHash::parse(&digit.repeat(40)).unwrap();
        let at = |hours| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
        let used = Used::default();
        for (digit, hour) in [("a", 1), ("b", 1), ("b", 30), ("c", 30), ("d", 99)] {
            used.note(&commit(digit), at(hour));
        }
        let holds = |held: &CommitHash| *held == commit("c");
        let gone = used.taken_away(holds, at(50));
        assert_eq!(gone, [commit("b"), commit("d")], "a is too old, c is still there");
        assert_eq!(used.taken_away(holds, at(50)), []);
        assert_eq!(used.used().len(), 1);
    }
}
