//! Tests of the window of admitted commits, from the maintainer's clone to the lab host's quarantine.
//!
//! The receiver's own tests cover GateActor and GitPollActor alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cis490_shared::ids::CommitHash;
use integration_tests::archive::sha256_of;
use integration_tests::clone::GitClone;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run};
use integration_tests::shipper::LabHost;
use integration_tests::until::{PATIENCE, wait_until};
use integration_tests::upload::Upload;
use rustix::fs::{CWD, FileType, Mode};

/// The poll interval of these tests, and the slack for a loaded machine.
const POLL: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(4);

fn small(seed: u64, commit: &CommitHash) -> Recording {
    Recording::new(seed, commit, 50_000)
}

/// Uploads a few bytes as an episode and returns the status.
fn put(receiver: &Receiver<'_>, episode: &str, commit: &CommitHash) -> u16 {
    Upload::new("lab-1", episode, commit, b"an archive").put(receiver.url()).status
}

#[test]
fn a_commit_made_after_the_start_is_admitted_within_the_poll_interval() {
    let sandbox = Sandbox::new();
    let (clone, _) = GitClone::with_commits(&sandbox, "cis490", 2);
    let receiver = Receiver::start(&sandbox, Options::gated(clone.path()));

    let commit = clone.commit("made while the receiver runs");
    let made = Instant::now();
    receiver.wait_until_admitted(&commit);
    assert!(made.elapsed() < POLL + SLACK, "it took {:?}", made.elapsed());
    assert_eq!(receiver.verdict(&commit).position, Some(1));
    assert_eq!(put(&receiver, "e1", &commit), 201);
}

fn put_a_pipe(path: &Path) {
    let _ = fs::remove_file(path);
    let mode = Mode::RUSR | Mode::WUSR | Mode::ROTH;
    rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn pipes_in_place_of_files_take_no_thread_and_a_token_that_is_taken_out_is_refused() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
    let tokens = sandbox.dir("secrets").join("tokens");
    let line = format!("lab-1 = {}\n", sha256_of(b"cis490-a-secret"));
    fs::write(&tokens, &line).unwrap();
    let auth = format!("[auth]\ntokens_file = \"{}\"\n", tokens.display());
    let mut receiver = Receiver::start(&sandbox, Options { server: auth, ..Options::gated(clone.path()) });
    let pid = receiver.process().pid();
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    let put = |episode: &str| {
        let upload = Upload::new("lab-1", episode, &commits[0], b"an archive");
        upload.with("authorization", "Bearer cis490-a-secret").put(receiver.url()).status
    };
    assert_eq!(put("e1"), 201);
    let before = threads();

    put_a_pipe(&clone.path().join(".git/commondir"));
    put_a_pipe(&tokens);
    let gate = || receiver.get("/v1/health").json()["gate"].clone();
    wait_until("five polls have failed", PATIENCE, || (gate()["polls_failed"].as_u64()? >= 5).then_some(()));
    wait_until("the pipe is told of", PATIENCE, || {
        receiver.log().contains("not a regular file").then_some(())
    });
    assert_eq!((gate()["problem"].as_str(), put("e2")), (Some("no-repository"), 201));
    // The threads of the pool come and go with the uploads.
    assert!(threads() <= before + 2, "{before} threads were enough, now there are {}", threads());

    fs::remove_file(&tokens).unwrap();
    fs::write(&tokens, line.replace("lab-1", "lab-2")).unwrap();
    wait_until("the token is refused", PATIENCE, || (put("e3") == 403).then_some(()));
    fs::remove_file(clone.path().join(".git/commondir")).unwrap();
    wait_until("the clone is read again", PATIENCE, || gate()["problem"].is_null().then_some(()));
    receiver.stop();
}

#[test]
fn a_commit_pushed_from_another_repository_is_admitted() {
    let sandbox = Sandbox::new();
    let (clone, _) = GitClone::with_commits(&sandbox, "cis490", 2);
    let receiver = Receiver::start(&sandbox, Options::gated(clone.path()));

    let elsewhere = clone.clone_to("elsewhere");
    let commit = elsewhere.commit("made elsewhere");
    assert!(!receiver.verdict(&commit).admitted);
    elsewhere.push();
    receiver.wait_until_admitted(&commit);
    assert_eq!(put(&receiver, "e1", &commit), 201);
}

#[test]
fn an_episode_from_outside_the_window_is_set_aside_with_its_reason_and_one_loud_line_per_commit() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 5);
    let receiver = Receiver::start(&sandbox, Options { window: 2, ..Options::gated(clone.path()) });
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let (stale, fresh) = (&commits[0], &commits[4]);
    for recording in [small(1, stale), small(2, stale), small(3, fresh)] {
        recording.write_to(&lab_host.episodes());
    }

    let pass = lab_host.once();
    assert_eq!(pass.code, Some(65), "{}", pass.log);
    let refused = [small(1, stale).id().to_string(), small(2, stale).id().to_string()];
    assert_eq!(lab_host.names("quarantine"), refused);
    assert_eq!(lab_host.names("shipped"), [small(3, fresh).id().to_string()]);
    assert_eq!(receiver.rows().len(), 1);

    for id in &refused {
        let dir = lab_host.data().join("quarantine").join(id);
        assert!(dir.join("network.pcap").is_file(), "the recording is still there");
        let reason = fs::read(dir.join("quarantine_reason.json")).unwrap();
        let reason: serde_json::Value = serde_json::from_slice(&reason).unwrap();
        assert_eq!(reason["status"], 412);
        assert_eq!(reason["error"], "commit-not-in-window");
        assert_eq!(reason["commit"], stale.as_str());
        assert_eq!(reason["head_commit"], fresh.as_str());
        assert!(reason["remediation"].as_str().unwrap().contains("git pull origin main"));
    }
    assert_eq!(pass.log.matches("git pull origin main").count(), 1, "{}", pass.log);
    assert_eq!(pass.log.matches("ERROR").count(), 1, "{}", pass.log);
}

