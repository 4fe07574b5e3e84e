//! Refused episodes: the note beside each, what lies in `quarantine/`, how long it is kept, and how it goes back (protocol
//! 3.4). Everything here blocks.
//!
//! What was refused only for its commit is deleted only where the configuration says so: the gate may admit it yet
//! (accidents 5 and 8). Nor is anything whose note cannot be read. What cannot go back stays where it is and says why.
//! It needs the memory of one note at a time, and does not decide what is refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use cis490_shared::archive::{META_NAME, REASON_NAME};
use cis490_shared::clock::WallTime;
use cis490_shared::ids::{CommitHash, EpisodeId};
use cis490_shared::meta::{EpisodeMeta, MAX_META_BYTES};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::answers::outcome::Refusal;
use crate::policy::awaited::Tally;
use crate::store::age::Lived;
use crate::store::disk;
use crate::store::layout::{Dirs, DirsError};

/// The largest note that is read, in bytes. Ours are below 4 KiB.
const MAX_NOTE_BYTES: u64 = 1024 * 1024;
/// So many go back together, and share the syncs.
const BATCH: usize = 256;
/// How many that stayed are told one by one.
const MAX_STAYED: usize = 10;

/// `quarantine_reason.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The episode.
    pub episode_id: EpisodeId,
    /// Who refused it, and why.
    #[serde(flatten)]
    pub refusal: Refusal,
    /// When that was, by this host's clock.
    pub refused_at_wall: WallTime,
}

impl Reason {
    /// The text of the file, for people and programs.
    pub fn to_json(&self) -> Vec<u8> {
        // Text and numbers only: there is nothing in it that JSON could not hold.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// The note beside a refused episode; one of an earlier generation holds less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Note {
    /// Who refused it, and why.
    #[serde(flatten)]
    pub refusal: Refusal,
    /// When that was, by this host's clock.
    #[serde(default)]
    pub refused_at_wall: Option<String>,
}

/// A directory in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Entry {
    /// The episode in it: its name, without what was added because the name was taken.
    pub fn episode_id(&self) -> Option<EpisodeId> {
        EpisodeId::parse(self.name.split('.').next().unwrap_or_default()).ok()
    }

    /// Its note; none where it has none that can be read.
    pub fn note(&self) -> Option<Note> {
        let text = read_at_most(&self.path.join(REASON_NAME), MAX_NOTE_BYTES)?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        (note.refusal.status.is_some() || !note.refusal.error.is_empty()).then_some(note)
    }

    /// When its note was written, as the file system has it.
    pub fn refused_at(&self) -> Option<SystemTime> {
        fs::symlink_metadata(self.path.join(REASON_NAME)).and_then(|metadata| metadata.modified()).ok()
    }

    /// The commit that it waits for, where it was refused for its commit alone.
    pub fn awaited_commit(&self, note: &Note) -> Option<CommitHash> {
        if !note.refusal.is_about_the_commit() {
            return None;
        }
        if let Some(commit) = &note.refusal.commit {
            return CommitHash::parse(commit).ok();
        }
        // A note of the earlier generation may not say which one.
        let text = read_at_most(&self.path.join(META_NAME), MAX_META_BYTES)?;
        EpisodeMeta::parse(&text).ok()?.commit()?.ok()
    }

    /// How it goes back to `episodes/`.
    pub fn returning(&self) -> Option<MoveBack> {
        Some(MoveBack { id: self.episode_id()?, name: self.name.clone() })
    }
}

fn read_at_most(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let metadata = fs::symlink_metadata(path).ok()?;
    (metadata.is_file() && metadata.len() <= limit).then(|| fs::read(path).ok())?
}

/// All entries, in no order. What is about to be deleted is none.
pub fn entries(root: &Path) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
    let found = fs::read_dir(root)?.map(|entry| {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A deletion or a copy that is under way, or was cut short, is none.
        let is_episode = entry.file_type()?.is_dir() && !name.starts_with('.');
        Ok(is_episode.then(|| Entry { name, path: entry.path() }))
    });
    Ok(found.filter_map(Result::transpose))
}

/// How many entries there are; reads no note.
pub fn count(root: &Path) -> io::Result<usize> {
    entries(root)?.try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// Counts what is in quarantine, reading every note; an error where `stop` says so.
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
    /// Those that were refused for their commit alone; none: until it is admitted.
    pub for_commit: Option<Duration>,
    /// All others; none: for ever.
    pub others: Option<Duration>,
}

/// What became of the quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Episodes deleted for their age.
    pub deleted: usize,
    /// Episodes that stay.
    pub kept: usize,
}

/// Deletes what was refused longer ago than it is to be kept, by what was lived through since its note was written.
/// Blocks, and reads every note.
///
/// What is deleted is named in the log. What cannot be deleted is logged and stays; it is tried again the next time.
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

/// The note of the episode in `dir`, where that may be deleted. Everything that is not known for certain speaks against
/// it, and so does a refusal that no receiver had a part in: nobody but this host has judged it.
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
    /// The episode.
    pub id: EpisodeId,
    /// What its directory in `quarantine/` is called: the id, or a name made of it where that was taken.
    pub name: String,
}

/// What became of those that were to go back.
#[derive(Debug, Default)]
pub struct Released {
    /// So many are in `episodes/` again.
    pub count: usize,
    /// What stayed, and why; only the first few.
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

/// Has those go back that are `wanted`, `at_most` so many; ends early where `stop` says so.
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

/// Has those go back that were refused for this commit alone.
pub fn release_commit(dirs: &Dirs, commit: &str, at_most: usize, stop: &AtomicBool) -> io::Result<Released> {
    release(dirs, at_most, stop, |entry| {
        let awaited = entry.note().and_then(|note| entry.awaited_commit(&note));
        awaited.is_some_and(|awaited| awaited.as_str() == commit)
    })
}

#[cfg(test)]
mod tests;
