//! Refused episodes: the note beside each, the contents of `quarantine/`, how long they are kept, and how they go back
//! (protocol 3.4). Everything here blocks.
//!
//! An episode refused only for its commit is deleted only if the configuration says so. The gate may still admit the
//! commit (accidents 5 and 8). An episode whose note cannot be read is never deleted. An episode that cannot go back
//! stays where it is, and the reason is reported. This module needs the memory of one note at a time, and does not
//! decide which episodes are refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use cis490_shared::archive::REASON_NAME;
use cis490_shared::clock::WallTime;
use cis490_shared::ids::{CommitHash, EpisodeId};
use cis490_shared::meta::EpisodeMeta;
use cis490_shared::regular;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::answers::outcome::Refusal;
use crate::policy::awaited::Tally;
use crate::store::age::Lived;
use crate::store::disk;
use crate::store::layout::{Dirs, DirsError};

/// The largest note that is read, in bytes. Our notes are below 4 KiB.
const MAX_NOTE_BYTES: u64 = 1024 * 1024;
/// Episodes that go back together and share the syncs.
const BATCH: usize = 256;
/// The most episodes that stayed which are reported one by one.
const MAX_STAYED: usize = 10;

/// The contents of `quarantine_reason.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The id of the episode.
    pub episode_id: EpisodeId,
    /// Who refused the episode, and why.
    #[serde(flatten)]
    pub refusal: Refusal,
    /// The time of the refusal, by this host's clock.
    pub refused_at_wall: WallTime,
}

impl Reason {
    /// Returns the text of the file, for people and programs.
    pub fn to_json(&self) -> Vec<u8> {
        // Text and numbers only, so JSON can represent all of it.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// The note beside a refused episode. One of an earlier generation contains less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Note {
    /// Who refused the episode, and why.
    #[serde(flatten)]
    pub refusal: Refusal,
    /// The time of the refusal, by this host's clock.
    #[serde(default)]
    pub refused_at_wall: Option<String>,
}

/// A directory in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of the directory.
    pub name: String,
    /// The path of the directory.
    pub path: PathBuf,
}

impl Entry {
    /// Returns the id of the episode in it: the name, without the number that is added if the name was taken.
    pub fn episode_id(&self) -> Option<EpisodeId> {
        EpisodeId::parse(self.name.split('.').next().unwrap_or_default()).ok()
    }

    /// Returns the note. `None` if there is none that can be read.
    pub fn note(&self) -> Option<Note> {
        let text = regular::read(&self.path.join(REASON_NAME), MAX_NOTE_BYTES).ok()?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        (note.refusal.status.is_some() || !note.refusal.error.is_empty()).then_some(note)
    }

    /// Returns the time at which the note was written, by the file system.
    pub fn refused_at(&self) -> Option<SystemTime> {
        fs::symlink_metadata(self.path.join(REASON_NAME)).and_then(|metadata| metadata.modified()).ok()
    }

    /// Returns the commit that the episode waits for, if it was refused for its commit alone.
    pub fn awaited_commit(&self, note: &Note) -> Option<CommitHash> {
        if !note.refusal.is_about_the_commit() {
            return None;
        }
        if let Some(commit) = &note.refusal.commit {
            return CommitHash::parse(commit).ok();
        }
        // A note of the earlier generation may not name the commit.
        EpisodeMeta::beside(&self.path)?.commit()?.ok()
    }

    /// Returns the move back to `episodes/`.
    pub fn returning(&self) -> Option<MoveBack> {
        Some(MoveBack { id: self.episode_id()?, name: self.name.clone() })
    }
}

/// Returns all entries, in no order. Directories that are about to be deleted are not entries.
pub fn entries(root: &Path) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
    let found = fs::read_dir(root)?.map(|entry| {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A deletion or a copy that is under way, or was cut short, is no entry.
        let is_episode = entry.file_type()?.is_dir() && !name.starts_with('.');
        Ok(is_episode.then(|| Entry { name, path: entry.path() }))
    });
    Ok(found.filter_map(Result::transpose))
}

/// Returns the number of entries, without reading a note.
pub fn count(root: &Path) -> io::Result<usize> {
    entries(root)?.try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// Counts the episodes in quarantine, and reads every note. An error if `stop` is set.
pub fn survey(root: &Path, stop: &AtomicBool) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for entry in entries(root)? {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let entry = entry?;
        let note = entry.note();
        let awaited = note.as_ref().and_then(|note| entry.awaited_commit(note));
        tally.add(awaited.as_ref(), note.as_ref().map(|note| &note.refusal));
    }
    Ok(tally)
}

