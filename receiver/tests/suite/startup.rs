//! The repairs of a start, for every state that a crash can leave.

use std::fs;

use crate::support::{TestReceiver, sha256};
use cis490_receiver::config::ReceiverConfig;
use cis490_receiver::run::{self, RunError};
use cis490_shared::archive::pack::pack_episode;
use cis490_shared::ids::EpisodeId;

/// Returns a real archive, recorded by this commit.
fn archive(dir: &std::path::Path, episode: &str, commit: &str) -> Vec<u8> {
    let source = dir.join(episode);
    fs::create_dir(&source).unwrap();
    let meta = format!(
        "{{\"episode_id\":\"{episode}\",\"schema_version\":1,\"code_version\":{{\"commit\":\"{commit}\",\"dirty\":false}}}}"
    );
    fs::write(source.join("meta.json"), meta).unwrap();
    let mut bytes = Vec::new();
    pack_episode(&source, &EpisodeId::parse(episode).unwrap(), &mut bytes, 3).unwrap();
    bytes
}

#[test]
fn an_archive_that_was_published_and_never_indexed_gets_its_row_at_the_next_start() {
    let receiver = TestReceiver::start();
    let bytes = archive(receiver.dir.path(), "E1", &receiver.head);
    fs::create_dir(receiver.dir.path().join("episodes/lab-1")).unwrap();
    fs::write(receiver.archive("lab-1", "E1"), &bytes).unwrap();
    fs::write(receiver.archive("lab-1", "E2"), "no archive at all").unwrap();
    let receiver = receiver.restart();
    let rows = receiver.rows();
    assert_eq!(rows.len(), 2);
    let row = rows.iter().find(|row| row["episode_id"] == "E1").unwrap();
    assert_eq!(row["commit"], receiver.head.as_str());
    assert_eq!(row["sha256"], sha256(&bytes));
    assert!(rows.iter().all(|row| row["backfilled"] == true));
    assert!(rows.iter().any(|row| row["episode_id"] == "E2" && row.get("commit").is_none()));
    let receiver = receiver.restart();
    assert_eq!(receiver.rows().len(), 2, "a second start changes nothing");
}

#[test]
fn a_lost_index_is_rebuilt_by_the_next_start() {
    let receiver = TestReceiver::start();
    for episode in ["E1", "E2", "E3"] {
        let bytes = archive(receiver.dir.path(), episode, &receiver.head);
        assert_eq!(receiver.request(&receiver.put("lab-1", episode, &bytes)).status, 201);
    }
    let before = receiver.rows();
    fs::remove_file(receiver.dir.path().join("index.jsonl")).unwrap();
    let receiver = receiver.restart();
    let after = receiver.rows();
    assert_eq!(after.len(), 3);
    for row in &after {
        let same = |old: &&serde_json::Value| old["episode_id"] == row["episode_id"];
        let old = before.iter().find(same).unwrap();
        for key in ["commit", "host_id", "schema_version", "sha256", "size_bytes"] {
            assert_eq!(row[key], old[key], "{key}");
        }
    }
}

#[test]
fn a_row_whose_archive_is_gone_is_kept() {
    let receiver = TestReceiver::start();
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 201);
    let index = receiver.index();
    fs::remove_file(receiver.archive("lab-1", "E1")).unwrap();
    let receiver = receiver.restart();
    assert_eq!(receiver.index(), index);
}

#[test]
fn whatever_a_crash_leaves_the_receiver_starts_and_cleans_up() {
    let receiver = TestReceiver::start();
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 201);
    let state = receiver.dir.path().to_owned();
    fs::write(state.join("episodes/.incoming/0123.partial"), "half").unwrap();
    fs::write(state.join("index.jsonl"), receiver.index() + "{\"episode_id\":\"E2\",\"host").unwrap();
    fs::write(state.join("gate.json"), "{\"torn").unwrap();
    fs::write(state.join("gate.json.new"), "{\"torn").unwrap();
    fs::create_dir(state.join("episodes/lab-2")).unwrap();
    let receiver = receiver.restart();
    assert_eq!(receiver.partials(), 0);
    assert_eq!(receiver.request(&receiver.put("lab-2", "E2", b"body")).status, 201);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 200);
    let lines: Vec<String> = receiver.index().lines().map(str::to_owned).collect();
    assert_eq!(
        (lines.len(), lines[1].as_str()),
        (3, "{\"episode_id\":\"E2\",\"host"),
        "the torn line is ended"
    );
}

#[test]
fn a_second_receiver_on_the_same_state_is_refused_before_it_touches_anything() {
    let receiver = TestReceiver::start();
    let state = receiver.dir.path();
    let partial = state.join("episodes/.incoming/0123.partial");
    fs::write(&partial, "of an upload in flight").unwrap();
    for index in ["index.jsonl", "elsewhere/index.jsonl"] {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[store]\nepisodes_root = \"{0}/episodes\"\n\
             index = \"{0}/{index}\"\n[version_gate]\nenabled = false\n",
            state.display()
        );
        let config: ReceiverConfig =
            cis490_shared::config_file::parse(&text, "receiver.toml".as_ref()).unwrap();
        let second = actix::System::new().block_on(run::run(config, None, |_| (), async {}));
        assert!(matches!(second, Err(RunError::AlreadyRunning(_))), "{index}: {second:?}");
        assert!(partial.is_file(), "{index}: a second start sweeps what the first is writing");
    }
}

#[test]
fn uploads_are_taken_while_archives_without_a_row_are_read_and_a_stop_waits_for_none() {
    let receiver = TestReceiver::start();
    let long = receiver.archive("lab-1", "LONG");
    fs::create_dir(long.parent().unwrap()).unwrap();
    let file = fs::File::create(&long).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"no archive", 0).unwrap();
    // The file takes no space on the disk, and hashing it takes longer than this test.
    file.set_len(1 << 42).unwrap();
    let receiver = receiver.restart();
    let health = receiver.get("/v1/health").json();
    assert_eq!((health["status"].as_str(), health["store"]["without_row"].as_u64()), (Some("ok"), Some(1)));
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 201);
    assert_eq!(receiver.rows().len(), 1, "the other is still being read");
    let began = std::time::Instant::now();
    drop(receiver);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}
