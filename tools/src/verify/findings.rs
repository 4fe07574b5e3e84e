//! What can be wrong with a store and its index, how bad it is, and the sentence that says so.
//!
//! What to do about it is in [`super::advice`].

use std::fmt;
use std::path::{Path, PathBuf};

use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use serde::{Serialize, Serializer};

use crate::shell::quoted;

/// How bad it is; the worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data are missing, damaged, or invisible to those who train with them.
    Error,
    /// Nothing is lost; left as it is, something may be.
    Warning,
    /// Worth knowing; nothing has to be done.
    Note,
}

/// An episode and where its archive lies, or should.
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

/// One thing that is not as it should be. Its name in JSON is the member `finding`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Nobody who reads the index knows of the archive.
    ArchiveWithoutRow(Subject),
    /// The same, but it came so short a time ago that its row may be on its way.
    RowPending(Subject),
    /// The index promises what is not there.
    RowWithoutArchive {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// What a copy must hash to; none where the row does not say.
        row_sha256: Option<Sha256Digest>,
    },
    /// The archive is shorter or longer than its row says; its hash need not be asked.
    SizeDiffers {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// What the row says.
        row_bytes: u64,
        /// What is there.
        file_bytes: u64,
    },
    /// The archive holds other bytes than its row says, at two reads.
    HashDiffers {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// What the row says.
        row_sha256: Sha256Digest,
        /// What the first read gave.
        first_read: Sha256Digest,
        /// What the second read gave.
        second_read: Sha256Digest,
    },
    /// One read gave other bytes, the next gave the right ones.
    ReadUnsteady {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// What the row says, and the second read gave.
        row_sha256: Sha256Digest,
        /// What the first read gave.
        first_read: Sha256Digest,
    },
    /// The archive is as its row says, and nothing that could be trained with.
    NoEpisode {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// Why it cannot be used.
        reason: String,
    },
    /// The meta.json of the archive names another episode.
    OtherEpisode {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// The episode that meta.json names.
        meta_episode_id: EpisodeId,
    },
    /// The gate judged another commit than the one that recorded the episode.
    OtherCommit {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// What the sender named, and the row says.
        row_commit: CommitHash,
        /// What meta.json says; none where it names none.
        meta_commit: Option<String>,
    },
    /// An archive of a copy that the index does not name.
    NotInIndex(Subject),
    /// An archive or a directory cannot be read.
    Unreadable {
        /// Which.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// Whether it was for want of permission.
        denied: bool,
    },
    /// There is no index, and archives that should have rows in it.
    IndexMissing {
        /// How many.
        archives: usize,
    },
    /// The index or its lock belongs to somebody else than their directory, in practice to root (incident 1).
    WrongOwner {
        /// Which of them.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// Whose it is.
        uid: u32,
        /// Whose it should be.
        expected_uid: u32,
    },
    /// Its owner cannot write it, or others can.
    WrongMode {
        /// Which of them.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// The mode, in octal.
        mode: String,
    },
    /// The last line of the index has no end.
    TornLine {
        /// Its number, from 1.
        line: u64,
    },
    /// A pair has a row already; the first one counts.
    SecondRow {
        /// The host.
        host_id: HostId,
        /// The episode.
        episode_id: EpisodeId,
        /// The number of the second line, from 1.
        line: u64,
        /// Whether both promise the same bytes.
        same_hash: bool,
    },
    /// Lines of the index that are no rows; readers skip them.
    NotRows {
        /// How many.
        lines: u64,
        /// The number of the first, from 1.
        first_line: u64,
    },
    /// Rows that promise no hash: nothing can be proven of their archives.
    RowsWithoutHash {
        /// How many.
        lines: u64,
        /// The number of the first, from 1.
        first_line: u64,
    },
    /// An upload that ended long ago left its bytes behind; they were never acknowledged.
    LeftOver {
        /// The file.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
    },
    /// Something other than a file lies where an archive should, and nobody reads it.
    Misplaced {
        /// Where.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// What it is.
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
    /// How bad it is.
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
                write!(f, "`{}` has the name of an archive and is {what}: it is not read", quoted(path))
            }
            Self::ForeignName { path } => {
                write!(f, "`{}` is no host, no archive and no upload", quoted(path))
            }
        }
    }
}

/// What two reads gave, none of which is right.
fn two_reads(first: &Sha256Digest, second: &Sha256Digest) -> String {
    match first == second {
        true => format!("two reads gave {first}"),
        false => format!("one read gave {first}, the next {second}"),
    }
}

/// A path in JSON, where what is not UTF-8 has no exact form.
fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}
