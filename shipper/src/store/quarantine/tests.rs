//! Refused episodes that are kept, counted and deleted, in real directories.

use std::collections::BTreeMap;
use std::fs::File;

use cis490_shared::meta::META_NAME;
use tokio::time::Instant;

use super::*;

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
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn days(days: u32) -> Keep {
    Keep { for_commit: None, others: Some(DAY * days) }
}

/// Returns the running time `days` days and an hour after a walk that found the present files.
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
    assert_eq!(prune(dir.path(), told_to, &in_days(91)).unwrap().deleted, 3, "unless the operator says so");
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

fn noted_as(root: &Path, name: &str, note: &str) {
    let dir = root.join(name);
    fs::create_dir(&dir).unwrap();
    let meta = format!(r#"{{"episode_id": "e", "code_version": {{"commit": "{}"}}}}"#, "CD".repeat(20));
    fs::write(dir.join(META_NAME), meta).unwrap();
    fs::write(dir.join(REASON_NAME), note).unwrap();
}

fn note(status: u16, error: &str, commit: &str) -> String {
    format!(r#"{{"status": {status}, "error": "{error}", "commit": "{commit}"}}"#)
}

#[test]
fn the_tally_says_what_waits_for_which_commit_also_by_notes_of_the_earlier_generation() {
    let root = tempfile::tempdir().unwrap();
    let ab = "ab".repeat(20);
    noted_as(root.path(), "e1", &note(412, "commit-not-in-window", &ab));
    noted_as(root.path(), "e2.1", &note(412, "commit-not-in-window", &ab));
    noted_as(root.path(), "e3", r#"{"status": 412, "head": "ef"}"#);
    noted_as(root.path(), "e4", &note(400, "commit-malformed", "unknown"));
    noted_as(root.path(), "e5", &note(409, "conflict", &ab));
    noted_as(root.path(), "e6", "torn {");
    noted_as(root.path(), ".pruned-e7", &note(412, "commit-not-in-window", &ab));
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
