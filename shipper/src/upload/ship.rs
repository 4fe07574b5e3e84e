//! Ships one episode, from its directory to an [`Outcome`]: inspect, ask the gate, pack, send. If the answer was lost,
//! finds out what happened to the upload.
//!
//! This module moves nothing. It tries again only if the receiver cannot have the episode yet; the queue decides
//! everything else. It guards invariants I4 and I6. After a broken upload, nothing is sent before a HEAD has said what
//! is stored. A success counts only for the bytes that were sent.

use std::sync::{Arc, Mutex};

use cis490_shared::archive::pack::{Episode, Packer};
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::latest::Latest;
use cis490_shared::meta::EpisodeMeta;
use cis490_shared::step::Step;
use cis490_shared::wire::problem::ErrorCode;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::answers::answer::Answer;
use crate::answers::judge::{BODY_HANGS, Proof, Sent, about_the_receiver, judge, proof, success};
use crate::answers::outcome::{Outcome, Refusal, Scope, Shipped};
use crate::http::client::{Client, RequestError, out_of_reach};
use crate::http::clock_skew::ClockSkew;
use crate::http::requests::{self, Stored};
use crate::http::target::Target;
use crate::store::layout::Dirs;
use crate::store::outbox::{self, Archive, Stop};
use crate::upload::deadlines::Deadlines;
use crate::upload::gate::{Gate, Verdict};
use crate::upload::meter::Meter;
use crate::upload::pace::Pace;
use crate::upload::prepare::{Early, Published, Source, Workshop, blocking, no_archive};
use crate::upload::put::{Expect, Put, Upload, put};
use crate::upload::slots::UploadSlots;

/// Everything that shipping needs; may cross threads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of this host.
    pub host_id: HostId,
    /// The directories with episodes and archives.
    pub dirs: Dirs,
    /// The receiver, and the credentials that this host shows to it.
    pub target: Latest<Target>,
    /// The gate's verdicts so far.
    pub gate: Gate,
    /// The zstd level of new archives.
    pub compression_level: i32,
    /// Whether a success counts that proves nothing and contradicts nothing: for a receiver of the earlier generation.
    pub accept_unproven_success: bool,
    /// The deadlines of an upload.
    pub deadlines: Deadlines,
    /// The state of the `Expect` header: whether uploads wait for `100 Continue`.
    pub expect: Expect,
    /// The turns to send; uploaders without a turn inspect, pack and wait meanwhile.
    pub slots: UploadSlots,
    /// The meter that counts the bytes sent.
    pub meter: Meter,
    /// The rate limit that all uploads share.
    pub pace: Pace,
    /// The difference between the receiver's clock and this host's, as measured last.
    pub clock_skew: ClockSkew,
}

/// Ships episodes, one at a time.
pub struct Shipper {
    settings: Settings,
    client: Client,
    workshop: Workshop,
}

impl Shipper {
    /// Returns a shipper without connections.
    pub fn new(settings: Settings) -> Self {
        let client = Client::new(settings.target.clone(), settings.clock_skew.clone());
        let packer = Arc::new(Mutex::new(Packer::new(settings.compression_level)));
        let workshop = Workshop { dirs: settings.dirs.clone(), packer, slots: settings.slots.clone() };
        Self { settings, client, workshop }
    }

    /// Returns the gate's verdict on a commit, even if no episode of it is to be sent.
    pub async fn ask(&self, commit: &str) -> Result<Verdict, Outcome> {
        self.client.refresh_target();
        self.verdict(Some(commit)).await.map_err(|outcome| self.client.explain(outcome))
    }

    async fn verdict(&self, commit: Option<&str>) -> Result<Verdict, Outcome> {
        let Settings { gate, host_id, deadlines, .. } = &self.settings;
        gate.verdict(&self.client, host_id, commit, deadlines.small).await
    }

    /// Ships one episode. With `rebuild`, its archive is packed anew.
    pub async fn ship(&self, id: &EpisodeId, rebuild: bool, stop: &Stop) -> Outcome {
        let mut stopping = stop.clone();
        tokio::select! {
            biased;
            // An error means that the sender is gone, which counts as a stop.
            _ = stopping.wait_for(|stop| *stop) => Outcome::Stopped,
            outcome = self.steps(id, rebuild, stop.clone()) => {
                self.client.explain(outcome.unwrap_or_else(|early| *early))
            }
        }
    }

