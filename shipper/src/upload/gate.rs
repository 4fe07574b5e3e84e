//! The gate as this host sees it: asked once per commit and `MEMORY`, whoever wants to know (accident 2).
//!
//! Clones share what is known, also across threads. While one asks the others wait for what it hears, so that a
//! backlog of a thousand refused episodes costs the same few requests and no packing, whatever the number of uploaders.
//! A gate that has never read a window condemns nothing: its answer counts as silence, and the PUT is told to come again
//! (accident 3). It packs and moves nothing, and does not decide what a refusal means for an episode.

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

/// How long a verdict counts.
const MEMORY: Duration = Duration::from_secs(30);

/// More distinct commits than this are not remembered at a time; a host records with one or two.
const MAX_COMMITS: usize = 64;

/// What to do about episodes of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Pack and send.
    Admitted {
        /// What to paste on this host, where the commit is about to leave the window.
        remediation: Option<String>,
    },
    /// Pack and send: nobody knows, the PUT will tell.
    Unknown,
    /// Neither pack nor send.
    Refused(Refusal),
}

impl Verdict {
    /// Whether an episode of the commit is packed and sent.
    pub fn lets_send(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// What this host knows of the gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    verdicts: Arc<StdMutex<Verdicts>>,
    /// Held by the one who asks. When the latest question ended without an answer about its commit, and in what.
    asking: Arc<Mutex<Option<(Instant, Outcome)>>>,
}

impl Gate {
    /// What the gate says, or said lately, about a commit as meta.json has it. An error where it says nothing about
    /// commits now, with what that means for the queue.
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
            // There is nothing to ask about: the receiver judges the PUT.
            return Ok(self.remember(commit, Verdict::Unknown));
        };
        let came = Instant::now();
        let mut unanswered = self.asking.lock().await;
        // Whoever asked meanwhile has the answer for all who waited.
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

    /// The fresh verdict on a commit, if there is one.
    pub fn recall(&self, commit: Option<&str>) -> Option<Verdict> {
        self.known().recall(commit, Instant::now())
    }

    /// Keeps what a PUT, or the gate itself, said about a commit; gives it back.
    pub fn remember(&self, commit: Option<&str>, verdict: Verdict) -> Verdict {
        self.known().remember(commit, verdict.clone(), Instant::now());
        verdict
    }

    /// The commits whose episodes are packed and sent without another question.
    pub fn sendable(&self) -> Vec<Option<String>> {
        self.known().sendable(Instant::now())
    }

    fn known(&self) -> MutexGuard<'_, Verdicts> {
        // Nothing can panic while it is held.
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The verdicts of the last moments. The key is the commit as meta.json has it, none where it has none.
#[derive(Debug, Default)]
struct Verdicts {
    known: HashMap<Option<String>, (Instant, Verdict)>,
}

impl Verdicts {
    /// The verdict on a commit, if it is fresh.
    fn recall(&self, commit: Option<&str>, now: Instant) -> Option<Verdict> {
        let (since, verdict) = self.known.get(&commit.map(str::to_owned))?;
        (now < *since + MEMORY).then(|| verdict.clone())
    }

    /// The commits whose episodes are packed and sent.
    fn sendable(&self, now: Instant) -> Vec<Option<String>> {
        let fresh = self.known.iter().filter(|(_, (since, _))| now < *since + MEMORY);
        fresh.filter(|(_, (_, verdict))| verdict.lets_send()).map(|(commit, _)| commit.clone()).collect()
    }

    /// Keeps a verdict. One that is fresh and the same keeps its age, or it would never be asked for again.
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

/// What the gate's answer means.
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
