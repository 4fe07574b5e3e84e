//! Chooses options that make strace hit one point.
//!
//! strace counts the calls of one name in each thread. `when=N` hits every thread that makes that many, the fastest
//! thread first. The counted calls can be restricted to some paths or to one thread. Candidates are tried on the
//! recordings: the best aim hits the wanted call first, and no other call, in all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Fault;
use super::object::Names;
use super::point::{Point, Step, steps};
use super::schedule::Schedule;
use super::trace::Trace;

/// The calls of one name that are counted, and the one that is hit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Aim {
    call: String,
    /// Only calls on these paths are counted; all calls if empty.
    paths: Vec<String>,
    /// Only calls of this thread are counted: its rank among the threads from the start; `None` counts all threads.
    thread: Option<usize>,
    nth: usize,
}

/// The steps of one recording, and the threads that existed at its start.
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

    /// Returns true if the trace of a shot contains every call on the object of the point.
    fn sees(&self, point: &Point) -> bool {
        self.thread.is_none() && (self.paths.is_empty() || self.paths.iter().any(|path| point.is_on(path)))
    }

    /// Returns the steps of the recording that it would hit, in their order.
    fn hits<'a>(&self, recording: &'a Recording) -> Vec<&'a Step> {
        let counted = recording.steps.iter().filter(|step| self.counts(step, &recording.threads));
        nth_of_each_thread(counted, self.nth)
    }

    /// Returns the number of recordings in which it hits the point first, and the number of these in which it hits
    /// nothing else.
    fn worth(&self, point: &Point, recordings: &[Recording]) -> (usize, usize) {
        let hits = recordings.iter().map(|recording| self.hits(recording));
        let first = hits.filter(|hits| hits.first().is_some_and(|step| step.point.as_ref() == Some(point)));
        let alone: Vec<bool> = first.map(|hits| hits.len() == 1).collect();
        (alone.len(), alone.iter().filter(|alone| **alone).count())
    }

    /// Returns all aims that can hit this step, the simplest first.
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
        // A second path shifts the count in the threads that used it, which distinguishes them.
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

/// Returns the `nth` step of each thread, in the order of the recording.
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

/// Maximum number of aims that are kept for one point, besides the simplest.
const MOST_AIMS: usize = 6;

/// Returns the aims at a point: the best first, then the simplest. The simplest is kept because strace slows down only
/// the calls that it traces. So a thread may open a file first in all recordings, and another thread in every shot.
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
    let simplest = all.first().cloned();
    // The sort is stable: of two equally good aims, the simpler one comes first.
    all.sort_by_key(|aim| std::cmp::Reverse(aim.worth(point, recordings)));
    all.truncate(MOST_AIMS);
    match simplest {
        Some(aim) if !all[..1].contains(&aim) => {
            all.retain(|other| *other != aim);
            all.insert(1, aim);
        }
        _ => {}
    }
    all
}

/// Returns true if an aim hits the point before it hits another call.
pub(super) fn is_in_reach(point: &Point, recordings: &[Recording], names: &Names) -> bool {
    aims(point, recordings, names).first().is_some_and(|aim| aim.worth(point, recordings).0 > 0)
}

/// One fault, aimed at one point.
#[derive(Debug, Clone)]
pub struct Shot {
    pub(super) point: Point,
    pub(super) fault: Fault,
    pub(super) aim: Aim,
    pub(super) schedule: Schedule,
}

impl fmt::Display for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.fault, self.point)
    }
}

impl Shot {
    /// Returns the fault.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    pub(super) fn thread(&self) -> Option<usize> {
        self.aim.thread
    }

    /// Returns the options of strace.
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

    /// Returns the points at which the fault occurred, according to the trace.
    ///
    /// Earlier calls are counted in this trace alone, which may contain only one thread or some paths.
    pub fn fired(&self, trace: &Trace, names: &Names) -> Fired {
        let steps = steps(trace, names);
        let counted =
            nth_of_each_thread(steps.iter().filter(|step| step.call == self.aim.call), self.aim.nth);
        let is_hit = |step: &&Step| match self.fault {
            Fault::Kill => step.never_returned,
            Fault::Eio | Fault::Enospc => step.was_failed,
        };
        let points = counted.into_iter().filter(is_hit).filter_map(|step| step.point.clone()).collect();
        let is_there = || steps.iter().any(|step| step.point.as_ref() == Some(&self.point));
        Fired { points, lacked: self.aim.sees(&self.point) && !trace.has_fired() && !is_there() }
    }
}

/// The result of a shot.
#[derive(Debug)]
pub struct Fired {
    /// The points at which the fault occurred.
    pub(super) points: Vec<Point>,
    /// True if no fault occurred in the run, and it did not make the call that was aimed at.
    pub(super) lacked: bool,
}

