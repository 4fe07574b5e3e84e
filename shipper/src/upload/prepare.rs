//! Prepares an episode on disk before it is sent: inspects it, and takes or packs its archive, as one job in the
//! blocking pool. The job then publishes a packed archive while it is being sent ([`Published`]).

use std::future::{Future, ready};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use cis490_shared::archive::pack::{Episode, PackError, Packer};
use cis490_shared::ids::EpisodeId;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::answers::outcome::{Outcome, Refusal, Scope};
use crate::store::layout::Dirs;
use crate::store::outbox::{self, Archive, OutboxError, Stop, Unpublished};
use crate::upload::slots::{SizeClass, UploadSlots};

/// An outcome that is known before all steps were taken.
pub(super) type Early = Box<Outcome>;

/// The episode that an archive is made of.
pub(super) enum Source {
    /// An episode that was not inspected yet. It gets an archive only if its commit is in the list.
    Uninspected(EpisodeId, Vec<Option<String>>),
    /// An inspected episode whose commit may be sent.
    Inspected(Arc<Episode>, SizeClass),
}

/// An episode that passed the checks.
pub(super) struct Prepared {
    pub(super) episode: Arc<Episode>,
    pub(super) size_class: SizeClass,
    /// The archive, if the gate is known to let the commit be sent.
    pub(super) archive: Option<Archive>,
}

/// Everything that preparation needs. Its jobs run one after the other.
#[derive(Clone)]
pub(super) struct Workshop {
    pub(super) dirs: Dirs,
    pub(super) packer: Arc<Mutex<Packer>>,
    pub(super) slots: UploadSlots,
}

impl Workshop {
    /// Inspects an episode and takes or packs its archive. Both are one job in the pool, because waking a thread costs
    /// a small episode more than most of the work.
    pub(super) async fn prepare(
        &self,
        source: Source,
        rebuild: bool,
        stop: Stop,
    ) -> Result<(Prepared, Published), Early> {
        let (workshop, (sender, prepared)) = (self.clone(), oneshot::channel());
        let job = tokio::task::spawn_blocking(move || {
            let (prepared, unpublished) = match workshop.prepare_here(source, rebuild, &stop) {
                Ok((prepared, unpublished)) => (Ok(prepared), unpublished),
                Err(early) => (Err(early), None),
            };
            // If nothing waits any more, the archive is still kept for the next try.
            let _ = sender.send(prepared);
            // `stop` must live until then, because the sender of `stop` waits for this job.
            unpublished.map_or(Ok(()), Unpublished::publish).inspect(|()| drop(stop))
        });
        let published = Published::when(finished(job));
        if let Ok(prepared) = prepared.await {
            return Ok((prepared?, published));
        }
        // The job has panicked, and so does this task.
        let _ = published.await;
        std::future::pending().await
    }

    /// Does the same on this thread, and leaves it to the caller to publish the archive. Blocks.
    fn prepare_here(
        &self,
        source: Source,
        rebuild: bool,
        stop: &Stop,
    ) -> Result<(Prepared, Option<Unpublished>), Early> {
        let Self { dirs, packer, slots } = self;
        let (episode, size_class, is_admitted) = match source {
            Source::Inspected(episode, size_class) => (episode, size_class, true),
            Source::Uninspected(id, admitted) => {
                let episode =
                    outbox::inspect(dirs, &id).map_err(|error| no_archive(error, &dirs.episode(&id)))?;
                let is_admitted =
                    admitted.iter().any(|commit| commit.as_deref() == episode.meta().commit_text());
                let size_class = slots.size_class(episode.bytes()).ok_or(Outcome::Postponed)?;
                (Arc::new(episode), size_class, is_admitted)
            }
        };
        if !is_admitted {
            return Ok((Prepared { episode, size_class, archive: None }, None));
        }
        // A packer starts every archive from scratch, whatever happened to the last one.
        let mut packer = packer.lock().unwrap_or_else(PoisonError::into_inner);
        let (archive, unpublished) = outbox::take_or_pack(dirs, &episode, &mut packer, rebuild, stop)
            .map_err(|error| no_archive(error, &dirs.episode(episode.id())))?;
        Ok((Prepared { episode, size_class, archive: Some(archive) }, unpublished))
    }
}

/// Runs blocking work in the pool. If the work panics, so does the caller, and the process ends (ADR 0003).
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    finished(tokio::task::spawn_blocking(work)).await
}

