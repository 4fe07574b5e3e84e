//! The store against its index, both ways. Pure: the caller looks at the files.
//!
//! Store and index are never read at the same moment. So a difference counts only if a second look at the file, after
//! the index was read to its new end, still shows it.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cis490_receiver::store::scan::{Archive, Failure, Misplaced};
use cis490_shared::ids::{EpisodeId, HostId};

use super::custody::Custody;
use super::findings::{Finding, Subject};
use super::ledger::Ledger;
use super::shelf::{Seen, Shelf, Shelved};

/// A second look at a file; `None` if there is no file.
pub type Inspect<'a> = &'a dyn Fn(&Path) -> io::Result<Option<Seen>>;

/// The two sides of a comparison, at the last look.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The files in the store.
    pub shelf: &'a Shelf,
    /// The promises of the index.
    pub ledger: &'a Ledger,
    /// The time of the last look.
    pub now: SystemTime,
    /// How long an archive may be without its row, because a receiver syncs between the two.
    pub settle: Duration,
}

/// Returns all differences of store and index, by host and episode. Calls `inspect` for each suspect.
pub fn compare(compared: Compared<'_>, inspect: Inspect<'_>) -> Vec<Finding> {
    let Compared { shelf, ledger, .. } = compared;
    let archives = shelf.archives().iter().filter_map(|shelved| compared.archive(shelved, inspect));
    let mut rows: Vec<_> = ledger.pairs().filter(|(host, episode)| !shelf.holds(host, episode)).collect();
    rows.sort_unstable();
    let rows = rows.into_iter().filter_map(|(host, episode)| compared.row(host, episode, inspect));
    archives.chain(rows).chain(compared.missing_index()).collect()
}

/// Returns the faults of the archives of a copy. Calls `inspect` for each suspect.
pub fn compare_copy(compared: Compared<'_>, inspect: Inspect<'_>) -> Vec<Finding> {
    let archives = compared.shelf.archives().iter();
    let findings = archives.filter_map(|shelved| match compared.archive(shelved, inspect)? {
        Finding::ArchiveWithoutRow(subject) | Finding::RowPending(subject) => {
            Some(Finding::NotInIndex(subject))
        }
        // It was removed meanwhile.
        Finding::RowWithoutArchive { .. } => None,
        finding => Some(finding),
    });
    findings.collect()
}

impl Compared<'_> {
    /// Returns the fault of an archive that was found, if any.
    fn archive(self, shelved: &Shelved, inspect: Inspect<'_>) -> Option<Finding> {
        let archive = &shelved.archive;
        let promise = self.ledger.get(&archive.host_id, &archive.episode_id);
        match promise {
            None if self.ledger.is_missing() => return None,
            Some(promise) if promise.size_bytes.is_none_or(|size| size == shelved.seen.size_bytes) => {
                return None;
            }
            _ => {}
        }
        let seen = match inspect(&archive.path) {
            Ok(seen) => seen,
            Err(error) => return Some(unreadable(&archive.path, &error)),
        };
        match (promise.map(|promise| promise.size_bytes), seen) {
            // It disappeared meanwhile, which is a fault only if it has a row.
            (None, None) => None,
            (Some(_), None) => self.row(&archive.host_id, &archive.episode_id, &|_| Ok(None)),
            (None, Some(seen)) => {
                // A time of change in the future comes from a clock that was set back.
                let age = self.now.duration_since(seen.changed).unwrap_or_default();
                let finding =
                    if age < self.settle { Finding::RowPending } else { Finding::ArchiveWithoutRow };
                Some(finding(subject_of(archive)))
            }
            (Some(size), Some(seen)) => size.filter(|size| *size != seen.size_bytes).map(|row_bytes| {
                Finding::SizeDiffers { subject: subject_of(archive), row_bytes, file_bytes: seen.size_bytes }
            }),
        }
    }

    /// Returns the fault of a row whose archive was not found, if any.
    fn row(self, host: &HostId, episode: &EpisodeId, inspect: Inspect<'_>) -> Option<Finding> {
        let path = self.shelf.path_of(host, episode);
        match inspect(&path) {
            // It appeared after the walk.
            Ok(Some(_)) => None,
            Ok(None) => Some(Finding::RowWithoutArchive {
                subject: Subject { host_id: host.clone(), episode_id: episode.clone(), path },
                row_sha256: self.ledger.get(host, episode).and_then(|promise| promise.sha256),
            }),
            // Reported already, for the file or for its directory.
            Err(_) if self.is_hidden(&path) => None,
            Err(error) => Some(unreadable(&path, &error)),
        }
    }

    fn is_hidden(self, path: &Path) -> bool {
        self.shelf.hidden.iter().any(|failure| path.starts_with(&failure.path))
    }

    fn missing_index(self) -> Option<Finding> {
        let archives = self.shelf.archives().len();
        (self.ledger.is_missing() && archives > 0).then_some(Finding::IndexMissing { archives })
    }
}

/// Returns the faults in the lines of the index.
pub fn in_index(ledger: &Ledger) -> Vec<Finding> {
    let torn = ledger.torn_line().map(|line| Finding::TornLine { line });
    let second = ledger.second_rows().iter().map(|row| Finding::SecondRow {
        host_id: row.pair.0.clone(),
        episode_id: row.pair.1.clone(),
        line: row.line,
        same_hash: row.same_hash,
    });
    let (junk, unproven) = (ledger.not_rows(), ledger.unproven());
    let junk = (junk.count > 0).then_some(Finding::NotRows { lines: junk.count, first_line: junk.first });
    let unproven = (unproven.count > 0)
        .then_some(Finding::RowsWithoutHash { lines: unproven.count, first_line: unproven.first });
    torn.into_iter().chain(second).chain(junk).chain(unproven).collect()
}

/// Returns the faults of owners and modes.
pub fn in_custody(files: &[Custody]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for custody @ Custody { path, file, dir } in files {
        if custody.is_foreign() {
            findings.push(Finding::WrongOwner { path: path.clone(), uid: file.uid, expected_uid: dir.uid });
        }
        if custody.is_open_or_shut() {
            findings.push(Finding::WrongMode { path: path.clone(), mode: format!("{:04o}", file.mode) });
        }
    }
    findings
}

/// Returns the uploads that ended and left their bytes behind.
pub fn left_over(shelf: &Shelf) -> Vec<Finding> {
    shelf.left_over.iter().map(|path| Finding::LeftOver { path: path.clone() }).collect()
}

/// Returns the other entries of the store, and those that cannot be read.
pub fn in_store(shelf: &Shelf) -> Vec<Finding> {
    let hidden = shelf.hidden.iter().map(|Failure { path, source }| unreadable(path, source));
    let foreign = shelf.foreign.iter().map(|path| Finding::ForeignName { path: path.clone() });
    let misplaced = shelf
        .misplaced
        .iter()
        .map(|Misplaced { path, what }| Finding::Misplaced { path: path.clone(), what: what.0 });
    hidden.chain(misplaced).chain(foreign).collect()
}

/// Returns the finding for a file or directory that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Finding {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    Finding::Unreadable { path: path.to_owned(), reason: error.to_string(), denied }
}

/// Returns the archive as the subject of a finding.
pub fn subject_of(archive: &Archive) -> Subject {
    let Archive { host_id, episode_id, path } = archive.clone();
    Subject { host_id, episode_id, path }
}

#[cfg(test)]
mod tests;
