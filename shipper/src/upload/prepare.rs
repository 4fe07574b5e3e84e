//! What is done with an episode before it is sent, as far as it is done on the disk. Everything here blocks.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cis490_shared::archive::pack::{Episode, PackError, Packer};
use cis490_shared::ids::EpisodeId;

use crate::answers::outcome::{Outcome, Refusal, Scope};
use crate::store::layout::Dirs;
use crate::store::outbox::{self, Archive, OutboxError, Stop, Unpublished};
use crate::upload::slots::{SizeClass, UploadSlots};

/// An outcome that is known before all steps were taken.
pub(super) type Early = Box<Outcome>;

/// What an archive is to be made of.
pub(super) enum Source {
    /// An episode that nobody looked at; its archive only where its commit is one of these.
    Look(EpisodeId, Vec<Option<String>>),
    /// One that was looked at, and whose commit is admitted.
    Seen(Arc<Episode>, SizeClass),
}

/// An episode that was looked at.
pub(super) struct Prepared {
    pub(super) episode: Arc<Episode>,
    pub(super) size_class: SizeClass,
    /// Only where its commit is admitted.
    pub(super) archive: Option<Archive>,
    /// What is to be published of the archive.
    pub(super) unpublished: Option<Unpublished>,
}

impl Source {
    /// Looks, and takes or packs the archive. Blocks.
    pub(super) fn prepare(
        self,
        dirs: &Dirs,
        packer: &Mutex<Packer>,
        slots: &UploadSlots,
        rebuild: bool,
        stop: &Stop,
    ) -> Result<Prepared, Early> {
        let (episode, size_class, is_admitted) = match self {
            Self::Seen(episode, size_class) => (episode, size_class, true),
            Self::Look(id, admitted) => {
                let episode =
                    outbox::look(dirs, &id).map_err(|error| no_archive(error, &dirs.episode(&id)))?;
                let is_admitted =
                    admitted.iter().any(|commit| commit.as_deref() == episode.meta().commit_text());
                let size_class = slots.size_class(episode.bytes()).ok_or(Outcome::Postponed)?;
                (Arc::new(episode), size_class, is_admitted)
            }
        };
        if !is_admitted {
            return Ok(Prepared { episode, size_class, archive: None, unpublished: None });
        }
        // A packer begins every archive anew, whatever became of the one before.
        let mut packer = packer.lock().unwrap_or_else(PoisonError::into_inner);
        let (archive, unpublished) = outbox::take_or_pack(dirs, &episode, &mut packer, rebuild, stop)
            .map_err(|error| no_archive(error, &dirs.episode(episode.id())))?;
        Ok(Prepared { episode, size_class, archive: Some(archive), unpublished })
    }
}

/// What it leads to that there is no archive, or none that can be compared with its episode.
pub(super) fn no_archive(error: OutboxError, dir: &Path) -> Outcome {
    match error {
        OutboxError::Stopped => Outcome::Stopped,
        OutboxError::Pack(error) => unpackable(&error, dir),
        OutboxError::Io(_) => local(error.to_string()),
    }
}

/// What an episode that cannot be packed leads to: a refusal where it will never be, another try where the
/// disk is at fault or somebody still writes to it. A permission may be given, so it is waited for a while.
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

/// Another try: the trouble is on this host's disk.
fn local(reason: String) -> Outcome {
    Outcome::Transient { scope: Scope::Episode, reason, retry_after: None }
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