/// How long refused episodes are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// For episodes refused for their commit alone. `None`: until the commit is admitted.
    pub for_commit: Option<Duration>,
    /// For all other episodes. `None`: for ever.
    pub others: Option<Duration>,
}

/// The result of pruning the quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Episodes deleted for their age.
    pub deleted: usize,
    /// Episodes that stay.
    pub kept: usize,
}

/// Deletes episodes that were refused longer ago than they are kept, by the running time since their note was written.
/// Blocks, and reads every note.
///
/// Deletions are named in the log. A deletion that fails is logged and tried again the next time.
pub fn prune(root: &Path, keep: Keep, lived: &Lived) -> io::Result<Pruned> {
    let mut pruned = Pruned::default();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let expired = expired(&path, keep, lived);
        let deleted = match disk::is_doomed(&name) || expired.is_some() {
            true => disk::delete(root, &name).map(|_| true),
            false => Ok(false),
        };
        if let (Ok(true), Some(Note { refusal, refused_at_wall })) = (&deleted, expired) {
            let Refusal { status, error, commit, .. } = refusal;
            warn!(name, status, error, commit, refused_at_wall, "refused episode deleted for its age");
        }
        match deleted {
            Ok(true) => pruned.deleted += 1,
            Ok(false) => pruned.kept += 1,
            Err(error) => {
                pruned.kept += 1;
                warn!(path = %path.display(), %error, "a refused episode could not be deleted");
            }
        }
    }
    Ok(pruned)
}

/// Returns the note of the episode in `dir` if it may be deleted. Anything uncertain keeps the episode. So does a
/// refusal without a receiver, because only this host has judged the episode.
fn expired(dir: &Path, keep: Keep, lived: &Lived) -> Option<Note> {
    let entry = Entry { name: String::new(), path: dir.to_owned() };
    let (age, note) = (lived.age(entry.refused_at()?), entry.note()?);
    note.refusal.status?;
    let keep = if note.refusal.is_about_the_commit() { keep.for_commit } else { keep.others };
    (age > keep?).then_some(note)
}

/// An episode that returns from quarantine to `episodes/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveBack {
    /// The id of the episode.
    pub id: EpisodeId,
    /// The name of its directory in `quarantine/`: the id, with a number behind it if that was taken.
    pub name: String,
}

/// The result of a release.
#[derive(Debug, Default)]
pub struct Released {
    /// Episodes that are in `episodes/` again.
    pub count: usize,
    /// Episodes that stayed, and why; only the first few.
    pub stayed: Vec<(String, DirsError)>,
}

impl Released {
    fn take(&mut self, batch: &[MoveBack], done: Vec<Result<(), DirsError>>) {
        for (returning, done) in batch.iter().zip(done) {
            match done {
                Ok(()) => self.count += 1,
                Err(error) if self.stayed.len() < MAX_STAYED => {
                    self.stayed.push((returning.name.clone(), error));
                }
                Err(_) => {}
            }
        }
    }
}

/// Moves the episodes back that are `wanted`, but not more than `at_most`. Ends early if `stop` is set.
pub fn release(
    dirs: &Dirs,
    at_most: usize,
    stop: &AtomicBool,
    mut wanted: impl FnMut(&Entry) -> bool,
) -> io::Result<Released> {
    let (mut released, mut batch, mut found) = (Released::default(), Vec::new(), 0);
    for entry in entries(&dirs.quarantine_root())? {
        if found == at_most || stop.load(Ordering::Relaxed) {
            break;
        }
        let entry = entry?;
        let Some(returning) = entry.returning().filter(|_| wanted(&entry)) else { continue };
        batch.push(returning);
        found += 1;
        if batch.len() == BATCH {
            released.take(&batch, dirs.release(&batch));
            batch.clear();
        }
    }
    if !batch.is_empty() {
        released.take(&batch, dirs.release(&batch));
    }
    Ok(released)
}

/// Moves the episodes back that were refused for this commit alone.
pub fn release_commit(dirs: &Dirs, commit: &str, at_most: usize, stop: &AtomicBool) -> io::Result<Released> {
    release(dirs, at_most, stop, |entry| {
        let awaited = entry.note().and_then(|note| entry.awaited_commit(&note));
        awaited.is_some_and(|awaited| awaited.as_str() == commit)
    })
}

#[cfg(test)]
mod tests;
