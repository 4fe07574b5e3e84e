//! The gate as this host sees it: asked once per commit and `MEMORY`, whatever the number of uploaders (accident 2).
//!
//! Clones share the verdicts, also across threads. While one uploader asks, the others wait for its answer. So a
//! backlog of a thousand refused episodes costs the same few requests and no packing, whatever the number of uploaders.
//! A gate that has never read a window condemns nothing: its answer counts as unknown. The receiver then tells the PUT
//! to come again (accident 3). This module packs and moves nothing, and does not decide what a refusal means for an
//! episode.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use cis490_shared::ids::{CommitHash, HostId};
use cis490_shared::wire::answer::CommitAnswer;
use cis490_shared::wire::problem::ErrorCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::answers::judge::about_the_receiver;
use crate::answers::outcome::{Outcome, Refusal};
use crate::http::client::{Client, out_of_reach};
use crate::http::requests;

/// How long a verdict is valid.
const MEMORY: Duration = Duration::from_secs(30);

/// The most commits remembered at a time; a host records with one or two.
const MAX_COMMITS: usize = 64;

/// The verdict on episodes of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The episode is packed and sent.
    Admitted {
        /// Commands to paste on this host, if the commit is about to leave the window.
        remediation: Option<String>,
    },
    /// The gate did not say. The episode is packed and sent, and the receiver judges the PUT.
    Unknown,
    /// The episode is neither packed nor sent.
    Refused(Refusal),
}

impl Verdict {
    /// Returns true if an episode of the commit is packed and sent.
    pub fn lets_send(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// The verdicts that this host knows.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    verdicts: Arc<StdMutex<Verdicts>>,
    /// Held by the uploader that asks. Records when the latest question ended without a verdict, and its outcome.
    asking: Arc<Mutex<Option<(Instant, Outcome)>>>,
}

impl Gate {
    /// Returns the gate's verdict on a commit as in meta.json, from memory if it is fresh. An error if the gate gives
    /// no verdict now, with the meaning of that for the queue.
    pub async fn verdict(
        &self,
        client: &Client,
        host: &HostId,
        commit: Option<&str>,
        limit: Duration,
    ) -> Result<Verdict, Outcome> {
        if let Some(verdict) = self.recall(commit) {
            return Ok(verdict);
        }
        let Some(Ok(hash)) = commit.map(CommitHash::parse) else {
            // There is no hash to ask about, so the receiver judges the PUT.
            return Ok(self.remember(commit, Verdict::Unknown));
        };
        let came = Instant::now();
        let mut unanswered = self.asking.lock().await;
        // An uploader that asked meanwhile has the answer for all that waited.
        if let Some(verdict) = self.recall(commit) {
            return Ok(verdict);
        }
        if let Some((_, outcome)) = unanswered.as_ref().filter(|(when, _)| *when >= came) {
            return Err(outcome.clone());
        }
        let outcome = match requests::gate(client, host, &hash, limit).await {
            Ok(requests::Gate::Says(answer)) => return Ok(self.remember(commit, verdict_of(answer))),
            Ok(requests::Gate::Mute) => return Ok(self.remember(commit, Verdict::Unknown)),
            Ok(requests::Gate::Unclear(answer)) => about_the_receiver(&answer),
            Err(silence) => out_of_reach(&silence),
        };
        *unanswered = Some((Instant::now(), outcome.clone()));
        Err(outcome)
    }

    /// Returns the verdict on a commit if there is a fresh one.
    pub fn recall(&self, commit: Option<&str>) -> Option<Verdict> {
        self.known().recall(commit, Instant::now())
    }

    /// Remembers the verdict of a PUT, or of the gate itself, on a commit. Returns it.
    pub fn remember(&self, commit: Option<&str>, verdict: Verdict) -> Verdict {
        self.known().remember(commit, verdict.clone(), Instant::now());
        verdict
    }

    /// Returns the commits whose episodes are packed and sent without another question.
    pub fn sendable(&self) -> Vec<Option<String>> {
        self.known().sendable(Instant::now())
    }

    fn known(&self) -> MutexGuard<'_, Verdicts> {
        // No code that could panic runs under the lock.
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest verdicts. The key is the commit as in meta.json, `None` if it has none.
#[derive(Debug, Default)]
struct Verdicts {
    known: HashMap<Option<String>, (Instant, Verdict)>,
}

impl Verdicts {
    /// Returns the verdict on a commit if it is fresh.
    fn recall(&self, commit: Option<&str>, now: Instant) -> Option<Verdict> {
        let (since, verdict) = self.known.get(&commit.map(str::to_owned))?;
        (now < *since + MEMORY).then(|| verdict.clone())
    }

