//! What an answer of the receiver means for the episode: the right-hand column of protocol 2.2 as one table.
//!
//! Pure: it sees an answer and the upload, and knows neither HTTP nor files. Success needs proof: a 2xx retires an
//! episode only if a receiver names this upload and nothing contradicts it (invariant I6). A verdict needs a witness:
//! a 4xx condemns one only if a receiver states the error (invariant I7). Everything else is about the way to the
//! receiver: the queue waits, and a person is told what answered.

use std::time::Duration;

use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::wire::problem::{AnyProblem, ErrorCode};
use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::outcome::{Blocked, Outcome, Refusal, Scope, Shipped};

/// The upload, as far as an answer refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The host.
    pub host_id: HostId,
    /// The episode.
    pub episode_id: EpisodeId,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// These bytes are stored.
    Ours,
    /// Nothing: it neither says that an episode is stored nor contradicts it.
    Nothing,
    /// It contradicts that, or a receiver did not say it; how, in words.
    Contradicted(String),
}

/// The members of a success that can confirm or contradict it. An earlier receiver may leave out all but `status`.
#[derive(Deserialize)]
struct AnySuccess {
    status: Option<Value>,
    error: Option<Value>,
    #[serde(alias = "host")]
    host_id: Option<Value>,
    #[serde(alias = "episode")]
    episode_id: Option<Value>,
    sha256: Option<Value>,
    #[serde(alias = "size")]
    size_bytes: Option<Value>,
}

/// Reads the body of a 2xx answer (protocol 2.5).
pub fn proof(answer: &Answer, sent: &Sent) -> Proof {
    let body = answer.whole_body();
    if body.is_some_and(|body| body.trim_ascii().is_empty()) {
        return Proof::Nothing;
    }
    // A struct is read from an array as well, so the object is asked for first.
    let said = answer.object().and(body).and_then(|body| serde_json::from_slice::<AnySuccess>(body).ok());
    let Some(said) = said else { return Proof::Contradicted(answer.looks_like()) };
    if let Some(member) = contradiction(&said, sent) {
        return Proof::Contradicted(format!("its `{member}` does not match the upload"));
    }
    match said.status {
        Some(Value::String(status)) if status == "stored" || status == "already-present" => Proof::Ours,
        Some(_) => Proof::Contradicted(format!(
            "its `status` is not one that a receiver sends: {}",
            answer.looks_like()
        )),
        None => Proof::Nothing,
    }
}

/// The member that names something else than was sent.
fn contradiction(said: &AnySuccess, sent: &Sent) -> Option<&'static str> {
    let is_text = |value: &Value, ours: &str| value.as_str() == Some(ours);
    let is_hash =
        |value: &Value| value.as_str().and_then(|text| Sha256Digest::parse(text).ok()) == Some(sent.sha256);
    let differs = |value: &Option<Value>, is_ours: &dyn Fn(&Value) -> bool| {
        value.as_ref().is_some_and(|value| !is_ours(value))
    };
    let members: [(&str, bool); 5] = [
        ("error", said.error.is_some()),
        ("host_id", differs(&said.host_id, &|value| is_text(value, sent.host_id.as_str()))),
        ("episode_id", differs(&said.episode_id, &|value| is_text(value, sent.episode_id.as_str()))),
        ("sha256", differs(&said.sha256, &is_hash)),
        ("size_bytes", differs(&said.size_bytes, &|value| value.as_u64() == Some(sent.size_bytes))),
    ];
    members.into_iter().find(|(_, contradicts)| *contradicts).map(|(member, _)| member)
}

/// What the answer to a PUT means.
pub fn judge(answer: &Answer, sent: &Sent) -> Outcome {
    if answer.claims_success() {
        return match proof(answer, sent) {
            Proof::Ours => success(answer, sent),
            Proof::Nothing => unproven(answer, "it does not say that the episode is stored"),
            Proof::Contradicted(how) => unproven(answer, &how),
        };
    }
    let problem = answer.problem().filter(|problem| !is_about_another(problem, sent));
    let error = problem.as_ref().and_then(|problem| problem.error.as_deref());
    match (classify(answer.status, error), problem) {
        (Refused, Some(problem)) => Outcome::Refused(refusal(answer.status, problem, sent)),
        (Conflict, Some(problem)) => Outcome::Conflict(refusal(answer.status, problem, sent)),
        (Mismatch, Some(problem)) => Outcome::Mismatch(refusal(answer.status, problem, sent)),
        (Retry(scope), _) => transient(scope, answer),
        _ => blocked(answer.status, Some(answer.words())),
    }
}

