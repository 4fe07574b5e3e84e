//! The accidents of the previous generation, replayed against the real programs: one test each, by number.
//!
//! 3 and 4 are in version_gate.rs, 5 is in timing/big_backlog.rs, and 7 is in system/panicked_actor.rs and
//! system/units/restarts.sh. A test that needs one module alone is beside that module.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use cis490_shared::ids::CommitHash;
use integration_tests::archive::pack;
use integration_tests::clone::GitClone;
use integration_tests::episodes::Recording;
use integration_tests::http::Answer;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run};
use integration_tests::shipper::LabHost;
use integration_tests::upload::Upload;

fn some_commit() -> CommitHash {
    CommitHash::parse(&"5e".repeat(20)).unwrap()
}

fn small(seed: u64, commit: &CommitHash) -> Recording {
    Recording::new(seed, commit, 50_000)
}

/// Returns the user that the service runs as, if the test may choose it, so that root's files are not its own.
fn service_user() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(65534)
}

#[test]
fn incident_01_the_retry_writes_the_row_that_a_replaced_index_refused() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options { user: service_user(), ..Options::open() });
    let put = |episode| -> Answer {
        Upload::new("lab-1", episode, &some_commit(), b"an archive").put(receiver.url())
    };
    let count =
        |episode: &str| receiver.rows().iter().filter(|row| row.episode_id.as_str() == episode).count();
    assert_eq!(put("before").status, 201);
    let owner = fs::metadata(receiver.index()).unwrap();

    // A tool of another user replaces the index by a copy that everybody can read and nobody else can write.
    replace_by_read_only_copy(&receiver.index());
    for _ in 0..2 {
        let answer = put("during");
        assert_eq!((answer.status, answer.json()["error"].as_str()), (500, Some("storage")));
        assert_eq!(count("during"), 0);
    }
    assert_eq!(receiver.get("/v1/health").status, 503);
    assert!(receiver.log().contains("chown"), "the log says what to do");

    // The operator does what the log says; nothing is restarted.
    std::os::unix::fs::chown(receiver.index(), Some(owner.uid()), Some(owner.gid())).unwrap();
    fs::set_permissions(receiver.index(), fs::Permissions::from_mode(0o640)).unwrap();
    let answer = put("during");
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    assert_eq!((count("before"), count("during")), (1, 1));
    assert_eq!(put("after").status, 201);
    assert_eq!(receiver.get("/v1/health").status, 200);
    receiver.stop();
}

#[expect(clippy::disallowed_methods, reason = "the tool that caused the accident synced nothing either")]
fn replace_by_read_only_copy(index: &Path) {
    let copy = index.with_extension("tmp");
    fs::copy(index, &copy).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&copy, Some(0), Some(0)).unwrap();
    }
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o444)).unwrap();
    fs::rename(&copy, index).unwrap();
}

#[test]
fn incident_02_a_refused_episode_is_neither_packed_nor_sent_again() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
    let receiver = Receiver::start(&sandbox, Options { window: 1, ..Options::gated(clone.path()) });
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    for seed in 1..=5 {
        small(seed, &commits[0]).write_to(&lab_host.episodes());
    }
    let first = lab_host.once();
    assert_eq!(first.code, Some(65), "{}", first.log);
    assert_eq!(first.log.matches("ERROR").count(), 1, "one commit, one loud line:\n{}", first.log);
    let refused = lab_host.names("quarantine");
    assert_eq!(refused.len(), 5);
    let reason = |id: &String| {
        fs::read(lab_host.data().join("quarantine").join(id).join("quarantine_reason.json")).unwrap()
    };
    let reasons: Vec<Vec<u8>> = refused.iter().map(reason).collect();

    for _ in 0..3 {
        let pass = lab_host.once();
        assert_eq!(pass.log.matches("ERROR").count(), 0, "{}", pass.log);
        assert_eq!(lab_host.names("quarantine"), refused);
        assert_eq!(refused.iter().map(reason).collect::<Vec<_>>(), reasons, "nothing was decided anew");
        assert_eq!(lab_host.names("outbox"), [""; 0], "nothing was packed");
    }
}

