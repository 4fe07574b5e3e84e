//! GitPollActor beside a real GateActor, on real clones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{self, clone_in, commit, git};
use actix::{Actor, Addr};
use cis490_receiver::actors::Ping;
use cis490_receiver::actors::gate::GateActor;
use cis490_receiver::actors::git_poll::{GitPollActor, Observe, Poll};
use cis490_receiver::gate::rev_list::RevList;
use cis490_receiver::gate::window::{ClaimedCommit, Gate, Verdict};
use cis490_receiver::gate::window_file::{Source, WindowFile};
use cis490_receiver::io_thread::IoThread;
use cis490_shared::clock::system_time;
use cis490_shared::durable::rename_noreplace;
use cis490_shared::ids::CommitHash;
use cis490_shared::latest::Latest;

/// An interval that no test waits for: the tests request polls by message.
pub const NEVER: Duration = Duration::from_hours(1);

pub struct World {
    pub dir: tempfile::TempDir,
    pub clone: PathBuf,
    pub head: String,
    gate: Latest<Gate>,
    pub polls: Addr<GitPollActor>,
}

pub fn rev_list(repo: &Path, git: &Path) -> RevList {
    RevList {
        git: git.to_owned(),
        repo: repo.to_owned(),
        reference: "HEAD".to_owned(),
        window: 3,
        timeout: Duration::from_secs(10),
        thread: IoThread::start("test"),
    }
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clone, head) = clone_in(dir.path());
        let rev_list = rev_list(&clone, Path::new("git"));
        Self::with(dir, clone, head, rev_list, NEVER)
    }

    pub fn with(
        dir: tempfile::TempDir,
        clone: PathBuf,
        head: String,
        rev_list: RevList,
        interval: Duration,
    ) -> Self {
        let gate = Latest::new(Gate::new(true, rev_list.window));
        let replace = GateActor::new(gate.clone()).start().recipient();
        let source = Source {
            repo_path: rev_list.repo.clone(),
            reference: rev_list.reference.clone(),
            window: rev_list.window,
        };
        let window_file = WindowFile { path: dir.path().join("gate.json"), source };
        let polls = GitPollActor::new(rev_list, interval, window_file, None, replace).start();
        Self { dir, clone, head, gate, polls }
    }

    pub async fn poll(&self) -> bool {
        self.polls.send(Poll).await.unwrap()
    }

    pub async fn problem(&self) -> Option<&'static str> {
        self.polls.send(Observe).await.unwrap().problem
    }

    pub fn gate_is_ready(&self) -> bool {
        self.gate.now().state().is_ready()
    }

    pub fn admits(&self, commit: &str) -> bool {
        let claimed = ClaimedCommit::Named(CommitHash::parse(commit).unwrap());
        matches!(self.gate.now().check(claimed, None, system_time()), Verdict::Admitted { .. })
    }
}

#[actix::test]
async fn a_commit_that_lands_between_two_polls_is_admitted_by_the_second() {
    let world = World::new();
    assert!(world.poll().await);
    let fresh = commit(&world.clone, "second");
    assert!(!world.admits(&fresh));
    assert!(world.poll().await);
    assert!(world.admits(&fresh) && world.admits(&world.head));
}

#[actix::test]
async fn the_oldest_commit_leaves_the_window_when_newer_ones_fill_it() {
    let world = World::new();
    let newer: Vec<String> = (0..3).map(|n| commit(&world.clone, &n.to_string())).collect();
    assert!(world.poll().await);
    assert!(!world.admits(&world.head));
    for commit in &newer {
        assert!(world.admits(commit));
    }
}

#[actix::test]
async fn a_vanished_clone_keeps_the_window_and_a_returned_one_moves_it() {
    let world = World::new();
    assert!(world.poll().await);
    let aside = world.dir.path().join("aside");
    rename_noreplace(&world.clone, &aside).unwrap();
    assert!(!world.poll().await);
    assert_eq!(world.problem().await, Some("no-repository"));
    assert!(world.admits(&world.head));
    rename_noreplace(&aside, &world.clone).unwrap();
    let fresh = commit(&world.clone, "second");
    assert!(world.poll().await);
    assert_eq!(world.problem().await, None);
    assert!(world.admits(&fresh));
}

