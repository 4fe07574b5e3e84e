//! The choice of archives to read again, and the results.
//!
//! The state of the run can be kept in a file and resumed. [`super::rehash`] reads the files.

use std::path::Path;

use cis490_receiver::store::reconcile::Pair;
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::compare::{subject_of, unreadable};
use super::deep::Fault;
use super::findings::Finding;
use super::ledger::Ledger;
use super::progress::{Mark, Progress};
use super::rehash::{Manner, Outcome, Target, rehash};
use super::request::{CheckError, Hashing, Request};
use super::resume::{ResumeError, ResumeFile, Run};
use super::sample::{Percent, draw};
use super::shelf::{Shelf, Shelved};
use super::since::is_since;
use super::throttle::Throttle;

/// The archives that were read again.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Archives that match their rows.
    pub archives: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The number of these that were read before the run was interrupted.
    pub earlier: u64,
    /// The sample that was drawn.
    pub sample: Option<Sample>,
    /// True if they were also decoded.
    pub deep: bool,
}

/// The parameters of a sample, so that it can be drawn again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The part that was drawn.
    pub percent: Percent,
    /// The number of archives that it was drawn from.
    pub of: usize,
    /// The seed.
    pub seed: u64,
}

/// The result of reading.
#[derive(Debug, Default)]
pub struct Reread {
    /// The faults, in the order of the archives.
    pub findings: Vec<Finding>,
    /// Archives that were gone when their turn came.
    pub gone: Vec<Pair>,
    /// The archives that match their rows; `None` if none were to be read.
    pub proof: Option<Proof>,
    /// The state file of the run, to be removed after its findings were reported.
    pub resume: Option<ResumeFile>,
    /// Why that file is not current.
    pub unsaved: Option<ResumeError>,
}

/// Reads the chosen archives. Blocks.
pub fn reread(
    request: &Request,
    hashing: &Hashing,
    shelf: &Shelf,
    ledger: &Ledger,
    bar: &ProgressBar,
) -> Result<Reread, CheckError> {
    let mut reread = Reread::default();
    let (seed, mark) = reread.begin(request, hashing)?;
    let (mut targets, sample) = choose(candidates(shelf, ledger, hashing), hashing.sample, seed);
    targets.retain(|target| mark.leaves(&pair_of(target)));
    bar.set_length(targets.iter().map(|target| target.size_bytes).sum());

    let earlier = mark.archives;
    let mut progress = Progress::new(mark, &targets);
    let mut found = Vec::new();
    let mut done = |position: usize, outcome: Outcome| {
        progress.done(position, matches!(outcome, Outcome::Good));
        reread.keep(|file| file.save_if_due(progress.mark()));
        let Some(target) = targets.get(position) else { return };
        if matches!(outcome, Outcome::Gone) {
            reread.gone.push(pair_of(target));
        }
        found.extend(finding_of(target, outcome).map(|finding| (position, finding)));
    };
    let (jobs, throttle) = (hashing.jobs, Throttle::new(hashing.rate));
    let manner = Manner { jobs, throttle: &throttle, bar, is_deep: hashing.deep };
    rehash(&targets, manner, &mut done).map_err(CheckError::Thread)?;
    reread.keep(|file| file.save(progress.mark()));

    let Mark { archives, bytes, .. } = *progress.mark();
    reread.proof = Some(Proof { archives, bytes, earlier, sample, deep: hashing.deep });
    // The threads finished in any order.
    found.sort_unstable_by_key(|(position, _)| *position);
    reread.findings = found.into_iter().map(|(_, finding)| finding).collect();
    Ok(reread)
}

impl Reread {
    /// Returns the initial seed and mark.
    fn begin(&mut self, request: &Request, hashing: &Hashing) -> Result<(u64, Mark), ResumeError> {
        let seed = hashing.seed.unwrap_or(hashing.fresh_seed);
        let Some(path) = &hashing.resume else { return Ok((seed, Mark::default())) };
        let (file, mark) = ResumeFile::open(path, run_of(request, hashing, seed), hashing.seed)?;
        let seed = file.seed().unwrap_or(seed);
        self.resume = Some(file);
        Ok((seed, mark))
    }

