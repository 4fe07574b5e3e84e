//! The possible faults of a store and its index, each with its severity and its message.
//!
//! The next steps are in [`super::advice`].

use std::fmt;
use std::path::{Path, PathBuf};

use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use serde::{Serialize, Serializer};

use crate::shell::quoted;

/// The severity of a finding; the worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data are missing, damaged, or invisible to readers of the index.
    Error,
    /// No data are lost, but may be if nobody acts.
    Warning,
    /// No action is needed.
    Note,
}

/// An episode and the path of its archive, even if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The host.
    pub host_id: HostId,
    /// The episode.
    pub episode_id: EpisodeId,
    /// The archive.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
}

/// A fault. Its name in JSON is the member `finding`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// The archive has no row, so readers of the index do not find it.
    ArchiveWithoutRow(Subject),
    /// The archive has no row yet, but it is new and its row may follow.
    RowPending(Subject),
    /// A row has no archive.
    RowWithoutArchive {
        /// The episode.
        #[serde(flatten)]
        subject: Subject,
        /// The hash that a copy must have, if the row holds one.
        row_sha256: Option<Sha256Digest>,
    },
    /// The archive is shorter or longer than its row says, so it is not hashed.
    SizeDiffers {
        /// The episode.
        #[serde(flatten)]
        subject: Subject,
        /// The size in the row.
        row_bytes: u64,
        /// The size of the file.
        file_bytes: u64,
    },
    /// The archive has another hash than its row, at two reads.
    HashDiffers {
        /// The episode.
        #[serde(flatten)]
        subject: Subject,
        /// The hash in the row.
        row_sha256: Sha256Digest,
        /// The hash of the first read.
        first_read: Sha256Digest,
        /// The hash of the second read.
        second_read: Sha256Digest,
    },
    /// One read gave another hash, the next gave the right one.
    ReadUnsteady {
        /// The episode.
        #[serde(flatten)]
        subject: Subject,
        /// The hash in the row and of the second read.
        row_sha256: Sha256Digest,
        /// The hash of the first read.
        first_read: Sha256Digest,
    },
    /// The archive matches its row, but cannot be used for training.
    NoEpisode {
        /// The episode.
        #[serde(flatten)]
        subject: Subject,
        /// Why it cannot be used.
        reason: String,
    },
    /// The meta.json of the archive names another episode.
    OtherEpisode {
        /// The episode.
        #[serde(flatten)]
        subject: Subject,
        /// The episode that meta.json names.
        meta_episode_id: EpisodeId,
    },
    /// The gate judged another commit than the one that recorded the episode.
    OtherCommit {
        /// The episode.
        #[serde(flatten)]
        subject: Subject,
        /// The commit that the sender named, which is in the row.
        row_commit: CommitHash,
        /// The commit in meta.json, if it names one.
        meta_commit: Option<String>,
    },
    /// An archive of a copy that the index does not name.
    NotInIndex(Subject),
    /// An archive or a directory cannot be read.
    Unreadable {
        /// The path.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// The error from the system.
        reason: String,
        /// True if permission is missing.
        denied: bool,
    },
    /// The index is missing, and there are archives that should have rows.
    IndexMissing {
        /// The number of archives.
        archives: usize,
    },
    /// The index or its lock has another owner than their directory, in practice root (incident 1).
    WrongOwner {
        /// The index or the lock.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// The owner.
        uid: u32,
        /// The owner that it should have.
        expected_uid: u32,
    },
    /// The owner of the index or its lock cannot write it, or others can.
    WrongMode {
        /// The index or the lock.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// The mode, in octal.
        mode: String,
    },
    /// The last line of the index lacks its newline.
    TornLine {
        /// Its number, from 1.
        line: u64,
    },
    /// A second row of a pair; the first one counts.
    SecondRow {
        /// The host.
        host_id: HostId,
        /// The episode.
        episode_id: EpisodeId,
        /// The line number of the second row, from 1.
        line: u64,
        /// True if both rows have the same hash.
        same_hash: bool,
    },
    /// Lines of the index that are no rows; readers skip them.
    NotRows {
        /// The number of lines.
        lines: u64,
        /// The line number of the first, from 1.
        first_line: u64,
    },
    /// Rows without a hash, so that their archives cannot be checked.
    RowsWithoutHash {
        /// The number of rows.
        lines: u64,
        /// The line number of the first, from 1.
        first_line: u64,
    },
    /// Bytes left behind by an upload that ended long ago; they were never acknowledged.
    LeftOver {
        /// The file.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
    },
    /// An entry with the name of an archive that is no regular file, so that nobody reads it.
    Misplaced {
        /// The path.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// The kind of entry.
        what: &'static str,
    },
    /// A name in the store that no receiver gives.
    ForeignName {
        /// The file or directory.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
    },
}