    async fn steps(&self, id: &EpisodeId, rebuild: bool, stop: Stop) -> Result<Outcome, Early> {
        let begin = Instant::now();
        self.client.refresh_target();
        let source = Source::Uninspected(id.clone(), self.settings.gate.sendable());
        let (mut ready, mut published) = self.workshop.prepare(source, rebuild, stop.clone()).await?;
        let episode = Arc::clone(&ready.episode);
        let meta = episode.meta();
        let archive = loop {
            if let Some(archive) = &ready.archive {
                break archive;
            }
            match self.verdict(meta.commit_text()).await {
                Ok(Verdict::Refused(refusal)) => {
                    return Ok(self.unless_stored(&episode, refusal, begin, stop).await);
                }
                Ok(Verdict::Admitted { .. } | Verdict::Unknown) => {}
                Err(outcome) => return Ok(outcome),
            }
            let inspected = Source::Inspected(Arc::clone(&episode), ready.size_class);
            (ready, published) = self.workshop.prepare(inspected, rebuild, stop.clone()).await?;
        };
        let upload = self.upload(id, meta, archive, published);
        let turn = self.settings.slots.turn(&ready.size_class).await;
        let mut outcome = self.send(&upload, begin).await;
        // Wait before anything is moved or sent again. The outcome already contains the result where it matters.
        let _ = upload.published.await;
        drop(turn);
        if matches!(outcome, Outcome::Stored(_) | Outcome::AlreadyPresent(_))
            && let Some(other) = self.changed_since(&episode, archive, stop.clone()).await
        {
            outcome = other;
        }
        match &outcome {
            Outcome::Refused(refusal) if refusal.is_about_the_commit() => {
                self.settings.gate.remember(meta.commit_text(), Verdict::Refused(refusal.clone()));
            }
            Outcome::Mismatch(_) => self.drop_archive_if_changed(id, archive, stop).await,
            _ => {}
        }
        if let Outcome::Stored(shipped) | Outcome::AlreadyPresent(shipped) = &mut outcome
            && let Some(Verdict::Admitted { remediation }) = self.settings.gate.recall(meta.commit_text())
        {
            shipped.remediation = remediation;
        }
        Ok(outcome)
    }

