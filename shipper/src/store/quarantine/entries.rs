//! What lies in the quarantine: each episode with its note, as far as that can be read.
//!
//! Everything here blocks, and needs the memory of one note at a time. It moves and deletes nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use cis490_shared::archive::{META_NAME, REASON_NAME};
use cis490_shared::ids::{CommitHash, EpisodeId};
use cis490_shared::meta::{EpisodeMeta, MAX_META_BYTES};
use serde::Deserialize;

use crate::answers::outcome::Refusal;
use crate::policy::awaited::Tally;
use crate::store::moves::MoveBack;

/// The largest note that is read, in bytes. Ours are below 4 KiB.
const MAX_NOTE_BYTES: u64 = 1024 * 1024;

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn refused(root: &Path, name: &str, note: &str) {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        let meta = format!(r#"{{"episode_id": "e", "code_version": {{"commit": "{}"}}}}"#, "CD".repeat(20));
        fs::write(dir.join(META_NAME), meta).unwrap();
        fs::write(dir.join(REASON_NAME), note).unwrap();
    }

    fn noted(status: u16, error: &str, commit: &str) -> String {
        format!(r#"{{"status": {status}, "error": "{error}", "commit": "{commit}"}}"#)
    }

    #[test]
    fn the_tally_says_what_waits_for_which_commit_also_by_notes_of_the_earlier_generation() {
        let root = tempfile::tempdir().unwrap();
        let ab = "ab".repeat(20);
        refused(root.path(), "e1", &noted(412, "commit-not-in-window", &ab));
        refused(root.path(), "e2.1", &noted(412, "commit-not-in-window", &ab));
        refused(root.path(), "e3", r#"{"status": 412, "head": "ef"}"#);
        refused(root.path(), "e4", &noted(400, "commit-malformed", "unknown"));
        refused(root.path(), "e5", &noted(409, "conflict", &ab));
        refused(root.path(), "e6", "torn {");
        refused(root.path(), ".pruned-e7", &noted(412, "commit-not-in-window", &ab));
        fs::write(root.path().join("a-file"), "").unwrap();
        let tally = survey(root.path(), &AtomicBool::new(false)).unwrap();
        let by_commit = BTreeMap::from([(ab.clone(), 2), ("cd".repeat(20), 1)]);
        assert_eq!(tally, Tally { total: 6, by_commit, conflicts: 1 });
        let error = survey(root.path(), &AtomicBool::new(true)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn an_episode_returns_under_its_own_name() {
        let entry = |name: &str| Entry { name: name.to_owned(), path: PathBuf::from(name) };
        assert_eq!(entry("e2.1").returning().unwrap().id.as_str(), "e2");
        assert_eq!(entry("e2").returning().unwrap().name, "e2");
        assert_eq!(entry(".odd").returning(), None);
    }

    #[test]
    fn the_tally_forgets_what_returned() {
        let mut tally = Tally::default();
        let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
        for _ in 0..3 {
            tally.add(Some(&commit), None);
        }
        tally.take(commit.as_str(), 2);
        assert_eq!((tally.total, tally.by_commit[commit.as_str()]), (1, 1));
        tally.take(commit.as_str(), 9);
        assert_eq!(tally, Tally::default());
    }
}
