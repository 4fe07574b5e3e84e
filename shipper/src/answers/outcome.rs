//! The outcome of one attempt to ship an episode.
//!
//! Pure types: [`judge`](super::judge) finds the outcome in an answer, and the queue decides what follows from it.

use std::time::Duration;

use cis490_shared::ids::CommitHash;
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use cis490_shared::wire::headers::CommitPosition;
use cis490_shared::wire::problem::ErrorCode;
use serde::{Deserialize, Serialize};

/// The outcome of one attempt to ship an episode. It states facts; the queue decides what follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// 201: the episode is durable at the receiver.
    Stored(Shipped),
    /// These bytes were stored before: 200 or another success, or a HEAD that named their hash.
    AlreadyPresent(Shipped),
    /// Another try would fail too: the receiver or the packer does not take this episode.
    Refused(Refusal),
    /// 409: other bytes are stored under this id.
    Conflict(Refusal),
    /// The bytes that arrived, or that the receiver says it stored, differ from those that were sent.
    Mismatch(Refusal),
    /// The receiver, or something on the way to it, takes nothing from this host as it is configured.
    HostBlocked(Blocked),
    /// The receiver or this host rejects the other's certificate. Nothing was said about the episode, and a person must
    /// act.
    TlsRejected {
        /// The failure, for the log.
        reason: String,
        /// The next step.
        help: &'static str,
    },
    /// The attempt failed, but a later one may succeed.
    Transient {
        /// The part that the trouble affects.
        scope: Scope,
        /// The failure, for the log.
        reason: String,
        /// The wait that the receiver asked for.
        retry_after: Option<Duration>,
        /// What a person should look at if it does not pass.
        help: Option<&'static str>,
    },
    /// The episode's own files cannot be packed now, or compared with its archive. No other episode is affected.
    Unready {
        /// The failure, for the log.
        reason: String,
        /// The error under which the episode is quarantined if the failure does not pass. `None` if the shipper keeps
        /// waiting.
        aside: Option<&'static str>,
    },
    /// The episode is large, and no other large one may start. Nothing was done about it.
    Postponed,
    /// The episode is no longer in `episodes/`: a person or program took it away.
    Gone,
    /// The shipper is stopping, so nothing is known about the episode.
    Stopped,
}

/// The part that a passing trouble affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Perhaps only this episode. Others are tried meanwhile.
    Episode,
    /// Most likely every episode. The queue waits, then tries another one first, in case the trouble is about this one.
    Receiver,
    /// Nothing answered, so nothing was said about the episode. The queue waits.
    Network,
}

/// Facts about an episode that the receiver holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// The status code that proved it.
    pub status: u16,
    /// The commit as sent.
    pub commit: Option<String>,
    /// The size of the archive in bytes.
    pub size_bytes: u64,
    /// The time from the inspection to the answer.
    pub elapsed: Duration,
    /// The position of the commit in the window, if the receiver names it.
    pub position: Option<CommitPosition>,
    /// Commands to paste on this host, if the receiver says that the commit is about to leave the window.
    pub remediation: Option<String>,
}

/// Why an episode goes to quarantine; written beside it in this form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// The status code. `None` if this host refused the episode by itself.
    pub status: Option<u16>,
    /// The `error` member, or a substitute if the receiver sent none.
    pub error: String,
    /// The commit that recorded the episode, as in meta.json.
    pub commit: Option<String>,
    /// The newest commit of the window.
    pub head_commit: Option<String>,
    /// The size of the window.
    pub window: Option<u64>,
    /// Commands to paste on this host.
    pub remediation: Option<String>,
    /// The explanation of the receiver or the packer.
    pub detail: Option<String>,
    /// 409: the hash of the stored bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_sha256: Option<String>,
    /// 409: the hash of the sent bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub your_sha256: Option<String>,
}

impl Refusal {
    /// Returns true if the episode was refused for its commit alone, so that a later window may admit it.
    pub fn is_about_the_commit(&self) -> bool {
        self.status == Some(412) || self.error.starts_with("commit-")
    }

    /// Returns the commit that an episode with this refusal waits for in quarantine.
    pub fn awaited_commit(&self) -> Option<CommitHash> {
        let commit = self.commit.as_deref().filter(|_| self.is_about_the_commit())?;
        CommitHash::parse(commit).ok()
    }

    /// Whether the recorder is at fault: meta.json names no commit, or a text that is none. No update of this host's code
    /// changes that.
    pub fn names_no_commit(&self) -> bool {
        [ErrorCode::CommitMissing, ErrorCode::CommitMalformed].iter().any(|code| self.error == code.as_str())
    }

    /// What to paste on this host: the receiver's text, or what stands for it where it sent none.
    pub fn remediation_text(&self) -> &str {
        self.remediation.as_deref().unwrap_or(DEFAULT_REMEDIATION)
    }
}

/// Why nothing from this host gets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The status code.
    pub status: u16,
    /// The explanation of the receiver.
    pub detail: Option<String>,
    /// What a person should check.
    pub help: &'static str,
}
