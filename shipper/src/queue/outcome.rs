//! What an answer of the receiver means for the episode: the right-hand column of protocol 2.2 as one table.
//!
//! Pure: it sees a status, a body and what was sent, and knows neither HTTP nor files. An earlier receiver
//! sends no `error` member, so every status has a row that does without one. An answer that is no JSON came
//! from something between here and the receiver, and such a thing never condemns an episode (invariant I7),
//! nor does its success retire one (invariant I6).

use std::time::Duration;

use cis490_shared::ids::{CommitHash, Sha256Digest};
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use cis490_shared::step::Step;
use cis490_shared::wire::headers::CommitPosition;
use cis490_shared::wire::problem::{AnyProblem, ErrorCode};
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
    Distrusted {
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

/// An answer as it came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The time that `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// `X-Cis490-Commit-Position`.
    pub position: Option<CommitPosition>,
    /// The body; empty where it could not be read to its end.
    pub body: Vec<u8>,
}

/// What was sent, as far as an answer refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The commit as sent.
    pub commit: Option<String>,
    /// The hash of the archive.
    pub sha256: Sha256Digest,
    /// The size of the archive in bytes.
    pub size_bytes: u64,
    /// From the start of packing to the answer.
    pub elapsed: Duration,
}

/// What a row of the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Retire the episode.
    Stored,
    /// Retire the episode.
    AlreadyPresent,
    /// Quarantine.
    Refused,
    /// Keep aside; sent again only by hand.
    Conflict,
    /// Hash again, rebuild, at most three times.
    Mismatch,
    /// Hold the whole queue, log once, touch nothing.
    HostBlocked,
    /// Try again later.
    Retry(Scope),
}

/// Which `error` members a row is about.
#[derive(Debug, Clone, Copy)]
enum Member {
    Is(ErrorCode),
    Any,
}

use Class::{AlreadyPresent, Conflict, HostBlocked, Mismatch, Refused, Retry, Stored};
use Member::{Any, Is};

/// Protocol 2.2, right-hand column. The first row that fits decides.
const TABLE: &[(u16, Member, Class)] = &[
    (201, Any, Stored),
    (200, Any, AlreadyPresent),
    (400, Is(ErrorCode::DigestMismatch), Mismatch),
    (400, Is(ErrorCode::LengthMismatch), Mismatch),
    (400, Any, Refused),
    (401, Any, HostBlocked),
    (403, Any, HostBlocked),
    (404, Any, HostBlocked),
    (405, Any, HostBlocked),
    (408, Any, Retry(Scope::Episode)),
    (409, Any, Conflict),
    (411, Any, HostBlocked),
    (412, Any, Refused),
    (413, Any, Refused),
    // The earlier generation's digest-mismatch.
    (422, Any, Mismatch),
    (426, Any, HostBlocked),
    (429, Any, Retry(Scope::Receiver)),
    (500, Any, Retry(Scope::Episode)),
    (503, Is(ErrorCode::Busy), Retry(Scope::Episode)),
    (503, Any, Retry(Scope::Receiver)),
    (507, Any, Retry(Scope::Receiver)),
];

/// What a status and an `error` member mean.
///
/// A status that the protocol does not know says nothing about the episode: above 500 somebody is in
/// trouble, and anything else comes from a wrong URL, a proxy or a later version.
pub fn classify(status: u16, error: Option<&str>) -> Class {
    let fits = |(row, member, _): &&(u16, Member, Class)| {
        *row == status
            && match member {
                Is(code) => error == Some(code.as_str()),
                Any => true,
            }
    };
    match (TABLE.iter().find(fits), status) {
        (Some((_, _, class)), _) => *class,
        (None, 500..=599) => Retry(Scope::Receiver),
        (None, _) => HostBlocked,
    }
}

/// What an answer of 2xx proves about the archive that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The body is a receiver's and does not disagree about the hash.
    Ours,
    /// The receiver names another hash.
    Others,
    /// The body is not a receiver's: something else said 2xx.
    None,
}

/// Reads the body of a 2xx answer. A receiver of the earlier generation may leave the hash out.
pub fn proof(body: &[u8], ours: Sha256Digest) -> Proof {
    #[derive(Deserialize)]
    struct AnyStored {
        #[serde(default)]
        sha256: Option<String>,
    }
    if !is_json_object(body) {
        return Proof::None;
    }
    match serde_json::from_slice::<AnyStored>(body) {
        Ok(AnyStored { sha256: None }) => Proof::Ours,
        Ok(AnyStored { sha256: Some(_) }) if !Step::MatchAnswer.is_taken() => Proof::Ours,
        Ok(AnyStored { sha256: Some(text) }) if Sha256Digest::parse(&text) == Ok(ours) => Proof::Ours,
        Ok(AnyStored { sha256: Some(_) }) | Err(_) => Proof::Others,
    }
}