#[test]
fn a_vanished_clone_changes_no_verdict_and_shows_in_health() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 3);
    let receiver = Receiver::start(&sandbox, Options { window: 2, ..Options::gated(clone.path()) });
    hide(clone.path());

    let health = || receiver.get("/v1/health");
    let degraded = || (health().json()["status"] == "degraded").then(health);
    let told = wait_until("health tells of the clone", PATIENCE, degraded);
    assert_eq!(told.status, 200, "uploads are still taken");
    assert!(told.json()["gate"]["polled_s_ago"].is_number(), "{:?}", told.json());
    assert!(told.json()["gate"]["problem"].is_string(), "{:?}", told.json());
    assert_eq!(put(&receiver, "e1", &commits[2]), 201);
    assert_eq!(put(&receiver, "e2", &commits[0]), 412);

    unhide(clone.path());
    wait_until("health is well again", PATIENCE, || (health().json()["status"] == "ok").then_some(()));
}

#[test]
fn incident_03_a_restart_while_the_clone_is_missing_locks_nobody_out() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 3);
    let mut receiver = Receiver::start(&sandbox, Options { window: 2, ..Options::gated(clone.path()) });
    receiver.wait_until_admitted(&commits[2]);
    hide(clone.path());

    for end in [Receiver::stop, Receiver::kill] {
        end(&mut receiver);
        receiver.restart();
        assert!(receiver.verdict(&commits[1]).admitted);
        assert!(!receiver.verdict(&commits[0]).admitted, "the window is the last good one, not an open door");
    }
    assert_eq!(put(&receiver, "e1", &commits[2]), 201);
}

#[test]
fn incident_03_a_gate_that_never_read_a_window_condemns_nothing() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 1);
    hide(clone.path());
    let receiver = Receiver::start(&sandbox, Options::gated(clone.path()));
    let answer = Upload::new("lab-1", "e1", &commits[0], b"an archive").put(receiver.url());
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("gate-not-ready")));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(receiver.get("/v1/health").status, 503);

    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let recording = small(1, &commits[0]);
    recording.write_to(&lab_host.episodes());
    let pass = lab_host.once();
    assert_eq!(pass.code, Some(75), "{}", pass.log);
    assert_eq!(lab_host.names("quarantine"), [""; 0]);
    assert_eq!(lab_host.names("episodes"), [recording.id().to_string()]);

    unhide(clone.path());
    receiver.wait_until_admitted(&commits[0]);
    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{}", pass.log);
    assert_eq!(lab_host.names("shipped").len(), 1);
}

#[test]
fn incident_04_a_clone_of_another_owner_is_read_and_nothing_it_names_is_run() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
    let signed = clone.commit_signed("signed by nobody");
    let marker = sandbox.path().join("a-program-of-the-clone-was-run");
    set_traps(&sandbox, &clone, &marker);
    let belongs_to_another = give_away(clone.path());

    // The traps work: ordinary git commands in the clone trigger them.
    for careless in ["status", "log"] {
        clone.git().args(["-c", "safe.directory=*", careless]).output().unwrap();
        assert!(marker.is_file(), "`git {careless}` did not step into a trap, so this test shows nothing");
        fs::remove_file(&marker).unwrap();
    }
    if belongs_to_another {
        let output = clone.git().arg("status").output().unwrap();
        assert!(!output.status.success(), "git does not mind the owner here, so this test shows nothing");
    }

    let receiver = Receiver::start(&sandbox, Options::gated(clone.path()));
    receiver.wait_until_admitted(&signed);
    let polls = || receiver.get("/v1/health").json()["gate"]["polls_succeeded"].as_u64();
    wait_until("the clone was read several times", PATIENCE, || polls().filter(|polls| *polls >= 3));
    assert_eq!(put(&receiver, "e1", &commits[0]), 201);
    assert!(!marker.try_exists().unwrap(), "the receiver ran a program that the clone's configuration names");
}

/// Names a program wherever git's configuration can name one; the program creates the marker.
fn set_traps(sandbox: &Sandbox, clone: &GitClone<'_>, marker: &Path) {
    let trap = sandbox.path().join("trap.sh");
    fs::write(&trap, format!("#!/bin/sh\n: > '{}'\n", marker.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    let program = trap.to_str().unwrap();
    for key in
        ["gpg.program", "core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "core.editor"]
    {
        clone.configure(key, program);
    }
    for (key, value) in
        [("log.showSignature", "true"), ("pager.rev-list", "true"), ("alias.rev-list", "!false")]
    {
        clone.configure(key, value);
    }
    clone.configure("core.alternateRefsCommand", program);
}

/// Gives the clone to another user, because the maintainer is another user than the service. Returns false if the test
/// may not do that.
fn give_away(path: &Path) -> bool {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    run(std::process::Command::new("chown").args(["--recursive", &NOBODY.to_string()]).arg(path));
    true
}

fn hidden(path: &Path) -> PathBuf {
    path.with_extension("hidden")
}

fn hide(path: &Path) {
    run(std::process::Command::new("mv").arg(path).arg(hidden(path)));
}

fn unhide(path: &Path) {
    run(std::process::Command::new("mv").arg(hidden(path)).arg(path));
}