#[actix::test]
async fn the_window_is_kept_on_disk_for_the_next_start() {
    let world = World::new();
    assert!(world.poll().await);
    let source = Source { repo_path: world.clone.clone(), reference: "HEAD".to_owned(), window: 3 };
    let kept = WindowFile { path: world.dir.path().join("gate.json"), source }.load().unwrap().unwrap();
    assert_eq!(kept.window.head().as_str(), world.head);
}

#[actix::test]
async fn a_window_that_could_not_be_kept_is_kept_by_a_later_poll() {
    let world = World::new();
    let in_the_way = world.dir.path().join("gate.json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    assert!(world.poll().await && world.admits(&world.head));
    std::fs::remove_dir(&in_the_way).unwrap();
    assert!(world.poll().await);
    assert!(world.dir.path().join("gate.json").is_file());
}

#[actix::test]
async fn a_clone_that_blocks_whoever_looks_at_it_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("blocked");
    std::fs::create_dir(&repo).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        repo.join(".git"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let rev_list = rev_list(&repo, Path::new("git"));
    let world = World::with(dir, repo, String::new(), rev_list, NEVER);
    assert!(!world.poll().await);
    assert_eq!(world.problem().await, Some("no-repository"));
}

#[actix::test]
async fn a_clone_without_a_commit_never_makes_an_empty_window() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet", "unborn"]);
    let repo = dir.path().join("unborn");
    let rev_list = rev_list(&repo, Path::new("git"));
    let world = World::with(dir, repo, String::new(), rev_list, NEVER);
    assert!(!world.poll().await);
    assert_eq!(world.problem().await, Some("git-failed"));
    assert!(!world.gate_is_ready());
}

/// Creates a program that replaces git.
///
/// Another process writes it. Otherwise a fork by a parallel test could hold our descriptor for a moment. A file that
/// is open for writing cannot be run (ETXTBSY).
pub fn program(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("fake-git");
    let write = "printf '%s\n' '#!/bin/sh' \"$1\" >\"$2\" && chmod 755 \"$2\"";
    let written = Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status().unwrap();
    assert!(written.success());
    path
}

#[actix::test]
async fn a_git_that_hangs_is_killed_and_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(dir.path());
    let pid_file = dir.path().join("pid");
    let script = format!("echo $$ > {}\nexec sleep 1000", pid_file.display());
    let rev_list =
        RevList { timeout: Duration::from_millis(300), ..rev_list(&clone, &program(dir.path(), &script)) };
    let world = World::with(dir, clone, head, rev_list, NEVER);
    let (read, ()) = futures_util::future::join(world.poll(), async {
        world.polls.send(Ping).await.unwrap();
    })
    .await;
    assert!(!read);
    assert_eq!(world.problem().await, Some("git-hung"));
    let pid = std::fs::read_to_string(pid_file).unwrap();
    let state = PathBuf::from(format!("/proc/{}", pid.trim()));
    let deadline = Instant::now() + Duration::from_secs(10);
    while state.try_exists().unwrap() {
        assert!(Instant::now() < deadline, "the child is still there");
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_git_that_prints_without_end_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(dir.path());
    let rev_list = rev_list(&clone, &program(dir.path(), "exec yes 0123456789"));
    let world = World::with(dir, clone, head, rev_list, NEVER);
    assert!(!world.poll().await);
    assert!(world.problem().await.is_some());
}

/// Returns a git that logs its commands, and a function that returns and clears this log.
pub fn telling_git(dir: &Path) -> (PathBuf, impl Fn() -> Vec<String> + use<>) {
    let log = dir.join("asked");
    let script = format!("echo \"$3\" >> {}\nexec git \"$@\"", log.display());
    let asked = move || {
        let lines = std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
        std::fs::write(&log, "").unwrap();
        lines
    };
    (program(dir, &script), asked)
}