    fn upload<'a>(
        &'a self,
        id: &'a EpisodeId,
        meta: &'a EpisodeMeta,
        archive: &'a Archive,
        published: Published,
    ) -> Upload<'a> {
        Upload {
            host_id: &self.settings.host_id,
            episode_id: id,
            commit: meta.commit_text(),
            archive,
            published,
        }
    }

    /// Returns the outcome for a delivered episode whose directory has changed since it was packed. A recorder may go
    /// on after it has set the marker. Those bytes are on this host alone, and nobody would look for them in
    /// `shipped/`.
    async fn changed_since(&self, episode: &Arc<Episode>, archive: &Archive, stop: Stop) -> Option<Outcome> {
        let (dirs, of, archive) = (self.settings.dirs.clone(), Arc::clone(episode), archive.clone());
        let dir = dirs.episode(episode.id());
        match blocking(move || outbox::holds_all_of(&dirs, &of, &archive, &stop)).await {
            Ok(true) => None,
            Ok(false) => Some(Outcome::Refused(Refusal {
                error: "local-changed".to_owned(),
                detail: Some(format!(
                    "`{}` changed after it was packed; the collector has the earlier version",
                    dir.display()
                )),
                ..Refusal::default()
            })),
            Err(error) => Some(no_archive(error, &dir)),
        }
    }

    /// Returns the outcome of a refusal by the gate: refused, unless the episode is already stored. An archive in the
    /// outbox may have arrived, its answer may have been lost, and the window may have moved on. An episode that is in
    /// the data set is not refused.
    async fn unless_stored(
        &self,
        episode: &Arc<Episode>,
        refusal: Refusal,
        begin: Instant,
        stop: Stop,
    ) -> Outcome {
        let (dirs, of) = (self.settings.dirs.clone(), Arc::clone(episode));
        let sent_before = blocking(move || outbox::take(&dirs, &of, &stop)).await;
        if let Ok(Some(archive)) = sent_before {
            let upload = self.upload(episode.id(), episode.meta(), &archive, Published::already());
            if self.is_stored(&upload).await {
                return Outcome::AlreadyPresent(shipped(200, &upload, begin));
            }
        }
        Outcome::Refused(refusal)
    }

    /// Sends until the receiver has answered, or until another outcome is known.
    async fn send(&self, upload: &Upload<'_>, begin: Instant) -> Outcome {
        let mut expect = self.settings.expect.is_sent(Instant::now());
        let (mut expect_ignored, mut fresh_start) = (false, true);
        loop {
            let (meter, pace) = (&self.settings.meter, &self.settings.pace);
            match put(&self.client, upload, expect, self.settings.deadlines, meter, pace).await {
                // The receiver, or a proxy before it, understands the header and rejects it.
                Put::Answered(Answer { status: 417, .. }) if expect => {
                    (expect, expect_ignored) = (false, true);
                }
                Put::Answered(answer) => {
                    self.note_expect(expect, expect_ignored);
                    return self.judge(answer, upload, begin).await;
                }
                Put::NoContinue => (expect, expect_ignored) = (false, true),
                Put::Broken { reason, body_began, stalled } => {
                    match self.find_out(upload, begin, reason).await {
                        Ok(outcome) => return outcome,
                        // Most likely the receiver had closed an idle connection.
                        Err(_) if !body_began && fresh_start => fresh_start = false,
                        Err(reason) if stalled && body_began => {
                            return retry(Scope::Episode, format!("{reason}; {BODY_HANGS}"));
                        }
                        Err(reason) => return retry(Scope::Episode, reason),
                    }
                }
                Put::Unreachable(failure) => return out_of_reach(&RequestError::Unreachable(failure)),
                Put::ArchiveUnreadable(reason) => {
                    let path = self.settings.dirs.archive(upload.episode_id);
                    let unpublished = upload.published.clone().await.err();
                    let reason =
                        unpublished.unwrap_or_else(|| format!("cannot read `{}`: {reason}", path.display()));
                    return retry(Scope::Episode, reason);
                }
            }
        }
    }

    /// Records whether the header of an answered upload was sent, and whether it was ignored before.
    fn note_expect(&self, was_sent: bool, was_ignored: bool) {
        let known = &self.settings.expect;
        if was_ignored && known.was_ignored(Instant::now()) {
            warn!("the Expect header is unsupported, uploading without it");
        } else if was_sent && known.was_answered() {
            info!("the Expect header is supported again");
        }
    }

    async fn judge(&self, answer: Answer, upload: &Upload<'_>, begin: Instant) -> Outcome {
        let sent = Sent {
            host_id: upload.host_id.clone(),
            episode_id: upload.episode_id.clone(),
            commit: upload.commit.map(str::to_owned),
            sha256: upload.archive.sha256,
            size_bytes: upload.archive.size_bytes,
            elapsed: begin.elapsed(),
        };
        let proof = answer.claims_success().then(|| proof(&answer, &sent));
        let is_accepted = match proof {
            None | Some(Proof::Ours) => false,
            // Whatever answered: a receiver that has these bytes can prove it.
            Some(proof) => {
                self.is_stored(upload).await
                    || (proof == Proof::Nothing && self.settings.accept_unproven_success)
            }
        };
        if is_accepted { success(&answer, &sent) } else { judge(&answer, &sent) }
    }

    /// Returns true if a HEAD names the hash that was sent.
    async fn is_stored(&self, upload: &Upload<'_>) -> bool {
        let limit = self.settings.deadlines.small;
        let stored = requests::head(&self.client, upload.host_id, upload.episode_id, limit).await;
        stored.is_ok_and(|stored| stored == Stored::Yes(Some(upload.archive.sha256)))
    }

    /// Finds out what happened to a broken upload. Returns `reason` as an error if HEAD names no stored hash.
    async fn find_out(&self, upload: &Upload<'_>, begin: Instant, reason: String) -> Result<Outcome, String> {
        let (ours, limit) = (upload.archive.sha256, self.settings.deadlines.small);
        match requests::head(&self.client, upload.host_id, upload.episode_id, limit).await {
            Ok(Stored::Yes(Some(hash))) if hash == ours || !Step::MatchHead.is_taken() => {
                Ok(Outcome::AlreadyPresent(shipped(200, upload, begin)))
            }
            Ok(Stored::Yes(Some(hash))) => Ok(Outcome::Conflict(Refusal {
                status: Some(ErrorCode::Conflict.status()),
                error: ErrorCode::Conflict.to_string(),
                commit: upload.commit.map(str::to_owned),
                detail: Some("the upload broke, and the receiver holds other bytes under this id".to_owned()),
                stored_sha256: Some(hash.to_string()),
                your_sha256: Some(ours.to_string()),
                ..Refusal::default()
            })),
            Ok(Stored::Yes(None) | Stored::No) => Err(reason),
            Ok(Stored::Unclear(answer)) => Ok(about_the_receiver(&answer)),
            Err(silence) => Ok(out_of_reach(&silence)),
        }
    }

    /// Removes an archive whose bytes have changed since it was hashed, so that the next try packs it anew.
    async fn drop_archive_if_changed(&self, id: &EpisodeId, archive: &Archive, stop: Stop) {
        let (dirs, id, archive) = (self.settings.dirs.clone(), id.clone(), archive.clone());
        let checked = blocking(move || {
            let changed = outbox::hash(&archive.file, &stop).is_ok_and(|now| now != archive.sha256);
            if changed { dirs.remove_archive(&id) } else { Ok(()) }
        });
        if let Err(error) = checked.await {
            warn!(%error, "a changed archive could not be removed");
        }
    }
}

fn shipped(status: u16, upload: &Upload<'_>, begin: Instant) -> Shipped {
    Shipped {
        status,
        commit: upload.commit.map(str::to_owned),
        size_bytes: upload.archive.size_bytes,
        elapsed: begin.elapsed(),
        position: None,
        remediation: None,
    }
}

fn retry(scope: Scope, reason: String) -> Outcome {
    Outcome::Transient { scope, reason, retry_after: None, help: None }
}