/// Whether a receiver's error is about other bytes, or another commit, than were sent: an answer that was mixed up.
fn is_about_another(problem: &AnyProblem, sent: &Sent) -> bool {
    let hash = |text: &Option<String>| text.as_deref().map(Sha256Digest::parse);
    let commit = |text: Option<&str>| text.and_then(|text| CommitHash::parse(text.trim()).ok());
    let other_commit = commit(problem.your_commit.as_deref())
        .is_some_and(|theirs| commit(sent.commit.as_deref()).is_some_and(|ours| ours != theirs));
    let other_bytes = hash(&problem.your_sha256).is_some_and(|theirs| theirs != Ok(sent.sha256));
    other_commit || other_bytes || hash(&problem.stored_sha256) == Some(Ok(sent.sha256))
}

/// The episode is stored; what proves it is the affair of the caller.
pub fn success(answer: &Answer, sent: &Sent) -> Outcome {
    let shipped = Shipped {
        status: answer.status,
        commit: sent.commit.clone(),
        size_bytes: sent.size_bytes,
        elapsed: sent.elapsed,
        position: answer.position,
        remediation: None,
    };
    if answer.status == 201 { Outcome::Stored(shipped) } else { Outcome::AlreadyPresent(shipped) }
}

fn unproven(answer: &Answer, why: &str) -> Outcome {
    blocked(answer.status, Some(format!("no proof that the episode is stored: {why}")))
}

/// What the answer to a question other than the PUT means: it may stop the queue, but it never condemns an
/// episode and never retires one.
pub fn about_the_receiver(answer: &Answer) -> Outcome {
    let error = answer.problem().and_then(|problem| problem.error);
    match classify(answer.status, error.as_deref()) {
        HostBlocked => blocked(answer.status, Some(answer.words())),
        _ => transient(Scope::Receiver, answer),
    }
}

fn transient(scope: Scope, answer: &Answer) -> Outcome {
    let proxy = answer.of_proxy();
    let help = proxy.is_some().then_some(BEHIND_A_PROXY);
    let reason = match (proxy, answer.status) {
        (Some(proxy), _) => proxy,
        // This host was sending all the while.
        (None, 408) => format!("answered 408, the body did not arrive; {BODY_HANGS}"),
        (None, status) => {
            let words = answer.words();
            let colon = if words.starts_with('`') { "" } else { ":" };
            format!("answered {status}{colon} {words}")
        }
    };
    Outcome::Transient { scope, reason, retry_after: answer.retry_after, help }
}

fn refusal(status: u16, problem: AnyProblem, sent: &Sent) -> Refusal {
    let conflict = status == 409;
    Refusal {
        status: Some(status),
        error: problem.error.unwrap_or_else(|| implied_error(status, problem.remediation.is_some())),
        commit: sent.commit.clone(),
        head_commit: problem.head_commit,
        window: problem.window,
        remediation: problem.remediation,
        detail: problem.detail,
        stored_sha256: problem.stored_sha256,
        your_sha256: conflict.then(|| sent.sha256.to_string()),
    }
}

/// The substitute for the `error` member of a receiver that sends none.
fn implied_error(status: u16, has_remediation: bool) -> String {
    match status {
        // An earlier receiver sends a remediation only where the commit is the matter.
        400 if has_remediation => "commit-refused".to_owned(),
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

/// What to look at where a proxy answers in place of the receiver.
pub const BEHIND_A_PROXY: &str = "on the collector, check `systemctl status cis490-receiver`, the error log of the \
                                  proxy, and whether the proxy may connect: `ls -l /run/cis490/receiver.sock`";

/// The help for a body that hung while small requests passed before and after it: full packets get lost.
pub const BODY_HANGS: &str = "small requests pass while this body hangs: if it goes on, the MTU on the way may be smaller \
     than that of this host's interface; try `ip link set mtu 1280 dev wg0`";

#[cfg(test)]
mod tests;