/// What the answer to a PUT means.
pub fn judge(answer: &Answer, sent: &Sent) -> Outcome {
    let problem = AnyProblem::parse_lossy(&answer.body);
    let foreign = !answer.body.is_empty() && !is_json_object(&answer.body);
    match classify(answer.status, problem.error.as_deref()) {
        class @ (Stored | AlreadyPresent) => match proof(&answer.body, sent.sha256) {
            Proof::Ours => success(class, answer, sent),
            Proof::Others => Outcome::Mismatch(Refusal {
                error: ErrorCode::DigestMismatch.to_string(),
                detail: Some("the receiver says that it stored another sha256 than was sent".to_owned()),
                ..refusal(answer.status, problem, sent)
            }),
            Proof::None => blocked(answer.status, None),
        },
        Refused | Conflict if foreign => blocked(answer.status, None),
        Refused => Outcome::Refused(refusal(answer.status, problem, sent)),
        Conflict => Outcome::Conflict(refusal(answer.status, problem, sent)),
        Mismatch => Outcome::Mismatch(refusal(answer.status, problem, sent)),
        HostBlocked => blocked(answer.status, problem.detail),
        Retry(scope) => Outcome::Transient {
            scope,
            reason: reason(answer.status, &problem),
            retry_after: answer.retry_after,
        },
    }
}

/// What the answer to a question other than the PUT means: it may stop the queue, but it never condemns an
/// episode and never retires one.
pub fn about_the_receiver(answer: &Answer) -> Outcome {
    let problem = AnyProblem::parse_lossy(&answer.body);
    match classify(answer.status, problem.error.as_deref()) {
        HostBlocked => blocked(answer.status, problem.detail),
        _ => Outcome::Transient {
            scope: Scope::Receiver,
            reason: reason(answer.status, &problem),
            retry_after: answer.retry_after,
        },
    }
}

fn success(class: Class, answer: &Answer, sent: &Sent) -> Outcome {
    let shipped = Shipped {
        status: answer.status,
        commit: sent.commit.clone(),
        size_bytes: sent.size_bytes,
        elapsed: sent.elapsed,
        position: answer.position,
        remediation: None,
    };
    if class == Stored { Outcome::Stored(shipped) } else { Outcome::AlreadyPresent(shipped) }
}

fn refusal(status: u16, problem: AnyProblem, sent: &Sent) -> Refusal {
    let conflict = status == 409;
    Refusal {
        status: Some(status),
        error: problem.error.unwrap_or_else(|| implied_error(status)),
        commit: sent.commit.clone(),
        head_commit: problem.head_commit,
        window: problem.window,
        remediation: problem.remediation,
        detail: problem.detail,
        stored_sha256: problem.stored_sha256,
        your_sha256: conflict.then(|| sent.sha256.to_string()),
    }
}

/// What stands for the `error` member of a receiver that sends none.
fn implied_error(status: u16) -> String {
    match status {
        409 => ErrorCode::Conflict.to_string(),
        412 => ErrorCode::CommitNotInWindow.to_string(),
        413 => ErrorCode::TooLarge.to_string(),
        422 => ErrorCode::DigestMismatch.to_string(),
        _ => format!("http-{status}"),
    }
}

/// A host that is held up by an answer with this status.
pub fn blocked(status: u16, detail: Option<String>) -> Outcome {
    let help = match status {
        401 | 403 => {
            "the receiver does not accept this host: check `host_id` and the certificate in [receiver]"
        }
        404 | 405 => "check `receiver.url`: the answer is not that of a receiver of episodes",
        411 => "something on the way drops the Content-Length header: check the proxies",
        426 => "the receiver asks for another version: upgrade the shipper",
        _ => {
            "the answer is not that of a receiver of episodes: check `receiver.url` and the proxies on the way"
        }
    };
    Outcome::HostBlocked(Blocked { status, detail, help })
}

/// What is said of a body that hung while small requests passed before and after it: full packets get lost.
pub const BODY_HANGS: &str = "small requests pass while this body hangs: if it goes on, the MTU on the way may be smaller \
     than that of this host's interface; try `ip link set mtu 1280 dev wg0`";

fn reason(status: u16, problem: &AnyProblem) -> String {
    if status == 408 {
        // This host was sending all the while.
        return format!("answered 408, the body did not arrive; {BODY_HANGS}");
    }
    match (&problem.error, &problem.detail) {
        (Some(error), Some(detail)) => format!("answered {status} `{error}`: {detail}"),
        (Some(text), None) | (None, Some(text)) => format!("answered {status}: {text}"),
        (None, None) => format!("answered {status}"),
    }
}

fn is_json_object(body: &[u8]) -> bool {
    matches!(serde_json::from_slice(body), Ok(serde_json::Value::Object(_)))
}

#[cfg(test)]
mod tests;
