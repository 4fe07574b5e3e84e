//! The note beside a refused episode, and how long such an episode is kept (protocol 3.4).
//!
//! - [`entries`]: what lies in quarantine, and a tally of it
//! - [`release`]: has them go back
//!
//! What was refused only for its commit is deleted only where the configuration says so: the gate may admit it yet
//! (accidents 5 and 8). Nor is anything whose note cannot be read. It does not decide what is refused.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use cis490_shared::clock::WallTime;
use cis490_shared::ids::EpisodeId;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::answers::outcome::Refusal;
use crate::store::doomed;
use crate::store::lived::Lived;
use crate::store::quarantine::entries::{Entry, Note};

pub mod entries;
pub mod release;

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
        let deleted = match doomed::is_doomed(&name) || expired.is_some() {
            true => doomed::delete(root, &name).map(|_| true),
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use cis490_shared::archive::REASON_NAME;

    use super::*;
    use tokio::time::Instant;

    const DAY: Duration = Duration::from_hours(24);

    fn refusal(status: Option<u16>, error: &str) -> Refusal {
        Refusal { status, error: error.to_owned(), ..Refusal::default() }
    }

    fn refused(root: &Path, name: &str, refusal: Refusal) {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("meta.json"), "{}").unwrap();
        let reason =
            Reason { episode_id: EpisodeId::parse("e1").unwrap(), refusal, refused_at_wall: WallTime::now() };
        fs::write(dir.join(REASON_NAME), reason.to_json()).unwrap();
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn days(days: u32) -> Keep {
        Keep { for_commit: None, others: Some(DAY * days) }
    }

    /// So many days and an hour after a walk that found what is there now.
    fn in_days(days: u32) -> Lived {
        let (mut lived, now) = (Lived::of(Path::new("/nowhere")), Instant::now());
        let wall = cis490_shared::clock::system_time();
        lived.go_on(now, wall + Duration::from_hours(1));
        lived.go_on(now + DAY * days + Duration::from_hours(1), wall + DAY * days + Duration::from_hours(1));
        lived
    }

    #[test]
    fn a_reason_reads_back_and_names_its_null_status() {
        let reason = Reason {
            episode_id: EpisodeId::parse("e1").unwrap(),
            refusal: refusal(None, "local-no-meta"),
            refused_at_wall: WallTime::from(SystemTime::UNIX_EPOCH),
        };
        let text = String::from_utf8(reason.to_json()).unwrap();
        assert!(text.contains("\"status\": null") && text.contains("\"refused_at_wall\": \"1970-"), "{text}");
        assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), reason);
    }

    #[test]
    fn what_is_old_goes_and_what_is_young_stays() {
        let dir = tempfile::tempdir().unwrap();
        refused(dir.path(), "conflict", refusal(Some(409), "conflict"));
        refused(dir.path(), "broken", refusal(None, "local-meta"));
        assert_eq!(prune(dir.path(), days(30), &in_days(29)).unwrap(), Pruned { deleted: 0, kept: 2 });
        assert_eq!(prune(dir.path(), days(30), &in_days(31)).unwrap(), Pruned { deleted: 1, kept: 1 });
        assert_eq!(names(dir.path()), ["broken"], "nobody but this host has judged it");
    }

    #[test]
    fn incident_05_what_was_refused_only_for_its_commit_is_never_deleted() {
        let dir = tempfile::tempdir().unwrap();
        refused(dir.path(), "window", refusal(Some(412), "commit-not-in-window"));
        refused(dir.path(), "malformed", refusal(Some(400), "commit-malformed"));
        fs::create_dir(dir.path().join("earlier")).unwrap();
        fs::write(dir.path().join("earlier").join(REASON_NAME), r#"{"status": 412, "head": "cd"}"#).unwrap();
        assert_eq!(prune(dir.path(), days(1), &in_days(1000)).unwrap(), Pruned { deleted: 0, kept: 3 });
        let told_to = Keep { for_commit: Some(DAY * 90), ..days(1) };
        assert_eq!(prune(dir.path(), told_to, &in_days(89)).unwrap().deleted, 0);
        assert_eq!(
            prune(dir.path(), told_to, &in_days(91)).unwrap().deleted,
            3,
            "unless the operator says so"
        );
    }

    #[test]
    fn what_cannot_be_explained_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for (name, note) in [("torn", "{\"status\": 4"), ("empty", ""), ("silent", "{}"), ("list", "[]")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(REASON_NAME), note).unwrap();
        }
        fs::create_dir(dir.path().join("no-note")).unwrap();
        File::create(dir.path().join("a-file")).unwrap();
        assert_eq!(
            prune(dir.path(), Keep { for_commit: Some(DAY), ..days(1) }, &in_days(1000)).unwrap(),
            Pruned { deleted: 0, kept: 6 }
        );
    }

    #[test]
    fn a_deletion_that_a_crash_cut_short_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".pruned-e1")).unwrap();
        fs::write(dir.path().join(".pruned-e1/network.pcap"), "x").unwrap();
        prune(dir.path(), days(1), &in_days(0)).unwrap();
        assert!(names(dir.path()).is_empty());
    }
}
