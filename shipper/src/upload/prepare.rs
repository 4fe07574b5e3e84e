//! What is done with an episode before it is sent, as far as it is done on the disk. Everything here blocks.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cis490_shared::archive::pack::{Episode, PackError, Packer};
use cis490_shared::ids::EpisodeId;

use crate::queue::dirs::Dirs;
use crate::queue::outcome::{Outcome, Refusal};
use crate::upload::outbox::{self, Archive, OutboxError, Stop, Unpublished};
use crate::upload::ship::{Early, local};
use crate::upload::turns::{Lane, Turns};

/// What an archive is to be made of.
pub(super) enum Source {
    /// An episode that nobody looked at; its archive only where its commit is one of these.
    Look(EpisodeId, Vec<Option<String>>),
    /// One that was looked at, and whose commit is admitted.
    Seen(Arc<Episode>, Lane),
}

/// An episode that was looked at.
pub(super) struct Prepared {
    pub(super) episode: Arc<Episode>,
    pub(super) lane: Lane,
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
        turns: &Turns,
        rebuild: bool,
        stop: &Stop,
    ) -> Result<Prepared, Early> {
        let (episode, lane, is_admitted) = match self {
            Self::Seen(episode, lane) => (episode, lane, true),
            Self::Look(id, admitted) => {
                let episode =
                    outbox::look(dirs, &id).map_err(|error| no_archive(error, &dirs.episode(&id)))?;
                let is_admitted =
                    admitted.iter().any(|commit| commit.as_deref() == episode.meta().commit_text());
                let lane = turns.lane(episode.bytes()).ok_or(Outcome::Postponed)?;
                (Arc::new(episode), lane, is_admitted)
            }
        };
        if !is_admitted {
            return Ok(Prepared { episode, lane, archive: None, unpublished: None });
        }
        // A packer begins every archive anew, whatever became of the one before.
        let mut packer = packer.lock().unwrap_or_else(PoisonError::into_inner);
        let (archive, unpublished) = outbox::take_or_pack(dirs, &episode, &mut packer, rebuild, stop)
            .map_err(|error| no_archive(error, &dirs.episode(episode.id())))?;
        Ok(Prepared { episode, lane, archive: Some(archive), unpublished })
    }
}

fn no_archive(error: OutboxError, dir: &Path) -> Outcome {
    match error {
        OutboxError::Stopped => Outcome::Stopped,
        OutboxError::Pack(error) => unpackable(&error, dir),
        OutboxError::Io { .. } => local(error.to_string()),
    }
}

/// What an episode that cannot be packed leads to: a refusal where it will never be, another try where the
/// disk is at fault or somebody still writes to it.
fn unpackable(error: &PackError, dir: &Path) -> Outcome {
    let kind = match error {
        PackError::Read { path, source } if path == dir && source.kind() == io::ErrorKind::NotFound => {
            return Outcome::Gone;
        }
        PackError::Read { .. }
        | PackError::ReadArchive(_)
        | PackError::Write(_)
        | PackError::Changed { .. }
        | PackError::Stopped => return local(error.to_string()),
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
