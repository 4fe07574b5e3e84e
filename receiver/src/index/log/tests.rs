//! The index file in every state that a batch may find.

use std::fs;

use cis490_shared::clock::WallTime;
use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};

use super::*;

fn row(episode: &str) -> IndexRow {
    IndexRow {
        backfilled: false,
        commit: None,
        episode_id: EpisodeId::parse(episode).unwrap(),
        host_id: HostId::parse("h").unwrap(),
        received_at_wall: WallTime::from(std::time::SystemTime::UNIX_EPOCH),
        schema_version: 1,
        sha256: Sha256Digest::from_bytes([1; 32]),
        size_bytes: 1,
    }
}

/// Returns a directory with an index of the given content, and the log opened on it.
fn log_on(content: &str) -> (tempfile::TempDir, PathBuf, IndexLog) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.jsonl");
    fs::write(&path, content).unwrap();
    let log = IndexLog::open(&path).unwrap();
    (dir, path, log)
}

fn episodes_in(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| IndexRow::parse(line.as_bytes()).ok());
    rows.map(|row| row.episode_id.to_string()).collect()
}

#[test]
fn a_batch_appends_what_is_new_and_recognises_the_rest() {
    let (_dir, path, mut log) = log_on("");
    assert_eq!(log.append_batch(&[row("a"), row("b"), row("a")]).unwrap()[2], Receipt::AlreadyKnown);
    let receipts = log.append_batch(&[row("b"), row("c")]).unwrap();
    assert_eq!(receipts, [Receipt::AlreadyKnown, Receipt::Appended]);
    assert_eq!(episodes_in(&path), ["a", "b", "c"]);
}

#[test]
fn old_content_stays_as_it_is_and_a_torn_line_is_ended() {
    let old = "junk\n\n{\"episode_id\": \"a\", \"host_id\": \"h\"}\n{\"torn\": ";
    let (_dir, path, mut log) = log_on(old);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{old}\n"), "ended when it was opened");
    assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::AlreadyKnown]);
    log.append_batch(&[row("b")]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&format!("{old}\n{{")), "{text}");
}

#[test]
fn rows_of_another_program_are_seen_by_the_next_batch() {
    let (_dir, path, mut log) = log_on("");
    log.append_batch(&[row("a")]).unwrap();
    let mut other = IndexLog::open(&path).unwrap();
    other.append_batch(&[row("b")]).unwrap();
    assert_eq!(log.append_batch(&[row("b")]).unwrap(), [Receipt::AlreadyKnown]);
    assert_eq!(other.append_batch(&[row("a")]).unwrap(), [Receipt::AlreadyKnown]);
    assert_eq!(episodes_in(&path), ["a", "b"]);
}

#[test]
fn a_replaced_index_is_read_again_before_anything_is_appended() {
    let (dir, path, mut log) = log_on("");
    log.append_batch(&[row("a")]).unwrap();
    let other = dir.path().join("other");
    fs::write(&other, row("b").to_line().unwrap()).unwrap();
    cis490_shared::durable::rename_noreplace(&path, &dir.path().join("old")).unwrap();
    cis490_shared::durable::rename_noreplace(&other, &path).unwrap();
    let receipts = log.append_batch(&[row("a"), row("b")]).unwrap();
    assert_eq!(receipts, [Receipt::Appended, Receipt::AlreadyKnown]);
    assert_eq!(episodes_in(&path), ["b", "a"]);
}

#[test]
fn a_truncated_index_gets_its_lost_rows_back_when_they_are_sent_again() {
    let (_dir, path, mut log) = log_on("");
    log.append_batch(&[row("a"), row("b")]).unwrap();
    fs::write(&path, "").unwrap();
    assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::Appended]);
    assert_eq!(episodes_in(&path), ["a"]);
}

#[test]
fn a_vanished_index_is_an_error_until_it_is_back_and_never_made_anew() {
    let (dir, path, mut log) = log_on("");
    let aside = dir.path().join("aside");
    cis490_shared::durable::rename_noreplace(&path, &aside).unwrap();
    let error = log.append_batch(&[row("a")]).unwrap_err();
    assert_eq!((error.step, path.try_exists().unwrap()), (IndexStep::Open, false));
    assert!(error.remedy().contains("restart the receiver"), "{}", error.remedy());
    cis490_shared::durable::rename_noreplace(&aside, &path).unwrap();
    assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::Appended]);
}

