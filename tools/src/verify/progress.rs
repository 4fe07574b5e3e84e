//! The progress of a run. Pure.
//!
//! Targets are read in order, but several at a time; the mark is the last target up to which all are done. Targets that
//! were not good are kept by name and read again when the run is resumed. So damage is not forgotten if the process
//! dies, and no old finding is reported without a new read.

use std::collections::BTreeSet;

use cis490_receiver::store::reconcile::Pair;
use serde::{Deserialize, Serialize};

use super::rehash::Target;

/// The position of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The pair up to which every target was read; `None` at the beginning.
    through: Option<Pair>,
    /// The targets that were not good and are read again.
    again: BTreeSet<Pair>,
    /// Archives that were found good.
    pub archives: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Mark {
    /// Returns true if an archive is still to be read.
    pub fn leaves(&self, pair: &Pair) -> bool {
        self.through.as_ref().is_none_or(|through| pair > through) || self.again.contains(pair)
    }
}

/// A run over targets that are sorted by host and episode.
#[derive(Debug)]
pub struct Progress<'a> {
    targets: &'a [Target<'a>],
    mark: Mark,
    /// The position before which every target is done.
    all_before: usize,
    /// Later positions that are done.
    done: BTreeSet<usize>,
}

impl<'a> Progress<'a> {
    /// Continues from `mark` with targets that are all [still to be read](Mark::leaves).
    pub const fn new(mark: Mark, targets: &'a [Target<'a>]) -> Self {
        Self { targets, mark, all_before: 0, done: BTreeSet::new() }
    }

    /// Records that the target at this position was read.
    pub fn done(&mut self, position: usize, is_good: bool) {
        let Some(target) = self.targets.get(position) else { return };
        if is_good {
            self.mark.again.remove(&pair_of(target));
            self.mark.archives += 1;
            self.mark.bytes += target.size_bytes;
        } else {
            self.mark.again.insert(pair_of(target));
        }
        self.done.insert(position);
        while self.done.remove(&self.all_before) {
            self.all_before += 1;
        }
        let last = self.all_before.checked_sub(1).and_then(|last| self.targets.get(last)).map(pair_of);
        // Targets that are read again are before the mark, which never goes back.
        if last > self.mark.through {
            self.mark.through = last;
        }
    }

    /// Returns the position of the run.
    pub const fn mark(&self) -> &Mark {
        &self.mark
    }
}

fn pair_of(target: &Target<'_>) -> Pair {
    (target.archive.host_id.clone(), target.archive.episode_id.clone())
}

#[cfg(test)]
mod tests {
    use cis490_receiver::store::scan::Archive;
    use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};

    use super::*;

    fn archives(names: &str) -> Vec<Archive> {
        let archive = |name| Archive {
            host_id: HostId::parse("h").unwrap(),
            episode_id: EpisodeId::parse(name).unwrap(),
            path: name.into(),
        };
        names.split(' ').map(archive).collect()
    }

    fn targets<'a>(archives: &'a [Archive], mark: &Mark) -> Vec<Target<'a>> {
        let targets = archives.iter().map(|archive| Target {
            archive,
            size_bytes: 10,
            sha256: Some(Sha256Digest::from_bytes([0; 32])),
            commit: None,
        });
        targets.filter(|target| mark.leaves(&pair_of(target))).collect()
    }

    fn names(targets: &[Target<'_>]) -> String {
        targets.iter().map(|target| target.archive.episode_id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_mark_waits_for_the_slowest() {
        let archives = archives("a b c d e");
        let targets_of_all = targets(&archives, &Mark::default());
        let mut progress = Progress::new(Mark::default(), &targets_of_all);
        let mut left = |position| {
            progress.done(position, true);
            names(&targets(&archives, progress.mark()))
        };
        assert_eq!(left(1), "a b c d e", "a is not done");
        assert_eq!(left(2), "a b c d e");
        assert_eq!(left(0), "d e");
        assert_eq!(left(3), "e");
        assert_eq!(left(4), "");
        assert_eq!((progress.mark().archives, progress.mark().bytes), (5, 50));
    }

    #[test]
    fn what_was_not_good_is_read_again_until_it_is() {
        let archives = archives("a b c d");
        let first = targets(&archives, &Mark::default());
        let mut progress = Progress::new(Mark::default(), &first);
        progress.done(0, false);
        progress.done(1, true);
        let mark = progress.mark().clone();
        let second = targets(&archives, &mark);
        assert_eq!(names(&second), "a c d");

        let mut progress = Progress::new(mark.clone(), &second);
        progress.done(1, true);
        assert_eq!(names(&targets(&archives, progress.mark())), "a c d", "a may have been interrupted");
        progress.done(0, true);
        assert_eq!(names(&targets(&archives, progress.mark())), "d");
        assert_eq!(progress.mark().archives, 3, "b of the first run included");

        let mut progress = Progress::new(mark, &second);
        progress.done(0, false);
        assert_eq!(names(&targets(&archives, progress.mark())), "a c d", "the mark does not go back");
    }

    #[test]
    fn what_is_not_good_beyond_the_mark_is_not_lost_when_the_mark_passes_it() {
        let archives = archives("a b c");
        let all = targets(&archives, &Mark::default());
        let mut progress = Progress::new(Mark::default(), &all);
        progress.done(1, false);
        progress.done(0, true);
        progress.done(2, true);
        assert_eq!(names(&targets(&archives, progress.mark())), "b");
    }

    #[test]
    fn a_mark_survives_the_way_through_text() {
        let archives = archives("a b");
        let all = targets(&archives, &Mark::default());
        let mut progress = Progress::new(Mark::default(), &all);
        progress.done(0, false);
        let text = serde_json::to_string(progress.mark()).unwrap();
        assert_eq!(text, r#"{"through":["h","a"],"again":[["h","a"]],"archives":0,"bytes":0}"#);
        assert_eq!(&serde_json::from_str::<Mark>(&text).unwrap(), progress.mark());
    }
}
