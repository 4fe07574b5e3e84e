//! How strace is told to hit one point.
//!
//! It counts the calls of one name in each thread, and `when=N` hits every thread that comes so far, the fastest
//! first. Which call that is can be narrowed down to calls on some paths, or to one thread. An aim is chosen by
//! trying it out on the recordings: the best one hits the wanted call, first and alone, in all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Fault;
use super::object::Names;
use super::point::{Point, Step, steps};
use super::trace::Trace;

/// Which calls of one name are counted, and which of them is hit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Aim {
    call: String,
    /// Only calls on these paths are counted; none counts all.
    paths: Vec<String>,
    /// Only calls of this thread, by its rank among those that were there from the start.
    thread: Option<usize>,
    nth: usize,
}

/// The steps of one recording, and the threads that were there from its start.
pub(super) struct Recording {
    pub steps: Vec<Step>,
    pub threads: Vec<u32>,
}

impl Aim {
    fn counts(&self, step: &Step, threads: &[u32]) -> bool {
        let on_path = self.paths.is_empty() || step.files.iter().any(|file| self.paths.contains(file));
        let in_thread = self.thread.is_none_or(|rank| threads.get(rank) == Some(&step.thread));
        step.call == self.call && on_path && in_thread
    }

    /// The steps of the recording that it would hit, in their order.
    fn hits<'a>(&self, recording: &'a Recording) -> Vec<&'a Step> {
        let counted = recording.steps.iter().filter(|step| self.counts(step, &recording.threads));
        nth_of_each_thread(counted, self.nth)
    }

    /// In how many recordings it hits the point first, and in how many of these nothing else.
    fn worth(&self, point: &Point, recordings: &[Recording]) -> (usize, usize) {
        let hits = recordings.iter().map(|recording| self.hits(recording));
        let first = hits.filter(|hits| hits.first().is_some_and(|step| step.point.as_ref() == Some(point)));
        let alone: Vec<bool> = first.map(|hits| hits.len() == 1).collect();
        (alone.len(), alone.iter().filter(|alone| **alone).count())
    }

    /// All aims that have anything to do with this step, simple ones first.
    fn at<'a>(step: &'a Step, recording: &'a Recording, names: &Names) -> impl Iterator<Item = Self> + 'a {
        let is_exact = |file: &&String| names.actual(file).is_some();
        let own: BTreeSet<&String> = step.files.iter().filter(is_exact).collect();
        let same_call = recording.steps.iter().filter(|other| other.call == step.call);
        let others: BTreeSet<&String> = same_call.flat_map(|other| &other.files).filter(is_exact).collect();
        let rank = recording.threads.iter().position(|thread| *thread == step.thread);
        let aim = |paths: &[&String], thread| Self {
            call: step.call.clone(),
            paths: paths.iter().map(|path| (*path).clone()).collect(),
            thread,
            nth: 0,
        };
        let mut aims: Vec<Self> = own.iter().map(|path| aim(&[path], None)).collect();
        aims.push(aim(&[], None));
        aims.extend(rank.map(|rank| aim(&[], Some(rank))));
        // A second path shifts the count of the threads that used it, which sets them apart.
        let pairs = own.iter().flat_map(|path| others.iter().map(move |other| [*path, *other]));
        aims.extend(pairs.filter(|[path, other]| path != other).map(|pair| aim(&pair, None)));
        aims.into_iter().map(|mut aim| {
            let before = recording.steps.iter().take_while(|other| !std::ptr::eq(*other, step));
            let counted = before.filter(|other| other.thread == step.thread);
            aim.nth = 1 + counted.filter(|other| aim.counts(other, &recording.threads)).count();
            aim
        })
    }
}

/// The `nth` step of each thread, in the order of all.
fn nth_of_each_thread<'a>(steps: impl Iterator<Item = &'a Step>, nth: usize) -> Vec<&'a Step> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    steps
        .filter(|step| {
            let count = counts.entry(step.thread).or_default();
            *count += 1;
            *count == nth
        })
        .collect()
}

/// More aims at one point than these are not tried.
const MOST_AIMS: usize = 6;

/// The aims at a point, the best first.
pub(super) fn aims(point: &Point, recordings: &[Recording], names: &Names) -> Vec<Aim> {
    let mut all: Vec<Aim> = Vec::new();
    for recording in recordings {
        let step = recording.steps.iter().find(|step| step.point.as_ref() == Some(point));
        for aim in step.into_iter().flat_map(|step| Aim::at(step, recording, names)) {
            if !all.contains(&aim) {
                all.push(aim);
            }
        }
    }
    // Stable: of two that are worth the same, the simple one comes first.
    all.sort_by_key(|aim| std::cmp::Reverse(aim.worth(point, recordings)));
    all.truncate(MOST_AIMS);
    all
}

/// Whether any aim hits the point before another call meets its end.
pub(super) fn is_in_reach(point: &Point, recordings: &[Recording], names: &Names) -> bool {
    aims(point, recordings, names).first().is_some_and(|aim| aim.worth(point, recordings).0 > 0)
}

/// One fault, aimed at one point.
#[derive(Debug, Clone)]
pub struct Shot {
    pub(super) point: Point,
    pub(super) fault: Fault,
    pub(super) aim: Aim,
}

impl fmt::Display for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.fault, self.point)
    }
}

impl Shot {
    /// What happens.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    pub(super) fn thread(&self) -> Option<usize> {
        self.aim.thread
    }

    /// What strace is told.
    pub(super) fn options(&self, names: &Names) -> Vec<String> {
        let Aim { call, paths, nth, .. } = &self.aim;
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:{}:when={nth}", self.fault.option()));
        let mut options = vec!["-e".to_owned(), trace, "-e".to_owned(), inject];
        for path in paths.iter().filter_map(|path| names.actual(path)) {
            options.extend(["-P".to_owned(), path.display().to_string()]);
        }
        options
    }

    /// The points at which the fault came about, as the trace tells.
    ///
    /// What precedes them is counted in the trace alone, in which one thread or some paths may be all there is.
    pub fn fired(&self, trace: &Trace, names: &Names) -> Vec<Point> {
        let steps = steps(trace, names);
        let counted =
            nth_of_each_thread(steps.iter().filter(|step| step.call == self.aim.call), self.aim.nth);
        let is_hit = |step: &&Step| match self.fault {
            Fault::Kill => step.never_returned,
            Fault::Eio | Fault::Enospc => step.was_failed,
        };
        counted.into_iter().filter(is_hit).filter_map(|step| step.point.clone()).collect()
    }
}