/// Waits for a job in the pool, and panics if the job has panicked.
async fn finished<T>(job: JoinHandle<T>) -> T {
    match job.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being taken down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A future that is ready once bytes and name of the archive are on disk in the outbox, or cannot be brought there. All
/// clones yield the same result. The job goes on even if nothing waits.
#[derive(Clone)]
pub struct Published(Shared<LocalBoxFuture<'static, Result<(), Rc<OutboxError>>>>);

impl Published {
    /// Returns a future that is ready when `done` is.
    pub fn when(done: impl Future<Output = Result<(), OutboxError>> + 'static) -> Self {
        Self(done.map(|done| done.map_err(Rc::new)).boxed_local().shared())
    }

    /// Returns a future for an archive that lay in the outbox before.
    pub fn already() -> Self {
        Self::when(ready(Ok(())))
    }
}

impl Future for Published {
    /// The error is a text, because it becomes the reason why a body broke off.
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx).map_err(|error| error.to_string())
    }
}

/// Returns the outcome if there is no archive, or none that can be compared with its episode.
pub(super) fn no_archive(error: OutboxError, dir: &Path) -> Outcome {
    match error {
        OutboxError::Stopped => Outcome::Stopped,
        OutboxError::Pack(error) => unpackable(&error, dir),
        OutboxError::Io(_) => local(error.to_string()),
    }
}

/// Returns the outcome for an episode that cannot be packed: a refusal if it never can be. It is tried again if the
/// disk is at fault or a program still writes to it. A permission may still be granted, so the shipper waits for it for
/// a while.
fn unpackable(error: &PackError, dir: &Path) -> Outcome {
    let kind = match error {
        PackError::Read { path, source } if path == dir && source.kind() == io::ErrorKind::NotFound => {
            return Outcome::Gone;
        }
        PackError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            return Outcome::Unready { reason: error.to_string(), aside: Some("local-unreadable") };
        }
        PackError::Read { .. } | PackError::ReadArchive(_) | PackError::Changed { .. } => {
            return Outcome::Unready { reason: error.to_string(), aside: None };
        }
        PackError::Write(_) | PackError::Stopped => return local(error.to_string()),
        PackError::PathTooLong { .. } => "local-path-too-long",
        PackError::NoMeta(_) => "local-no-meta",
        PackError::Meta { .. } => "local-bad-meta",
        PackError::OtherEpisode { .. } => "local-other-episode",
        PackError::NotAFile { .. } => "local-not-a-file",
    };
    Outcome::Refused(Refusal {
        error: kind.to_owned(),
        detail: Some(error.to_string()),
        ..Refusal::default()
    })
}

/// Returns an outcome that asks for another try, because the trouble is on this host's disk.
fn local(reason: String) -> Outcome {
    Outcome::Transient { scope: Scope::Episode, reason, retry_after: None, help: None }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn only_what_cannot_pass_is_refused_at_once() {
        let (dir, file) = (Path::new("/data/episodes/e1"), Path::new("/data/episodes/e1/a").to_owned());
        let read = |errno: Errno| PackError::Read { path: file.clone(), source: errno.into() };
        let outcome = |error: PackError| match unpackable(&error, dir) {
            Outcome::Refused(refusal) => refusal.error,
            Outcome::Unready { aside: Some(aside), .. } => format!("waits, then {aside}"),
            Outcome::Unready { aside: None, .. } => "waits".to_owned(),
            Outcome::Transient { .. } => "all wait".to_owned(),
            other => format!("{other:?}"),
        };
        let too_long = PackError::PathTooLong { path: file.clone(), length: 5000 };
        let gone = PackError::Read { path: dir.to_owned(), source: Errno::NOENT.into() };
        let table = [
            (too_long, "local-path-too-long"),
            (PackError::NoMeta(dir.to_owned()), "local-no-meta"),
            (read(Errno::ACCESS), "waits, then local-unreadable"),
            (read(Errno::IO), "waits"),
            (read(Errno::MFILE), "waits"),
            (PackError::Changed { path: file.clone() }, "waits"),
            (PackError::ReadArchive(Errno::IO.into()), "waits"),
            (PackError::Write(Errno::NOSPC.into()), "all wait"),
            (gone, "Gone"),
        ];
        for (error, expected) in table {
            let text = error.to_string();
            assert_eq!(outcome(error), expected, "{text}");
        }
    }
}