#[test]
fn a_lock_held_by_somebody_else_is_waited_for_and_not_for_ever() {
    let (dir, path, mut log) = log_on("");
    let lock = FileLock::take(&dir.path().join(LOCK_NAME), Duration::ZERO).unwrap();
    log.patience = Duration::ZERO;
    assert_eq!(log.append_batch(&[row("a")]).unwrap_err().step, IndexStep::Lock);
    assert_eq!(episodes_in(&path), [""; 0]);
    log.patience = LOCK_PATIENCE;
    let batch = std::thread::spawn(move || log.append_batch(&[row("a")]).unwrap());
    drop(lock);
    assert_eq!(batch.join().unwrap(), [Receipt::Appended]);
}

/// Returns the line of a row. All lines of episodes with one letter have the same length.
fn line(episode: &str) -> String {
    String::from_utf8(row(episode).to_line().unwrap()).unwrap()
}

#[test]
fn an_index_that_is_written_over_is_read_again_whatever_its_length() {
    let lines = |episodes: &[&str]| episodes.iter().map(|episode| line(episode)).collect::<String>();
    let padding = line("p").repeat(40);
    let blank = format!("{}\n", " ".repeat(line("a").len() - 1));
    for (before, after, expected) in [
        (lines(&["a", "b", "c"]), lines(&["x", "y", "z"]), vec!["x", "y", "z", "a"]),
        (lines(&["a", "b", "c"]), lines(&["b", "c", "d", "e"]), vec!["b", "c", "d", "e", "a"]),
        // The length and the end of the file stay the same.
        (format!("{}{padding}", line("a")), format!("{blank}{padding}"), vec!["a"]),
    ] {
        let (_dir, path, mut log) = log_on(&before);
        assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::AlreadyKnown]);
        // `fs::write` would truncate it first.
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(after.as_bytes(), 0).unwrap();
        assert_eq!(log.append_batch(&[row("a")]).unwrap(), [Receipt::Appended], "{expected:?}");
        let mut rows = episodes_in(&path);
        rows.retain(|episode| episode != "p");
        assert_eq!(rows, expected);
    }
}

#[test]
fn what_was_read_is_not_read_again_after_a_failure() {
    let (dir, path, mut log) = log_on(&["a", "b"].map(line).concat());
    let aside = dir.path().join("aside");
    cis490_shared::durable::rename_noreplace(&path, &aside).unwrap();
    log.append_batch(&[row("c")]).unwrap_err();
    assert_eq!(log.known().len(), 2, "what was known stays known");
    // A log that read the file again would find one row fewer.
    let (file, before) =
        (fs::OpenOptions::new().write(true).open(&aside).unwrap(), aside.metadata().unwrap());
    file.write_all_at(b"x", 0).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let place = log.place.as_mut().unwrap();
    place.fingerprint[0] = b'x';
    cis490_shared::durable::rename_noreplace(&aside, &path).unwrap();
    assert_eq!(log.append_batch(&[row("a"), row("c")]).unwrap(), [Receipt::AlreadyKnown, Receipt::Appended]);
}

#[test]
fn a_row_that_names_other_bytes_is_told_apart() {
    let (_dir, path, mut log) = log_on(&line("a"));
    let other = IndexRow { sha256: Sha256Digest::from_bytes([2; 32]), ..row("a") };
    assert_eq!(log.append_batch(&[other]).unwrap(), [Receipt::OtherBytes(row("a").sha256)]);
    assert_eq!(episodes_in(&path), ["a"]);
}

#[test]
fn a_line_of_nuls_is_skipped_and_the_rows_after_it_count() {
    let (_dir, path, mut log) = log_on(&line("a"));
    let hole = [&vec![0; 1 << 20][..], b"\n", line("b").as_bytes()].concat();
    let mut file = durable::open_append(&path).unwrap();
    file.write_all(&hole).unwrap();
    let receipts = log.append_batch(&[row("a"), row("b"), row("c")]).unwrap();
    assert_eq!(receipts, [Receipt::AlreadyKnown, Receipt::AlreadyKnown, Receipt::Appended]);
}
