//! The gate as this host sees it: asked once per commit and [`MEMORY`], whoever wants to know.
//!
//! Clones share what is known, also across threads. While one asks the others wait for what he hears, so that a
//! backlog of refused episodes costs the same few requests whatever the number of uploaders. It packs and moves
//! nothing, and does not decide what a refusal means for an episode.
//!
//! [`MEMORY`]: crate::upload::preflight::MEMORY

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use cis490_shared::ids::{CommitHash, HostId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::answers::judge::about_the_receiver;
use crate::answers::outcome::Outcome;
use crate::http::client::{Client, out_of_reach};
use crate::http::requests;
use crate::upload::preflight::{self, Verdict, Verdicts};

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
            Ok(requests::Gate::Says(answer)) => return Ok(self.remember(commit, preflight::verdict(answer))),
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
