//! Which archives are read again, and what that showed.
//!
//! The run can be kept in a file and gone on with; which files are read and how is [`super::rehash`]'s to do.

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

/// What was read again.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Archives that are as their rows say.
    pub archives: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were read before the run was interrupted.
    pub earlier: u64,
    /// The sample that was drawn.
    pub sample: Option<Sample>,
    /// Whether they were opened as well.
    pub deep: bool,
}

/// A sample, so that it can be drawn again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Which part.
    pub percent: Percent,
    /// Of how many archives.
    pub of: usize,
    /// With what.
    pub seed: u64,
}

/// What came out of reading.
#[derive(Debug, Default)]
pub struct Reread {
    /// What is not as its row says, in the order of the archives.
    pub findings: Vec<Finding>,
    /// Archives that were gone when their turn came.
    pub gone: Vec<Pair>,
    /// What is as its row says; none where nothing was to be read.
    pub proof: Option<Proof>,
    /// The file of the run, to be removed when its findings were told.
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
    // They came in the order in which the threads were done.
    found.sort_unstable_by_key(|(position, _)| *position);
    reread.findings = found.into_iter().map(|(_, finding)| finding).collect();
    Ok(reread)
}

impl Reread {
    /// The seed and the mark to begin with.
    fn begin(&mut self, request: &Request, hashing: &Hashing) -> Result<(u64, Mark), ResumeError> {
        let seed = hashing.seed.unwrap_or(hashing.fresh_seed);
        let Some(path) = &hashing.resume else { return Ok((seed, Mark::default())) };
        let (file, mark) = ResumeFile::open(path, run_of(request, hashing, seed), hashing.seed)?;
        let seed = file.seed().unwrap_or(seed);
        self.resume = Some(file);
        Ok((seed, mark))
    }

    /// Writes the state. A disk that is full in the middle of a long run is no reason to give up what was found.
    fn keep(&mut self, save: impl FnOnce(&mut ResumeFile) -> Result<(), ResumeError>) {
        if let (Some(file), None) = (&mut self.resume, &self.unsaved) {
            self.unsaved = save(file).err();
        }
    }
}

/// The archives whose hash can be compared with that of their row, and those that can be opened without one. Where the
/// sizes differ, the hash is no question.
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

/// All candidates, or a sample of them.
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

/// What is to be told of an archive that was read; of one that is gone the last look tells.
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
    // A path that cannot be made absolute is told as it is: it cannot be walked either.
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
