//! A stored archive that no longer matches its row: never reported as stored, and healed by the right bytes (I1 to I4).

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Request, TestReceiver};

const BODY: &[u8] = b"an episode that cannot be recorded again";
const OTHER: &[u8] = b"not this one, though it is about as long";

fn head(receiver: &TestReceiver) -> u16 {
    receiver.request(&Request::new("HEAD", "/v1/episodes/h/e.tar.zst")).status
}

fn put(receiver: &TestReceiver, body: &[u8]) -> u16 {
    receiver.request(&receiver.put("h", "e", body)).status
}

/// Returns a receiver that has taken the episode, and the path of its archive.
fn with_episode() -> (TestReceiver, PathBuf) {
    let receiver = TestReceiver::start();
    assert_eq!(put(&receiver, BODY), 201);
    let archive = receiver.archive("h", "e");
    assert_eq!(fs::read(&archive).unwrap(), BODY);
    (receiver, archive)
}

fn kept(receiver: &TestReceiver) -> PathBuf {
    receiver.dir.path().join("episodes/.damaged/h/e.tar.zst.1")
}

#[test]
fn a_damaged_archive_is_not_stored_and_the_right_bytes_heal_it() {
    for damaged in [&b""[..], &BODY[..BODY.len() - 1], &[BODY, b"\0"].concat(), &[0; 4096]] {
        let (receiver, archive) = with_episode();
        fs::write(&archive, damaged).unwrap();
        assert_eq!(head(&receiver), 404, "{damaged:?}");
        assert_eq!(put(&receiver, OTHER), 409, "the row says which bytes are right");
        assert_eq!(fs::read(&archive).unwrap(), damaged, "who has other bytes changes nothing");
        assert_eq!(put(&receiver, BODY), 201);
        assert_eq!((head(&receiver), put(&receiver, BODY)), (200, 200));
        assert_eq!(fs::read(&archive).unwrap(), BODY);
        assert_eq!(fs::read(kept(&receiver)).unwrap(), damaged, "it is kept");
        assert_eq!(receiver.rows().len(), 1);
        let receiver = receiver.restart();
        assert_eq!((receiver.rows().len(), head(&receiver)), (1, 200), "what is kept aside gets no row");
    }
}

#[test]
fn a_file_that_can_be_no_archive_takes_the_name_of_none() {
    let junk = &b"who knows what this is"[..];
    for (found, expected) in [(&b""[..], 201), (&[0; 4096], 201), (&[0, 0], 201), (junk, 409)] {
        let receiver = TestReceiver::start();
        let archive = receiver.archive("h", "e");
        fs::create_dir(archive.parent().unwrap()).unwrap();
        fs::write(&archive, found).unwrap();
        let receiver = receiver.restart();
        let has_row = usize::from(found == junk);
        assert_eq!(receiver.rows().len(), has_row, "{found:?} after a start");
        assert_eq!(put(&receiver, BODY), expected, "{found:?}");
        if expected == 201 {
            assert_eq!((receiver.rows().len(), head(&receiver)), (1, 200));
            assert_eq!(fs::read(kept(&receiver)).unwrap(), found);
        }
    }
}

#[test]
fn a_hosts_directory_that_was_moved_away_is_made_anew() {
    let (receiver, archive) = with_episode();
    let elsewhere = receiver.dir.path().join("elsewhere");
    cis490_shared::durable::rename_noreplace(archive.parent().unwrap(), &elsewhere).unwrap();
    assert_eq!(head(&receiver), 404);
    assert_eq!(put(&receiver, BODY), 201);
    assert_eq!((head(&receiver), fs::read(&archive).unwrap()), (200, BODY.to_vec()));
    assert_eq!(receiver.request(&receiver.put("h", "e2", OTHER)).status, 201);
    assert_eq!(receiver.rows().len(), 2);
}

#[test]
fn a_verdict_is_of_the_index_as_it_is_now() {
    let (receiver, archive) = with_episode();
    let index = receiver.dir.path().join("index.jsonl");
    // Overwrites the row in place, so that the file keeps its identity and its length.
    let other = receiver.index().replace("\"episode_id\":\"e\"", "\"episode_id\":\"x\"");
    fs::OpenOptions::new().write(true).open(&index).unwrap().write_all_at(other.as_bytes(), 0).unwrap();
    assert_eq!(head(&receiver), 404, "its row is gone");
    assert_eq!(put(&receiver, BODY), 200, "its file is not, and it gets its row");
    assert_eq!((receiver.rows().len(), head(&receiver)), (2, 200));

    fs::remove_file(&archive).unwrap();
    fs::write(&index, "").unwrap();
    assert_eq!(put(&receiver, OTHER), 201, "nothing says any more that other bytes were promised");
    assert_eq!(put(&receiver, BODY), 409);
}

#[test]
fn what_verify_calls_damaged_is_read_again_before_it_is_believed_or_called_stored() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let store = format!("[store]\nverify_report = \"{}\"", report.display());
    let receiver = TestReceiver::start_with(&store, "");
    for episode in ["e", "good"] {
        assert_eq!(receiver.request(&receiver.put("h", episode, BODY)).status, 201);
    }
    let archive = receiver.archive("h", "e");
    let mut flipped = BODY.to_vec();
    flipped[7] ^= 1;
    fs::write(&archive, &flipped).unwrap();
    assert_eq!(head(&receiver), 200, "of the right size, and nobody has read it");
    let finding = |episode: &str| {
        format!(
            "{{\"type\":\"finding\",\"finding\":\"hash-differs\",\"host_id\":\"h\",\"episode_id\":\"{episode}\"}}\n"
        )
    };
    let summary =
        "{\"type\":\"summary\",\"errors\":2,\"warnings\":0,\"ended\":\"2026-01-02T03:04:05+00:00\"}\n";
    fs::write(&report, [&finding("e"), &finding("good"), summary].concat()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let (verify, status) = loop {
        let health = receiver.get("/v1/health").json();
        if let Some(verify) = health.get("verify") {
            break (verify.clone(), health["status"].clone());
        }
        assert!(Instant::now() < deadline, "the report is not read");
    };
    assert_eq!(
        (&status, &verify["damaged"], &verify["findings"]),
        (&"degraded".into(), &2.into(), &2.into())
    );
    assert_eq!(verify["overdue"], true);
    assert_eq!(head(&receiver), 404);
    assert_eq!(receiver.request(&Request::new("HEAD", "/v1/episodes/h/good.tar.zst")).status, 200);
    assert_eq!(receiver.request(&receiver.put("h", "good", BODY)).status, 200, "it is as it should be");
    assert_eq!((put(&receiver, BODY), head(&receiver), put(&receiver, BODY)), (201, 200, 200));
    assert_eq!(fs::read(kept(&receiver)).unwrap(), flipped);
}
