//! Visits all points of an operation with every fault that can occur there, and writes the account.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::thread;

use super::aim::{Fired, Recording, Shot, aims, is_in_reach};
use super::object::Names;
use super::point::{Point, steps};
use super::schedule::Schedule;
use super::{Fault, Trace};

/// Number of recordings of the operation. A point that is missing from some of them depends on the schedule.
const RECORDINGS: usize = 3;

/// Number of points that are tried at the same time, because a run mostly waits for disks and processes.
const AT_A_TIME: usize = 3;

/// Maximum number of attempts at one point. They use the best aim and each of the others under every schedule, several
/// times.
const ATTEMPTS: usize = 84;

/// Minimum numbers of points. Fewer mean that calls are overlooked, not that the program makes fewer.
#[derive(Debug, Clone, Copy)]
pub struct Least {
    /// Calls of the file system and the network.
    pub points: usize,
    /// The points among them that a bad disk can fail.
    pub eio: usize,
    /// The points among them that a full disk can fail.
    pub enospc: usize,
}

/// An operation whose calls are known.
pub struct Walk {
    operation: &'static str,
    names: Names,
    recordings: Vec<Recording>,
    points: BTreeSet<Point>,
    /// The points that some recordings lack.
    comes_and_goes: BTreeSet<Point>,
    /// The points that cannot be hit alone and need not be.
    out_of_reach: BTreeSet<Point>,
}

impl Walk {
    /// Records the operation several times. `record` runs it without a fault, and each of its calls becomes a point.
    ///
    /// The account names a call that a recording lacks, but the walk does not demand it. The order of the threads
    /// decides how rows fall into batches and bytes into reads. The account also names a `close` that strace cannot
    /// distinguish from one of another thread. Any other call that cannot be hit fails the walk.
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

    /// Visits every point with every fault that can occur there. `survives` runs the operation with the shot, asserts
    /// what must hold, and returns the points at which the fault occurred.
    ///
    /// Returns the account, whose last line has the counts. Panics if a point was never hit, and names it. The account
    /// only names a point that a run without a fault did not reach, or that a recording lacks. The same holds for a
    /// `close`, because the end of a killed process closes descriptors as well.
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

    /// Returns the shot of an attempt: every other one with the best aim, the others in turn, under each schedule in
    /// turn.
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
        // A separate closure, so that the lock is released before the point is visited.
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
                    // The first failure is reported. Further points would only take more minutes.
                    queue.lock().expect("no panic under it").clear();
                    std::panic::resume_unwind(panic);
                }
            }
        });
        account.into_inner().expect("no panic under it")
    }
}

/// The results of all shots of one walk.
#[derive(Default)]
struct Shots {
    /// The wanted points that were hit.
    fired: BTreeSet<Point>,
    /// The points that a shot aimed at in a run that did not reach them.
    lacked: BTreeSet<Point>,
    runs: usize,
}

/// Returns one line for each point.
fn listed(points: &BTreeSet<Point>) -> String {
    points.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