    /// Returns the commits whose episodes are packed and sent.
    fn sendable(&self, now: Instant) -> Vec<Option<String>> {
        let fresh = self.known.iter().filter(|(_, (since, _))| now < *since + MEMORY);
        fresh.filter(|(_, (_, verdict))| verdict.lets_send()).map(|(commit, _)| commit.clone()).collect()
    }

    /// Remembers a verdict. A fresh one that is repeated keeps its age, or the gate would never be asked about it
    /// again.
    fn remember(&mut self, commit: Option<&str>, verdict: Verdict, now: Instant) {
        if self.recall(commit, now).as_ref() == Some(&verdict) {
            return;
        }
        self.known.retain(|_, (since, _)| now < *since + MEMORY);
        if self.known.len() >= MAX_COMMITS {
            self.known.clear();
        }
        self.known.insert(commit.map(str::to_owned), (now, verdict));
    }
}

/// Translates the gate's answer into a verdict.
fn verdict_of(answer: CommitAnswer) -> Verdict {
    let never_read = answer.head_commit.is_none() || answer.polled_s_ago.is_none();
    if answer.admitted {
        return Verdict::Admitted { remediation: answer.remediation };
    }
    if never_read {
        return Verdict::Unknown;
    }
    Verdict::Refused(Refusal {
        status: Some(ErrorCode::CommitNotInWindow.status()),
        error: ErrorCode::CommitNotInWindow.to_string(),
        commit: Some(answer.commit.to_string()),
        head_commit: answer.head_commit.map(String::from),
        window: Some(answer.window as u64),
        remediation: answer.remediation,
        detail: Some(
            "the gate was asked before the episode was packed and does not admit its commit".to_owned(),
        ),
        stored_sha256: None,
        your_sha256: None,
    })
}

#[cfg(test)]
mod tests {
    use cis490_shared::ids::CommitHash;

    use super::*;

    fn answer(admitted: bool) -> CommitAnswer {
        CommitAnswer {
            commit: CommitHash::parse(&"ab".repeat(20)).unwrap(),
            admitted,
            position: admitted.then_some(7),
            window: 100,
            head_commit: Some(CommitHash::parse(&"cd".repeat(20)).unwrap()),
            polled_s_ago: Some(1.2),
            remediation: (!admitted).then(|| "git pull\n".to_owned()),
            admitted_by: None,
        }
    }

    #[test]
    fn a_refusal_carries_all_that_a_person_needs() {
        let Verdict::Refused(refusal) = verdict_of(answer(false)) else { panic!("refused") };
        assert_eq!(
            (refusal.status, refusal.error.as_str(), refusal.window),
            (Some(412), "commit-not-in-window", Some(100))
        );
        assert_eq!(refusal.head_commit, Some("cd".repeat(20)));
        assert_eq!(refusal.remediation.as_deref(), Some("git pull\n"));
        assert_eq!(verdict_of(answer(true)), Verdict::Admitted { remediation: None });
    }

    #[test]
    fn incident_03_a_gate_that_never_read_a_window_condemns_nothing() {
        assert_eq!(verdict_of(CommitAnswer { head_commit: None, ..answer(false) }), Verdict::Unknown);
        assert_eq!(verdict_of(CommitAnswer { polled_s_ago: None, ..answer(false) }), Verdict::Unknown);
    }

    #[test]
    fn a_verdict_counts_for_its_commit_and_for_a_short_while() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        verdicts.remember(Some("ab"), verdict_of(answer(false)), now);
        verdicts.remember(None, Verdict::Unknown, now);
        assert!(matches!(verdicts.recall(Some("ab"), now), Some(Verdict::Refused(_))));
        assert_eq!(verdicts.recall(None, now), Some(Verdict::Unknown));
        assert_eq!(verdicts.recall(Some("cd"), now), None);
        assert_eq!(verdicts.recall(Some("ab"), now + MEMORY), None);
        assert_eq!(verdicts.sendable(now), [None]);
        assert!(verdicts.sendable(now + MEMORY).is_empty());
        let later = now + MEMORY / 2;
        verdicts.remember(None, Verdict::Unknown, later);
        assert_eq!(
            verdicts.recall(None, now + MEMORY),
            None,
            "saying the same again does not make it younger"
        );
        verdicts.remember(Some("ab"), Verdict::Admitted { remediation: None }, later);
        assert!(verdicts.recall(Some("ab"), now + MEMORY).is_some(), "another verdict does");
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        for n in 0..10_000 {
            verdicts.remember(Some(&n.to_string()), Verdict::Unknown, now);
            assert!(verdicts.known.len() <= MAX_COMMITS);
        }
    }
}
