//! All points of an operation, each hit once with every fault that it can meet, and the account of it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::thread;

use super::aim::{Fired, Recording, Shot, aims, is_in_reach};
use super::object::Names;
use super::point::{Point, steps};
use super::schedule::Schedule;
use super::{Fault, Trace};

/// How often the operation is recorded. What only some of these runs do comes and goes with the schedule.
const RECORDINGS: usize = 3;

/// How many points are tried at the same time: a run mostly waits for disks and processes.
const AT_A_TIME: usize = 3;

/// How often one point is aimed at before it counts as one that never fires: with the best aim and with each of the
/// others under every schedule, several times.
const ATTEMPTS: usize = 84;

/// Fewer points than these mean that calls are overlooked, not that the program makes fewer.
#[derive(Debug, Clone, Copy)]
pub struct Least {
    /// Calls of the file system and the network.
    pub points: usize,
    /// Of these, what a bad disk can fail.
    pub eio: usize,
    /// Of these, what a full disk can fail.
    pub enospc: usize,
}

/// An operation whose calls are known.
pub struct Walk {
    operation: &'static str,
    names: Names,
    recordings: Vec<Recording>,
    points: BTreeSet<Point>,
    /// What not every recording has.
    comes_and_goes: BTreeSet<Point>,
    /// What cannot be singled out and does not need to be.
    out_of_reach: BTreeSet<Point>,
}

impl Walk {
    /// Records the operation by `record`, which runs it without a fault; every call of it becomes a point.
    ///
    /// A call that one of them lacks is named and not demanded: how rows fall into
    /// batches and bytes into reads depends on which thread was faster. A `close` that strace cannot tell from one of
    /// another thread is named as well; any other call that cannot be hit fails the walk.
    pub fn record(operation: &'static str, mut record: impl FnMut() -> (Trace, Names)) -> Self {
        let runs: Vec<_> = std::iter::repeat_with(&mut record).take(RECORDINGS).collect();
        let names = runs[0].1.clone();
        let recordings: Vec<Recording> = runs
            .into_iter()
            .map(|(trace, names)| Recording { steps: steps(&trace, &names), threads: trace.threads })
            .collect();
        let of = |recording: &Recording| -> BTreeSet<Point> {
            recording.steps.iter().filter_map(|step| step.point.clone()).collect()
        };
        let all: Vec<_> = recordings.iter().map(of).collect();
        let points = all.iter().skip(1).fold(all[0].clone(), |points, more| &points & more);
        let comes_and_goes = all.into_iter().flatten().filter(|point| !points.contains(point)).collect();
        let needs_no_aim =
            |point: &Point| point.is_made_by_dying() && !is_in_reach(point, &recordings, &names);
        let (out_of_reach, points) = points.into_iter().partition(needs_no_aim);
        Self { operation, names, recordings, points, comes_and_goes, out_of_reach }
    }

    /// Goes to every point with every fault that it can meet. `survives` runs the operation with the shot, asserts
    /// what must hold, and gives back where the fault came about.
    ///
    /// Returns the account, whose last line has the counts. Panics where a point was never hit, and names it. One that a
    /// run lacked which was left alone is named only, as is one that a recording lacked; so is a `close`, since the end
    /// of a process that is killed anywhere behind the call before it closes as well.
    pub fn walk(&self, least: Least, survives: impl Fn(&Shot) -> Fired + Sync) -> String {
        let mut account = String::new();
        for point in &self.comes_and_goes {
            let _ = writeln!(account, "{}: comes and goes, not demanded: {point}", self.operation);
        }
        for point in &self.out_of_reach {
            let _ = writeln!(account, "{}: cannot be told from another thread's: {point}", self.operation);
        }
        let mut line = format!("{}: {} points", self.operation, self.points.len());
        let mut missed = Vec::new();
        for (fault, least, lead) in [
            (Fault::Kill, least.points, ';'),
            (Fault::Eio, least.eio, ','),
            (Fault::Enospc, least.enospc, ','),
        ] {
            let wanted: BTreeSet<Point> =
                self.points.iter().filter(|point| point.can_meet(fault)).cloned().collect();
            assert!(wanted.len() >= least, "only {} points for {fault}:\n{}", wanted.len(), listed(&wanted));
            let Shots { fired, lacked, runs } = self.shoot(&wanted, fault, &survives);
            let _ = write!(line, "{lead} {fault} fired at {} of {}", fired.len(), wanted.len());
            let _ = writeln!(account, "{}: {fault}: {runs} runs for {} points", self.operation, wanted.len());
            for point in wanted.difference(&fired) {
                if lacked.contains(point) || point.is_made_by_dying() {
                    let _ = writeln!(account, "{}: {fault}: not hit, not demanded: {point}", self.operation);
                } else {
                    let aims = aims(point, &self.recordings, &self.names);
                    missed.push(format!("{fault} at {point}, by {aims:?}\n"));
                }
            }
        }
        account.push_str(&line);
        assert!(missed.is_empty(), "{account}\npoints that never fired:\n{}", missed.concat());
        account
    }

    /// The best aim every other time, the others in between; each under one schedule after the other.
    fn shot(&self, point: &Point, fault: Fault, attempt: usize) -> Shot {
        let (aims, pair) = (aims(point, &self.recordings, &self.names), attempt / 2);
        let (aim, round) =
            if attempt.is_multiple_of(2) { (0, pair) } else { (pair % aims.len(), pair / aims.len()) };
        let schedule = Schedule::ALL[round % Schedule::ALL.len()];
        Shot { point: point.clone(), fault, aim: aims[aim].clone(), schedule }
    }

    fn shoot(
        &self,
        wanted: &BTreeSet<Point>,
        fault: Fault,
        survives: &(impl Fn(&Shot) -> Fired + Sync),
    ) -> Shots {
        let queue = Mutex::new(wanted.iter().map(|point| (point, 0)).collect::<VecDeque<_>>());
        let account = Mutex::new(Shots::default());
        // In a function of its own, so that the lock is free again before the point is gone to.
        let next = || queue.lock().expect("no panic under it").pop_front();
        let work = || {
            while let Some((point, attempt)) = next() {
                if account.lock().expect("no panic under it").fired.contains(point) {
                    continue;
                }
                let fired = survives(&self.shot(point, fault, attempt));
                let mut account = account.lock().expect("no panic under it");
                account.runs += 1;
                account.lacked.extend(fired.lacked.then(|| point.clone()));
                account.fired.extend(fired.points.into_iter().filter(|point| wanted.contains(point)));
                if !account.fired.contains(point) && attempt + 1 < ATTEMPTS {
                    queue.lock().expect("no panic under it").push_back((point, attempt + 1));
                }
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                if let Err(panic) = worker.join() {
                    // The first failure is told; the others would only go on for minutes.
                    queue.lock().expect("no panic under it").clear();
                    std::panic::resume_unwind(panic);
                }
            }
        });
        account.into_inner().expect("no panic under it")
    }
}

/// What the shots at the points of a walk came to.
#[derive(Default)]
struct Shots {
    /// The wanted points that were hit.
    fired: BTreeSet<Point>,
    /// Those that were aimed at in a run which did not come to them.
    lacked: BTreeSet<Point>,
    runs: usize,
}

/// A line for each point.
fn listed(points: &BTreeSet<Point>) -> String {
    points.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