impl Fired {
    /// Returns true if a sync was hit.
    pub fn at_a_sync(&self) -> bool {
        self.points.iter().any(Point::is_sync)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn trace(text: &str, threads: &[u32]) -> Trace {
        Trace { text: text.to_owned(), was_killed: false, threads: threads.to_vec() }
    }

    /// Returns whether the point of the last line is in reach, the options of strace that hit it, and the thread.
    fn told(text: &str, threads: &[u32]) -> (bool, String, Option<usize>) {
        let names = Names::of(Path::new("/tmp/s"));
        let steps = steps(&trace(text, threads), &names);
        let point = steps.last().unwrap().point.clone().unwrap();
        let recordings = [Recording { steps, threads: threads.to_vec() }];
        let aim = aims(&point, &recordings, &names).remove(0);
        let shot = Shot { point: point.clone(), fault: Fault::Eio, aim, schedule: Schedule::Free };
        (is_in_reach(&point, &recordings, &names), shot.options(&names).split_off(3).join(" "), shot.thread())
    }

    #[test]
    fn a_call_is_told_from_a_faster_threads_by_its_path() {
        let text = "1 fsync(3</tmp/s/a>) = 0\n2 fsync(3</tmp/s/b>) = 0\n";
        assert_eq!(told(text, &[]), (true, "inject=fsync:error=EIO:when=1 -P /tmp/s/b".to_owned(), None));
    }

    #[test]
    fn a_call_on_the_path_of_a_faster_thread_is_told_by_a_path_that_only_its_own_thread_used() {
        let text = "2 fsync(3</tmp/s/own>) = 0\n1 fsync(3</tmp/s/a>) = 0\n1 fsync(3</tmp/s/x>) = 0\n\
                    1 fsync(3</tmp/s/x>) = 0\n2 fsync(3</tmp/s/a>) = 0\n";
        let options = "inject=fsync:error=EIO:when=2 -P /tmp/s/a -P /tmp/s/own".to_owned();
        assert_eq!(told(text, &[]), (true, options, None));
    }

    #[test]
    fn the_simplest_aim_is_tried_however_many_hit_less_beside_it() {
        let opened = |thread: u32, file: &str| {
            format!("{thread} openat(AT_FDCWD</tmp/s>, \"/tmp/s/{file}\", O_RDONLY) = 3</tmp/s/{file}>\n")
        };
        let before: String = ["a", "b", "c", "d", "e", "f", "g"].map(|file| opened(1, file)).concat();
        let text = before + &opened(1, "lock") + &opened(2, "lock");
        let names = Names::of(Path::new("/tmp/s"));
        let steps = steps(&trace(&text, &[]), &names);
        let point = steps[7].point.clone().unwrap();
        let aims = aims(&point, &[Recording { steps, threads: Vec::new() }], &names);
        assert_eq!(aims.len(), MOST_AIMS + 1, "{aims:?}");
        assert_eq!((aims[1].paths.as_slice(), aims[1].nth), (["lock".to_owned()].as_slice(), 1), "{aims:?}");
    }

    #[test]
    fn a_call_without_a_path_is_told_by_a_thread_that_was_there_from_the_start() {
        let text = "7 write(5<anon_inode:[eventfd]>, \"\", 8) = 8\n\
                    9 write(3</tmp/s/0123456789abcdef0123456789abcdef.partial>, \"\", 1) = 1\n";
        assert_eq!(told(text, &[7, 9]), (true, "inject=write:error=EIO:when=1".to_owned(), Some(1)));
        assert!(!told(text, &[]).0, "the wake-up of the other thread comes first");
    }

    #[test]
    fn what_fired_is_read_from_the_trace_and_not_from_what_was_wanted() {
        let names = Names::of(Path::new("/tmp/s"));
        let recorded = steps(&trace("1 fsync(3</tmp/s/a>) = 0", &[]), &names);
        let point = recorded[0].point.clone().unwrap();
        let aim = Aim { call: "fsync".to_owned(), paths: Vec::new(), thread: None, nth: 2 };
        let fired = |fault, text: &str| {
            let shot = Shot { point: point.clone(), fault, aim: aim.clone(), schedule: Schedule::Free };
            let fired = shot.fired(&trace(text, &[]), &names);
            (fired.points.iter().map(Point::to_string).collect::<Vec<_>>(), fired.lacked)
        };
        let failed =
            "1 fsync(3</tmp/s/a>) = 0\n1 fsync(3</tmp/s/b>) = -1 EIO (Input/output error) (INJECTED)\n";
        assert_eq!(fired(Fault::Eio, failed), (vec!["fsync #1 of b".to_owned()], false));
        let by_itself = "1 fsync(3</tmp/s/a>) = 0\n1 fsync(3</tmp/s/b>) = -1 EIO (Input/output error)\n";
        assert_eq!(fired(Fault::Eio, by_itself), (Vec::new(), false));
        assert_eq!(fired(Fault::Eio, "1 fsync(3</tmp/s/b>) = 0\n"), (Vec::new(), true), "not in this run");
        // The other thread was only in a call when the process died.
        let killed =
            "1 fsync(3</tmp/s/a>) = 0\n2 fsync(3</tmp/s/c> <unfinished ...>\n1 fsync(3</tmp/s/b>) = ?\n";
        assert_eq!(fired(Fault::Kill, killed), (vec!["fsync #1 of b".to_owned()], false));
    }
}