    /// Writes the state. A failure, such as a full disk, must not lose the findings of a long run.
    fn keep(&mut self, save: impl FnOnce(&mut ResumeFile) -> Result<(), ResumeError>) {
        if let (Some(file), None) = (&mut self.resume, &self.unsaved) {
            self.unsaved = save(file).err();
        }
    }
}

/// Returns the archives that have a hash in their row, or with `--deep` any row. Archives of a wrong size are left out,
/// because their hash differs too.
fn candidates<'a>(shelf: &'a Shelf, ledger: &'a Ledger, hashing: &Hashing) -> Vec<Target<'a>> {
    let target = |shelved: &'a Shelved| {
        let (archive, seen) = (&shelved.archive, shelved.seen);
        let promise = ledger.get(&archive.host_id, &archive.episode_id)?;
        let is_chosen = promise.size_bytes.is_none_or(|size| size == seen.size_bytes)
            && hashing.since.is_none_or(|since| is_since(since, promise.received_at, seen.modified))
            && (hashing.deep || promise.sha256.is_some());
        let (sha256, commit) = (promise.sha256, ledger.commit(promise));
        is_chosen.then_some(Target { archive, size_bytes: seen.size_bytes, sha256, commit })
    };
    shelf.archives().iter().filter_map(target).collect()
}

/// Returns all candidates, or a sample of them.
fn choose(
    candidates: Vec<Target<'_>>,
    part: Option<Percent>,
    seed: u64,
) -> (Vec<Target<'_>>, Option<Sample>) {
    let Some(percent) = part else { return (candidates, None) };
    let positions = draw(percent, candidates.len(), &mut StdRng::seed_from_u64(seed));
    let sample = Sample { percent, of: candidates.len(), seed };
    (positions.into_iter().filter_map(|at| candidates.get(at).copied()).collect(), Some(sample))
}

/// Returns the finding for an archive that was read. The last look reports one that is gone.
fn finding_of(target: &Target<'_>, outcome: Outcome) -> Option<Finding> {
    let subject = subject_of(target.archive);
    match outcome {
        Outcome::Good | Outcome::Gone => None,
        Outcome::Odd(Fault::NoEpisode(reason)) => Some(Finding::NoEpisode { subject, reason }),
        Outcome::Odd(Fault::OtherEpisode(meta_episode_id)) => {
            Some(Finding::OtherEpisode { subject, meta_episode_id })
        }
        Outcome::Odd(Fault::OtherCommit(meta_commit)) => {
            Some(Finding::OtherCommit { subject, row_commit: target.commit?.clone(), meta_commit })
        }
        Outcome::Damaged { first, second } => Some(Finding::HashDiffers {
            subject,
            row_sha256: target.sha256?,
            first_read: first,
            second_read: second,
        }),
        Outcome::Unsteady { first } => {
            Some(Finding::ReadUnsteady { subject, row_sha256: target.sha256?, first_read: first })
        }
        Outcome::Unread(error) => Some(unreadable(&target.archive.path, &error)),
    }
}

fn pair_of(target: &Target<'_>) -> Pair {
    (target.archive.host_id.clone(), target.archive.episode_id.clone())
}

fn run_of(request: &Request, hashing: &Hashing, seed: u64) -> Run {
    // A path that cannot be made absolute stays as it is: it cannot be walked either.
    let absolute = |path: &Path| {
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
    };
    Run {
        episodes_root: absolute(&request.episodes_root),
        index: absolute(&request.index),
        host: request.host.clone(),
        since: hashing.since.map(|since| since.to_string()),
        sample: hashing.sample.map(|sample| sample.to_string()),
        seed: hashing.sample.map(|_| seed),
        deep: hashing.deep,
    }
}
