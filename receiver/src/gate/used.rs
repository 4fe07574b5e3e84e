//! Which commits of the window hosts use, so that the log can warn when one poll takes them away. In memory only.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cis490_shared::ids::CommitHash;

/// A commit that was admitted within this time counts as used: hosts that record send an episode a day at least.
const RECENT: Duration = Duration::from_hours(24);

/// When each commit was admitted last. It holds no more commits than a window and what one poll took away.
#[derive(Debug, Default)]
pub struct Used(Mutex<HashMap<CommitHash, SystemTime>>);

impl Used {
    /// Notes that an upload or a question of a commit in the window was admitted.
    pub fn note(&self, commit: &CommitHash, now: SystemTime) {
        let mut used = self.used();
        match used.get_mut(commit) {
            Some(last) => *last = now,
            None => drop(used.insert(commit.clone(), now)),
        }
    }

    /// Forgets the commits that the window does not hold and returns those of them that were used lately.
    pub fn taken_away(&self, holds: impl Fn(&CommitHash) -> bool, now: SystemTime) -> Vec<CommitHash> {
        let mut used = self.used();
        let gone = used.extract_if(|commit, _| !holds(commit));
        // A clock that was set back makes no use old.
        let is_recent =
            |last: SystemTime| now.duration_since(last).is_ok_and(|age| age <= RECENT) || last > now;
        let mut gone: Vec<_> = gone.filter(|(_, last)| is_recent(*last)).map(|(commit, _)| commit).collect();
        gone.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        gone
    }

    fn used(&self) -> MutexGuard<'_, HashMap<CommitHash, SystemTime>> {
        // Nothing can panic while the lock is held.
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