#[actix::test]
async fn an_unchanged_clone_is_not_walked_again() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, _) = clone_in(dir.path());
    let head = commit(&clone, "second");
    let (git, asked) = telling_git(dir.path());
    let world = World::with(dir, clone.clone(), head, rev_list(&clone, &git), NEVER);
    assert!(world.poll().await && world.poll().await);
    assert_eq!(asked(), ["rev-list", "rev-list"], "a window that is not full can grow at its old end");
    let full = commit(&clone, "third");
    assert!(world.poll().await && world.poll().await);
    let calls = asked();
    assert_eq!(calls, ["rev-list", "rev-parse"]);
    assert!(world.admits(&full) && world.admits(&world.head));
    let fresh = commit(&clone, "fourth");
    assert!(world.poll().await);
    assert_eq!(asked(), ["rev-parse", "rev-list"]);
    assert!(world.admits(&fresh) && world.admits(&full));
    assert_eq!(world.problem().await, None);
}

#[actix::test]
async fn a_git_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(dir.path());
    let rev_list = rev_list(&clone, &dir.path().join("no-such-git"));
    let world = World::with(dir, clone, head, rev_list, NEVER);
    assert!(!world.poll().await);
    assert_eq!(world.problem().await, Some("no-git"));
}

#[actix::test]
async fn every_shape_of_clone_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, first) = clone_in(dir.path());
    let head = commit(&clone, "second");
    let here = dir.path();
    git(here, &["clone", "--quiet", "--bare", "clone", "bare.git"]);
    git(&clone, &["worktree", "add", "--quiet", "--detach", "../linked"]);
    git(&clone, &["gc", "--quiet"]);
    for (name, commits) in [("clone", 2), ("bare.git", 2), ("linked", 2)] {
        let window = rev_list(&here.join(name), Path::new("git")).read(None).await.unwrap();
        assert_eq!(window.head().as_str(), head, "{name}");
        assert_eq!(window.commits().len(), commits, "{name}");
    }
    assert_ne!(first, head);
}

#[actix::test]
async fn polling_goes_on_while_the_clone_is_repacked() {
    let world = World::new();
    for round in 0..5 {
        let fresh = commit(&world.clone, &round.to_string());
        let clone = world.clone.clone();
        let gc = std::thread::spawn(move || git(&clone, &["gc", "--quiet", "--prune=now"]));
        while !gc.is_finished() {
            assert!(world.poll().await);
        }
        gc.join().unwrap();
        assert!(world.poll().await && world.admits(&fresh));
    }
}

#[actix::test]
async fn the_timer_polls_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(dir.path());
    let rev_list = rev_list(&clone, Path::new("git"));
    let world = World::with(dir, clone, head, rev_list, Duration::from_millis(20));
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.polls.send(Observe).await.unwrap().succeeded < 3 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert!(world.admits(&world.head));
}

#[actix::test]
async fn a_failing_clone_is_logged_once_per_change_and_not_once_per_poll() {
    support::capture_log();
    let world = World::new();
    assert!(world.poll().await);
    let aside = world.dir.path().join("aside");
    rename_noreplace(&world.clone, &aside).unwrap();
    for _ in 0..3 {
        assert!(!world.poll().await);
        // A different failure in between is logged as well, and both only once.
        std::fs::create_dir_all(world.clone.join(".git")).unwrap();
        assert!(!world.poll().await);
        std::fs::remove_dir_all(&world.clone).unwrap();
    }
    rename_noreplace(&aside, &world.clone).unwrap();
    for _ in 0..3 {
        assert!(world.poll().await);
    }
    assert_eq!(support::times_logged("cannot be read"), 2);
    assert_eq!(support::times_logged("can be read again"), 1);
    assert_eq!(support::times_logged("the commit window moved"), 1);
}