#[test]
fn incident_06_orphans_in_the_outbox_are_swept_and_nothing_live_is_touched() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    receiver.stop();
    let live = small(1, &some_commit());
    let packed = pack(&live.write_to(&lab_host.episodes()));
    let outbox = lab_host.data().join("outbox");
    fs::create_dir_all(&outbox).unwrap();
    let live_archive = outbox.join(format!("{}.tar.zst", live.id()));
    fs::write(&live_archive, &packed).unwrap();
    for orphan in ["01JAAAAAAAAAAAAAAAAAAAAAAA.tar.zst", "01JAAAAAAAAAAAAAAAAAAAAAAB.tar.zst.partial"] {
        fs::write(outbox.join(orphan), "of an episode that is gone").unwrap();
    }

    let pass = lab_host.once();
    assert_eq!(pass.code, Some(75), "nobody answers:\n{}", pass.log);
    assert_eq!(lab_host.names("outbox"), [format!("{}.tar.zst", live.id())]);
    assert_eq!(fs::read(&live_archive).unwrap(), packed);
    assert_eq!(lab_host.names("episodes"), [live.id().to_string()]);
}

#[test]
fn incident_09_a_host_without_a_name_says_so_and_does_not_start() {
    let sandbox = Sandbox::new();
    let nameless = LabHost::new(&sandbox, "REPLACE_ME", "http://127.0.0.1:1");
    for arguments in [&[][..], &["--once"], &["--ping"], &["--check-config"]] {
        let refused = nameless.run(arguments);
        assert_eq!(refused.code, Some(78), "{arguments:?}: {}", refused.log);
        assert!(refused.log.contains("`host_id`") && refused.log.contains("REPLACE_ME"), "{}", refused.log);
    }
}

#[test]
fn incident_12_a_conflict_is_kept_aside_and_sent_again_only_by_hand() {
    let sandbox = Sandbox::new();
    let receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let recording = small(1, &some_commit());
    let id = recording.id().to_string();
    let other = Upload::new("lab-1", &id, &some_commit(), b"other bytes under the same id");
    assert_eq!(other.put(receiver.url()).status, 201);

    recording.write_to(&lab_host.episodes());
    let first = lab_host.once();
    assert_eq!(first.code, Some(65), "{}", first.log);
    assert_eq!(lab_host.names("quarantine"), [id.as_str()]);
    let reason = lab_host.data().join("quarantine").join(&id).join("quarantine_reason.json");
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&reason).unwrap()).unwrap();
    assert_eq!((&told["status"], &told["error"]), (&409.into(), &"conflict".into()));

    let written = fs::metadata(&reason).unwrap().modified().unwrap();
    for _ in 0..2 {
        lab_host.once();
        assert_eq!(fs::metadata(&reason).unwrap().modified().unwrap(), written, "it was sent again");
    }

    // Only a person can send it again. The answer is the same again, and the stored bytes are those of the first
    // upload.
    let (aside, back) = (lab_host.data().join("quarantine").join(&id), lab_host.episodes().join(&id));
    run(sandbox.command("mv").arg(aside).arg(back));
    assert_eq!(lab_host.once().code, Some(65), "the same answer again");
    assert_eq!(fs::read(receiver.archive("lab-1", &id)).unwrap(), b"other bytes under the same id");
}

#[test]
fn incident_13_packing_again_after_a_lost_answer_gives_the_same_bytes() {
    let sandbox = Sandbox::new();
    let receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let recording = small(1, &some_commit());
    let dir = recording.write_to(&lab_host.episodes());
    assert_eq!(lab_host.once().code, Some(0));
    let rows = receiver.rows();

    // The answer was lost, the outbox is gone, and a copy of the directory has other times, modes and order.
    let shipped = lab_host.data().join("shipped").join(recording.id().as_str());
    let mut names: Vec<_> = fs::read_dir(&shipped).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_by(|a, b| b.cmp(a));
    fs::create_dir_all(&dir).unwrap();
    for name in names {
        let copy = dir.join(&name);
        fs::copy(shipped.join(&name), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(&copy).unwrap().set_modified(long_ago).unwrap();
    }
    run(sandbox.command("rm").arg("-r").arg(&shipped));

    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{}", pass.log);
    assert_eq!(lab_host.names("shipped"), [recording.id().to_string()]);
    assert_eq!(receiver.rows(), rows);
}

#[test]
fn a_disk_that_fails_is_logged_when_it_begins_and_when_it_works_again() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let incoming = receiver.state().join("episodes/.incoming");
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let put = |episode: &str| Upload::new("lab-1", episode, &commit, b"bytes").put(receiver.url()).status;
    fs::remove_dir(&incoming).unwrap();
    assert_eq!([put("E1"), put("E1"), put("E2")], [500, 500, 500]);
    fs::create_dir(&incoming).unwrap();
    assert_eq!([put("E1"), put("E2")], [201, 201]);
    let log = receiver.log();
    assert_eq!(log.matches("an upload could not be stored").count(), 1, "{log}");
    assert_eq!(log.matches("uploads can be stored again").count(), 1, "{log}");
    receiver.stop();
}
