//! Decides when the gate is asked about awaited commits, and when their episodes go back. Time is passed in.
//!
//! A gate may admit a commit when it is asked, and refuse its episodes when they come. Without a pause these episodes
//! would go back and forth for ever (accident 2). So a commit whose episodes come back is awaited longer each time.
//! Then a single episode shows whether the trouble is over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use cis490_shared::ids::CommitHash;
use serde::Serialize;
use tokio::time::Instant;

use crate::answers::outcome::Refusal;

/// The first wait after episodes came back; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_mins(1);
/// The longest wait after episodes came back.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long the last count of an unchanged quarantine stays valid. Its notes are read at most this often.
const SURVEY_INTERVAL: Duration = Duration::from_hours(1);

/// The counts of the episodes in quarantine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All episodes in quarantine.
    pub total: usize,
    /// Episodes that return by themselves, by the commit that they wait for.
    pub by_commit: BTreeMap<String, usize>,
    /// Episodes whose id has other bytes at the receiver.
    pub conflicts: usize,
}

impl Tally {
    /// Counts one more episode.
    pub fn add(&mut self, awaited: Option<&CommitHash>, refusal: Option<&Refusal>) {
        self.total += 1;
        if let Some(commit) = awaited {
            *self.by_commit.entry(commit.to_string()).or_default() += 1;
        }
        self.conflicts += usize::from(refusal.is_some_and(|refusal| refusal.status == Some(409)));
    }

    /// Subtracts episodes that waited for this commit and went back.
    pub fn take(&mut self, commit: &str, returned: usize) {
        self.total = self.total.saturating_sub(returned);
        if let Some(waiting) = self.by_commit.get_mut(commit) {
            *waiting = waiting.saturating_sub(returned);
            if *waiting == 0 {
                self.by_commit.remove(commit);
            }
        }
    }
}

/// How many episodes of a commit may go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// All of them.
    All,
    /// One, to see whether it is stored or refused.
    One,
}

#[derive(Debug)]
struct CameBack {
    times: u32,
    not_before: Instant,
}

/// The episodes that wait in quarantine for a commit to be admitted.
#[derive(Debug, Default)]
pub struct Awaited {
    tally: Option<Tally>,
    surveyed: Option<Instant>,
    /// Commits whose episodes went back and were neither stored nor refused since.
    released: HashSet<String>,
    came_back: HashMap<String, CameBack>,
}

impl Awaited {
    /// Returns the last count. `None` before the first one.
    pub fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// Returns true if the notes must be read, given the present number of entries.
    pub fn needs_survey(&self, entries: usize, now: Instant) -> bool {
        self.tally.as_ref().is_none_or(|tally| tally.total != entries)
            || self.surveyed.is_none_or(|when| now >= when + SURVEY_INTERVAL)
    }

    /// Records a new count.
    pub fn surveyed(&mut self, tally: Tally, now: Instant) {
        (self.tally, self.surveyed) = (Some(tally), Some(now));
    }

    /// Returns the commits that the gate should be asked about now.
    pub fn to_ask(&self, now: Instant) -> Vec<String> {
        let is_due = |commit: &&String| self.came_back.get(*commit).is_none_or(|back| now >= back.not_before);
        self.tally.iter().flat_map(|tally| tally.by_commit.keys()).filter(is_due).cloned().collect()
    }

    /// Returns how many episodes of an admitted commit may go back.
    pub fn release(&self, commit: &str) -> Release {
        if self.came_back.contains_key(commit) { Release::One } else { Release::All }
    }

    /// Records that `count` episodes went back.
    pub fn released(&mut self, commit: &str, count: usize) {
        if let Some(tally) = &mut self.tally {
            tally.take(commit, count);
        }
        if count > 0 {
            self.released.insert(commit.to_owned());
        }
    }

    /// Records that an episode was moved to quarantine.
    pub fn refused(&mut self, refusal: &Refusal, now: Instant) {
        let awaited = refusal.awaited_commit();
        if let Some(tally) = &mut self.tally {
            tally.add(awaited.as_ref(), Some(refusal));
        }
        let Some(commit) = awaited.as_ref().map(CommitHash::to_string) else { return };
        if self.released.remove(&commit) {
            let back = self.came_back.entry(commit).or_insert(CameBack { times: 0, not_before: now });
            let wait = FIRST_WAIT * 2_u32.pow(back.times.min(6));
            back.times += 1;
            back.not_before = now + wait.min(LONGEST_WAIT);
        }
    }

    /// Records that an episode of this commit was stored.
    pub fn stored(&mut self, commit: &str) {
        self.released.remove(commit);
        self.came_back.remove(commit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(commit: &str) -> Refusal {
        Refusal { status: Some(412), commit: Some(commit.to_owned()), ..Refusal::default() }
    }

    #[test]
    fn the_notes_are_read_once_and_again_where_the_number_of_entries_is_another() {
        let (mut awaited, now) = (Awaited::default(), Instant::now());
        assert!(awaited.needs_survey(0, now));
        awaited.surveyed(Tally::default(), now);
        assert!(!awaited.needs_survey(0, now) && awaited.needs_survey(1, now));
        awaited.refused(&refusal(&"ab".repeat(20)), now);
        assert!(!awaited.needs_survey(1, now), "what it moved itself it has counted");
        assert!(awaited.needs_survey(1, now + SURVEY_INTERVAL));
    }

    #[test]
    fn a_commit_whose_episodes_come_back_is_waited_for_longer_each_time_and_tried_with_one() {
        let (mut awaited, mut now, ab) = (Awaited::default(), Instant::now(), "ab".repeat(20));
        awaited.surveyed(Tally::default(), now);
        for _ in 0..50 {
            awaited.refused(&refusal(&ab), now);
        }
        assert_eq!((awaited.to_ask(now), awaited.release(&ab)), (vec![ab.clone()], Release::All));
        let mut waits = Vec::new();
        for _ in 0..9 {
            awaited.released(&ab, 50);
            for _ in 0..50 {
                awaited.refused(&refusal(&ab), now);
            }
            assert_eq!((awaited.to_ask(now).len(), awaited.release(&ab)), (0, Release::One));
            let asked = (0..100).map(|n| now + FIRST_WAIT * n).find(|then| !awaited.to_ask(*then).is_empty());
            waits.push((asked.unwrap() - now).as_secs() / 60);
            now = asked.unwrap();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        awaited.released(&ab, 1);
        awaited.stored(&ab);
        assert_eq!(awaited.release(&ab), Release::All);
    }
}
