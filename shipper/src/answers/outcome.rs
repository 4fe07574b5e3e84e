//! What became of one attempt to ship an episode.
//!
//! Pure types: [`judge`](super::judge) finds the outcome in an answer, the queue decides what follows from it.

use std::time::Duration;

use cis490_shared::ids::CommitHash;
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use cis490_shared::wire::headers::CommitPosition;
use cis490_shared::wire::problem::ErrorCode;
use serde::{Deserialize, Serialize};

/// What became of one attempt to ship an episode. Policy is the queue's; this only says what is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// 201: durable at the receiver.
    Stored(Shipped),
    /// These very bytes were there before: 200, or a HEAD that named their hash.
    AlreadyPresent(Shipped),
    /// Sending the same again leads nowhere: the receiver or the packer does not take this episode.
    Refused(Refusal),
    /// 409: other bytes are stored under this id.
    Conflict(Refusal),
    /// What arrived, or what the receiver says it stored, is not what was sent.
    Mismatch(Refusal),
    /// The receiver, or something on the way to it, does not take anything from this host as it is set up.
    HostBlocked(Blocked),
    /// Receiver and host do not take each other's certificates: nothing was said about the episode, and a person must
    /// act.
    TlsRejected {
        /// What happened, for the log.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// Worth another try later.
    Transient {
        /// Whom the trouble concerns.
        scope: Scope,
        /// What happened, for the log.
        reason: String,
        /// What the receiver asked for.
        retry_after: Option<Duration>,
        /// What a person should look at if it does not pass.
        help: Option<&'static str>,
    },
    /// The episode's own files cannot be packed now. Nothing was sent, and no other episode is concerned.
    Unready {
        /// What happened, for the log.
        reason: String,
        /// The error under which the episode is set aside where that does not pass; none where it is waited for.
        aside: Option<&'static str>,
    },
    /// It is a large one, and as many of those as may be are under way: nothing was done about it.
    Postponed,
    /// The episode is no longer in `episodes/`: somebody took it away.
    Gone,
    /// The shipper is stopping; nothing can be said about the episode.
    Stopped,
}

/// Whom a passing trouble concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Perhaps only this episode: others are tried meanwhile.
    Episode,
    /// Most likely every episode: the queue waits, then tries another one first, in case it was this one.
    Receiver,
    /// Nobody answered, so nothing was said about the episode at all: the queue waits.
    Network,
}

/// What is known about an episode that the receiver holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// The status code that proved it.
    pub status: u16,
    /// The commit as it was sent.
    pub commit: Option<String>,
    /// The size of the archive in bytes.
    pub size_bytes: u64,
    /// From the start of packing to the answer.
    pub elapsed: Duration,
    /// Where the commit stands in the window, when the receiver says so.
    pub position: Option<CommitPosition>,
    /// What to paste on this host, where the receiver says that the commit is about to leave the window.
    pub remediation: Option<String>,
}

/// Why an episode goes to quarantine; written beside it as it stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// The status code; none where the episode was refused before anything was sent.
    pub status: Option<u16>,
    /// The `error` member, or what stands for it where the receiver sent none.
    pub error: String,
    /// The commit that recorded the episode, as meta.json has it.
    pub commit: Option<String>,
    /// The newest commit of the window.
    pub head_commit: Option<String>,
    /// The size of the window.
    pub window: Option<u64>,
    /// What to paste on this host.
    pub remediation: Option<String>,
    /// What the receiver, or the packer, says about it.
    pub detail: Option<String>,
    /// 409: the hash of what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_sha256: Option<String>,
    /// 409: the hash of what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub your_sha256: Option<String>,
}

impl Refusal {
    /// Whether the episode was refused for its commit alone, so that a later window may admit it.
    pub fn is_about_the_commit(&self) -> bool {
        self.status == Some(412) || self.error.starts_with("commit-")
    }

    /// The commit for which an episode that was refused like this waits in quarantine.
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

/// Why nothing of this host gets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The status code.
    pub status: u16,
    /// What the receiver says about it.
    pub detail: Option<String>,
    /// What a person should look at.
    pub help: &'static str,
}
