//! One run, from its first look to its last.
//!
//! The run walks the store, reads the index, and reads the archives again. Then it looks at both once more, and reports
//! only faults that still exist. Random numbers, the clock and the progress bar are parameters.

use std::time::SystemTime;

use cis490_receiver::startup;
use cis490_shared::ids::{EpisodeId, HostId};
use indicatif::ProgressBar;

use super::compare::{
    Compared, compare, compare_copy, in_custody, in_index, in_store, left_over, unreadable,
};
use super::custody;
use super::findings::Finding;
use super::ledger::Ledger;
use super::request::{CheckError, Request};
use super::reread::{Proof, Reread, reread};
use super::resume::{ResumeError, ResumeFile};
use super::shelf::{self, Shelf};

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// The faults, the worst first.
    pub findings: Vec<Finding>,
    /// The number of archives.
    pub archives: usize,
    /// The number of rows.
    pub rows: u64,
    /// The number of archives that are in the index but not in the copy.
    pub absent: Option<usize>,
    /// The archives that were read again; `None` if none were to be read.
    pub proof: Option<Proof>,
    /// The time when the last look ended.
    pub ended: SystemTime,
    /// Why the state file was not up to date.
    pub unsaved: Option<ResumeError>,
    resume: Option<ResumeFile>,
}

/// Checks a store and its index. Blocks until the archives are read.
pub fn check(request: &Request, bar: &ProgressBar) -> Result<Report, CheckError> {
    let Request { episodes_root, index, host, hashing, clock, is_copy, .. } = request;
    let shelf = Shelf::survey(episodes_root, host.as_ref(), clock())?;
    let ledger = Ledger::read(index, host.as_ref())?;
    if *is_copy && ledger.is_missing() {
        return Err(CheckError::NoIndex(index.clone()));
    }
    let read = match hashing {
        None => Reread::default(),
        Some(hashing) => {
            startup::self_test_sha256()?;
            reread(request, hashing, &shelf, &ledger, bar)?
        }
    };
    final_check(request, shelf, ledger, read)
}

/// Looks at all suspects once more and collects the faults that still exist.
fn final_check(
    request: &Request,
    mut shelf: Shelf,
    mut ledger: Ledger,
    read: Reread,
) -> Result<Report, CheckError> {
    let Request { index, settle, clock, .. } = request;
    read.gone.iter().for_each(|pair| shelf.forget(pair));
    ledger.catch_up(index)?;
    let compared = Compared { shelf: &shelf, ledger: &ledger, now: clock(), settle: *settle };
    let mut findings = read.findings;
    // A copy is checked for bad archives only: owners, lines of the index and uploads belong to the collector.
    if request.is_copy {
        findings.extend(compare_copy(compared, &shelf::inspect));
    } else {
        findings.extend(compare(compared, &shelf::inspect));
        findings.extend(match custody::inspect(index) {
            Ok(files) => in_custody(&files),
            Err(error) => vec![unreadable(index, &error)],
        });
        findings.extend(in_index(&ledger));
        findings.extend(left_over(&shelf));
    }
    findings.extend(in_store(&shelf));
    // Stable, so that findings of a severity stay in the order of the checks.
    findings.sort_by_key(Finding::severity);
    let (archives, rows) = (shelf.archives().len(), ledger.rows());
    let ended = clock();
    let is_absent = |(host, episode): &(&HostId, &EpisodeId)| !shelf.holds(host, episode);
    let absent = request.is_copy.then(|| ledger.pairs().filter(is_absent).count());
    Ok(Report {
        findings,
        absent,
        archives,
        rows,
        proof: read.proof,
        ended,
        unsaved: read.unsaved,
        resume: read.resume,
    })
}

impl Report {
    /// Removes the state file after the findings were reported, so that the next run begins anew.
    pub fn finish(self) -> Result<(), ResumeError> {
        self.resume.map_or(Ok(()), ResumeFile::remove)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::fs;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::verify::request::Hashing;

    /// Creates a store with `h/e1` to `h/e3`, each with a row for the bytes `abc`.
    fn store() -> (tempfile::TempDir, Request) {
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let dir = tempfile::tempdir().unwrap();
        let (episodes_root, index) = (dir.path().join("episodes"), dir.path().join("index.jsonl"));
        fs::create_dir_all(episodes_root.join("h")).unwrap();
        let row = |n: u32| {
            fs::write(episodes_root.join(format!("h/e{n}.tar.zst")), "abc").unwrap();
            format!("{{\"host_id\":\"h\",\"episode_id\":\"e{n}\",\"sha256\":\"{ABC}\"}}\n")
        };
        fs::write(&index, (1..=3).map(row).collect::<String>()).unwrap();
        let hashing = Hashing {
            since: None,
            sample: None,
            seed: None,
            fresh_seed: 0,
            jobs: NonZeroUsize::MIN,
            rate: None,
            deep: false,
            resume: None,
        };
        let clock = || SystemTime::UNIX_EPOCH;
        let settle = Duration::ZERO;
        let hashing = Some(hashing);
        (dir, Request { episodes_root, index, is_copy: false, host: None, settle, hashing, clock })
    }

    #[test]
    fn an_archive_that_goes_before_its_turn_is_missed_at_the_final_check_unless_it_came_back() {
        for came_back in [false, true] {
            let (_dir, request) = store();
            let shelf = Shelf::survey(&request.episodes_root, None, SystemTime::UNIX_EPOCH).unwrap();
            let ledger = Ledger::read(&request.index, None).unwrap();
            let gone = request.episodes_root.join("h/e2.tar.zst");
            fs::remove_file(&gone).unwrap();
            let hashing = request.hashing.as_ref().unwrap();
            let read = reread(&request, hashing, &shelf, &ledger, &ProgressBar::hidden()).unwrap();
            assert_eq!((read.gone.len(), read.findings.len()), (1, 0), "nobody is accused yet");
            assert_eq!(read.proof.as_ref().unwrap().archives, 2);
            if came_back {
                fs::write(&gone, "abc").unwrap();
            }
            let report = final_check(&request, shelf, ledger, read).unwrap();
            let told: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
            match came_back {
                true => assert_eq!(told, [""; 0]),
                false => assert!(
                    told.len() == 1 && told[0].starts_with("h/e2 has a row and no archive"),
                    "{told:?}"
                ),
            }
        }
    }
}