impl Finding {
    /// Returns the severity of the finding.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::ArchiveWithoutRow(_)
            | Self::RowWithoutArchive { .. }
            | Self::SizeDiffers { .. }
            | Self::HashDiffers { .. }
            | Self::NoEpisode { .. }
            | Self::OtherEpisode { .. }
            | Self::OtherCommit { .. }
            | Self::Unreadable { .. }
            | Self::IndexMissing { .. }
            | Self::WrongOwner { .. } => Severity::Error,
            Self::ReadUnsteady { .. }
            | Self::NotInIndex(_)
            | Self::WrongMode { .. }
            | Self::TornLine { .. }
            | Self::SecondRow { same_hash: false, .. }
            | Self::LeftOver { .. }
            | Self::Misplaced { .. } => Severity::Warning,
            Self::RowPending(_)
            | Self::SecondRow { same_hash: true, .. }
            | Self::NotRows { .. }
            | Self::RowsWithoutHash { .. }
            | Self::ForeignName { .. } => Severity::Note,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host_id, self.episode_id)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArchiveWithoutRow(subject) => write!(f, "{subject} has an archive and no row"),
            Self::RowPending(subject) => write!(f, "{subject} has no row yet, it came only a moment ago"),
            Self::RowWithoutArchive { subject, row_sha256 } => {
                let hash = row_sha256.map(|sha256| format!("; the row says sha256 {sha256}"));
                write!(f, "{subject} has a row and no archive{}", hash.unwrap_or_default())
            }
            Self::SizeDiffers { subject, row_bytes, file_bytes } => {
                write!(f, "{subject} is damaged: it has {file_bytes} bytes, its row says {row_bytes}")
            }
            Self::HashDiffers { subject, row_sha256, first_read, second_read } => {
                let reads = two_reads(first_read, second_read);
                write!(f, "{subject} is damaged: its row says sha256 {row_sha256}, {reads}")
            }
            Self::ReadUnsteady { subject, row_sha256, first_read } => write!(
                f,
                "{subject} matches its row, but one read gave sha256 {first_read} before the next gave \
                 {row_sha256}: do not trust the disk or the memory of this machine"
            ),
            Self::NoEpisode { subject, reason } => {
                write!(f, "{subject} matches its row, but is not a usable episode: {reason}")
            }
            Self::OtherEpisode { subject, meta_episode_id } => {
                write!(f, "{subject} holds another episode: its meta.json names {meta_episode_id}")
            }
            Self::OtherCommit { subject, row_commit, meta_commit } => {
                let recorded = meta_commit.as_deref().unwrap_or("none");
                write!(
                    f,
                    "{subject} was admitted for commit {row_commit}, and its meta.json names {recorded}"
                )
            }
            Self::NotInIndex(subject) => {
                write!(f, "{subject} is not in this index, so it cannot be checked")
            }
            Self::Unreadable { path, reason, .. } => write!(f, "`{}` cannot be read: {reason}", quoted(path)),
            Self::IndexMissing { archives } => {
                write!(f, "there is no index; archives without a row: {archives}")
            }
            Self::WrongOwner { path, uid, expected_uid } => write!(
                f,
                "`{}` belongs to user {uid} and its directory to user {expected_uid}, who is the receiver",
                quoted(path)
            ),
            Self::WrongMode { path, mode } => write!(
                f,
                "`{}` has mode {mode}: its owner must be able to write it, and nobody else",
                quoted(path)
            ),
            Self::TornLine { line } => write!(f, "the last line of the index, {line}, is torn"),
            Self::SecondRow { host_id, episode_id, line, same_hash } => {
                let promise = if *same_hash { "the same hash" } else { "another hash" };
                write!(
                    f,
                    "{host_id}/{episode_id} has a second row in line {line} with {promise}; the first one counts"
                )
            }
            Self::NotRows { lines, first_line } => write!(
                f,
                "{lines} lines of the index are no rows and are skipped, the first is line {first_line}"
            ),
            Self::RowsWithoutHash { lines, first_line } => {
                write!(f, "{lines} rows have no valid hash, the first is in line {first_line}")
            }
            Self::LeftOver { path } => {
                write!(f, "`{}` was left behind by an upload that ended over a day ago", quoted(path))
            }
            Self::Misplaced { path, what } => {
                write!(
                    f,
                    "`{}` has the name of an archive or of a host and is {what}: it is not read",
                    quoted(path)
                )
            }
            Self::ForeignName { path } => {
                write!(f, "`{}` is no host, no archive and no upload", quoted(path))
            }
        }
    }
}

/// Describes the results of two reads, both wrong.
fn two_reads(first: &Sha256Digest, second: &Sha256Digest) -> String {
    match first == second {
        true => format!("two reads gave {first}"),
        false => format!("one read gave {first}, the next {second}"),
    }
}

/// Writes a path as text, because JSON cannot hold bytes that are not UTF-8.
fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}
