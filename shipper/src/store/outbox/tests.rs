//! Archives in real directories, and the sweep of the outbox.

use std::convert::Infallible;

use super::*;
use cis490_shared::archive::DONE_MARKER;
use tempfile::TempDir;

fn id() -> EpisodeId {
    EpisodeId::parse("e1").unwrap()
}

fn recorded() -> (TempDir, Dirs) {
    let root = tempfile::tempdir().unwrap();
    let (dirs, _) = Dirs::open(root.path()).unwrap();
    let dir = dirs.episode(&id());
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("meta.json"), r#"{"episode_id": "e1"}"#).unwrap();
    fs::write(dir.join("events.jsonl"), "{}\n").unwrap();
    fs::write(dir.join(DONE_MARKER), "").unwrap();
    (root, dirs)
}

fn running() -> Stop {
    watch::channel(false).1
}

fn take_or_pack(dirs: &Dirs, rebuild: bool, stop: &Stop) -> Result<Archive, OutboxError> {
    let episode = inspect(dirs, &id())?;
    let (archive, unpublished) = super::take_or_pack(dirs, &episode, &mut Packer::new(3), rebuild, stop)?;
    unpublished.map_or(Ok(()), Unpublished::publish).map(|()| archive)
}

fn outbox(dirs: &Dirs) -> Vec<String> {
    fs::read_dir(dirs.outbox())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn incident_13_an_archive_that_was_lost_is_packed_to_the_same_bytes() {
    let (_root, dirs) = recorded();
    let first = take_or_pack(&dirs, false, &running()).unwrap();
    assert_eq!(outbox(&dirs), ["e1.tar.zst"]);
    assert_eq!(hash(&first.file, &running()).unwrap(), first.sha256);
    fs::remove_file(dirs.archive(&id())).unwrap();
    // A refusal and its release in between leave traces, which are not part of the episode.
    fs::write(dirs.episode(&id()).join(REASON_NAME), "{}").unwrap();
    fs::write(dirs.episode(&id()).join("quarantine_reason.json.new"), "{").unwrap();
    let second = take_or_pack(&dirs, false, &running()).unwrap();
    assert_eq!((second.sha256, second.size_bytes), (first.sha256, first.size_bytes));
}

#[test]
fn an_archive_that_was_packed_in_another_way_is_taken_as_it_is() {
    let (_root, dirs) = recorded();
    let episode = inspect(&dirs, &id()).unwrap();
    let mut other = Vec::new();
    Packer::new(9).pack(&episode, &mut other, &|| false).unwrap();
    fs::write(dirs.archive(&id()), &other).unwrap();
    let taken = take_or_pack(&dirs, false, &running()).unwrap();
    let sha256 = Sha256Digest::from_bytes(Sha256::digest(&other).into());
    assert_eq!((taken.size_bytes, taken.sha256), (other.len() as u64, sha256));
    let rebuilt = take_or_pack(&dirs, true, &running()).unwrap();
    assert_ne!(rebuilt.sha256, taken.sha256);
}

#[test]
fn what_lies_in_the_outbox_and_is_not_the_episode_is_replaced_by_it() {
    let (_root, dirs) = recorded();
    let whole = take_or_pack(&dirs, false, &running()).unwrap();
    let bytes = fs::read(dirs.archive(&id())).unwrap();
    let path = dirs.archive(&id());
    for junk in [&b""[..], b"packed before", &bytes[..bytes.len() - 1]] {
        fs::write(&path, junk).unwrap();
        let taken = take_or_pack(&dirs, false, &running()).unwrap();
        assert_eq!((taken.sha256, fs::read(&path).unwrap()), (whole.sha256, bytes.clone()));
    }
    for odd in [true, false] {
        fs::remove_file(&path).unwrap();
        match odd {
            true => std::os::unix::fs::symlink("/etc/hostname", &path).unwrap(),
            false => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
        }
        assert_eq!(take_or_pack(&dirs, false, &running()).unwrap().sha256, whole.sha256);
    }
}

#[test]
fn a_failure_that_is_not_about_the_file_removes_nothing() {
    use rustix::io::Errno;
    let about = |errno: Errno| is_about_the_file(&io::Error::from(errno));
    for errno in [Errno::MFILE, Errno::NFILE, Errno::IO, Errno::NOMEM, Errno::STALE] {
        assert!(!about(errno), "{errno:?}");
    }
    assert!(about(Errno::ACCESS) && is_about_the_file(&NotAFile("a socket").into()));
}

#[test]
fn what_is_not_published_has_no_final_name_and_leaves_nothing_when_it_is_dropped() {
    let (_root, dirs) = recorded();
    let episode = inspect(&dirs, &id()).unwrap();
    let (archive, unpublished) =
        super::take_or_pack(&dirs, &episode, &mut Packer::new(3), false, &running()).unwrap();
    assert_eq!(outbox(&dirs), ["e1.tar.zst.partial"]);
    assert_eq!(archive.first.len() as u64, archive.size_bytes);
    drop(unpublished);
    assert!(outbox(&dirs).is_empty());
    assert_eq!(hash(&archive.file, &running()).unwrap(), archive.sha256, "what is open can still be sent");
}

#[test]
fn a_partial_of_an_earlier_run_is_in_nobodys_way() {
    let (_root, dirs) = recorded();
    fs::write(dirs.partial(&id()), "torn").unwrap();
    take_or_pack(&dirs, false, &running()).unwrap();
    assert_eq!(outbox(&dirs), ["e1.tar.zst"]);
}

#[test]
fn a_stop_ends_the_packing_and_leaves_nothing() {
    let (_root, dirs) = recorded();
    let stopped = watch::channel(true).1;
    let error = take_or_pack(&dirs, false, &stopped).unwrap_err();
    assert!(matches!(error, OutboxError::Stopped), "{error}");
    assert!(outbox(&dirs).is_empty());
    fs::write(dirs.archive(&id()), b"packed before").unwrap();
    assert!(matches!(take_or_pack(&dirs, false, &stopped), Err(OutboxError::Stopped)));
}

#[test]
fn an_episode_that_cannot_be_packed_leaves_nothing_in_the_outbox() {
    let (_root, dirs) = recorded();
    std::os::unix::fs::symlink("/etc/hostname", dirs.episode(&id()).join("link")).unwrap();
    assert!(matches!(
        take_or_pack(&dirs, false, &running()),
        Err(OutboxError::Pack(PackError::NotAFile { .. }))
    ));
    assert!(outbox(&dirs).is_empty());
}

fn planned(names: &[&str], in_flight: &[&str], episodes: &[&str]) -> Vec<String> {
    let in_flight = in_flight.iter().map(|id| EpisodeId::parse(id).unwrap()).collect();
    let has = |id: &EpisodeId| Ok::<_, Infallible>(episodes.contains(&id.as_str()));
    let Ok(orphans) = orphans(names.iter().map(|name| (*name).to_owned()), &in_flight, has);
    orphans
}

#[test]
fn incident_06_what_lacks_its_counterpart_goes_and_nothing_live_is_touched() {
    let names = [
        "orphan.tar.zst",
        "waiting.tar.zst",
        "flying.tar.zst",
        "flying.tar.zst.partial",
        "waiting.tar.zst.partial",
        "orphan.tar.zst.partial",
    ];
    assert_eq!(
        planned(&names, &["flying"], &["waiting", "flying"]),
        ["orphan.tar.zst", "waiting.tar.zst.partial", "orphan.tar.zst.partial"]
    );
    // In flight, but its directory was just moved away: the upload that owns the archive removes it.
    assert!(planned(&["flying.tar.zst"], &["flying"], &[]).is_empty());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    assert!(planned(&["README", "a.b.tar.zst", ".tar.zst", "x.partial", "x.tar.gz"], &[], &[]).is_empty());
}

#[test]
fn nothing_is_deleted_while_nobody_can_tell_whether_its_episode_is_there() {
    let names = ["e1.tar.zst".to_owned()];
    assert!(orphans(names, &BTreeSet::new(), |_| Err("permission denied")).is_err());
}
