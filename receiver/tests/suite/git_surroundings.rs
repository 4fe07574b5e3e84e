//! The surroundings of a clone's commits, which must not affect the gate: its configuration, data that git derives from
//! the commits, replacements of commits, and a history that was cut off.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::git_poll::{NEVER, World, program, rev_list, telling_git};
use crate::support::{capture_log, clone_in, commit, git, times_logged};
use cis490_receiver::actors::Ping;
use cis490_receiver::gate::advice::remedy;
use cis490_receiver::gate::rev_list::RevList;

/// Returns a clone with three commits, which fill the window; the newest is the last.
fn full_clone() -> (tempfile::TempDir, World, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (clone, first) = clone_in(dir.path());
    let commits = vec![first, commit(&clone, "second"), commit(&clone, "third")];
    let world_dir = tempfile::tempdir().unwrap();
    let world =
        World::with(world_dir, clone.clone(), commits[2].clone(), rev_list(&clone, Path::new("git")), NEVER);
    (dir, world, commits)
}

#[actix::test]
async fn a_configuration_that_names_files_below_a_home_is_no_hindrance() {
    let (_dir, world, commits) = full_clone();
    for (key, value) in [
        ("core.excludesFile", "~/.gitignore"),
        ("core.attributesFile", "~/.gitattributes"),
        ("core.hooksPath", "~/hooks"),
        ("include.path", "~/.gitconfig.shared"),
        ("includeIf.gitdir:~/.path", "~/.gitconfig.work"),
        ("safe.directory", "~/elsewhere"),
    ] {
        git(&world.clone, &["config", key, value]);
    }
    assert!(world.poll().await);
    assert!(commits.iter().all(|commit| world.admits(commit)));
}

#[actix::test]
async fn what_git_derives_from_commits_admits_and_refuses_nothing_however_it_is_damaged() {
    let (_dir, world, commits) = full_clone();
    git(&world.clone, &["commit-graph", "write", "--reachable"]);
    git(&world.clone, &["-c", "core.multiPackIndex=true", "repack", "--quiet", "-a", "-d", "--write-midx"]);
    let info = world.clone.join(".git/objects/info/commit-graph");
    let midx = world.clone.join(".git/objects/pack/multi-pack-index");
    for derived in [info, midx] {
        let whole = fs::read(&derived).unwrap();
        fs::remove_file(&derived).unwrap();
        // Bits of the header, the lookup tables, the ids and the parents in turn.
        for at in (0..whole.len()).step_by(whole.len() / 24) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&derived, &damaged).unwrap();
            // A new actor has read nothing yet, so it asks git for the whole window.
            let world = World::with(
                tempfile::tempdir().unwrap(),
                world.clone.clone(),
                String::new(),
                rev_list(&world.clone, Path::new("git")),
                NEVER,
            );
            assert!(world.poll().await, "byte {at} of {}", derived.display());
            assert!(commits.iter().all(|commit| world.admits(commit)), "byte {at} of {}", derived.display());
        }
        fs::write(&derived, &whole).unwrap();
    }
}

#[actix::test]
async fn what_stands_in_for_a_commit_is_not_read() {
    let (dir, world, commits) = full_clone();
    let (stranger, head) = {
        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        git(&other, &["init", "--quiet"]);
        (other.clone(), commit(&other, "from elsewhere"))
    };
    git(&world.clone, &["fetch", "--quiet", stranger.to_str().unwrap(), "HEAD"]);
    git(&world.clone, &["update-ref", &format!("refs/replace/{}", commits[1]), &head]);
    fs::create_dir_all(world.clone.join(".git/info")).unwrap();
    fs::write(world.clone.join(".git/info/grafts"), format!("{} {head}\n", commits[2])).unwrap();
    assert!(world.poll().await);
    assert!(commits.iter().all(|commit| world.admits(commit)));
    assert!(!world.admits(&head));
}

#[actix::test]
async fn a_clone_that_is_cut_off_within_the_window_keeps_the_former_one() {
    let (_dir, world, commits) = full_clone();
    assert!(world.poll().await);
    // The state that `git fetch --depth 1` leaves behind.
    let newest = commit(&world.clone, "fourth");
    fs::write(world.clone.join(".git/shallow"), format!("{newest}\n")).unwrap();
    assert!(!world.poll().await);
    assert_eq!(world.problem().await, Some("shallow"));
    assert!(commits.iter().all(|commit| world.admits(commit)) && !world.admits(&newest));
    fs::remove_file(world.clone.join(".git/shallow")).unwrap();
    assert!(world.poll().await);
    assert_eq!(world.problem().await, None);
    assert!(world.admits(&newest) && world.admits(&commits[1]) && !world.admits(&commits[0]));
}

#[actix::test]
async fn a_shallow_clone_is_no_window_and_one_that_is_deep_enough_is() {
    let (dir, full, commits) = full_clone();
    for (depth, reads) in [("1", false), ("2", false), ("3", true)] {
        let shallow = dir.path().join(format!("depth-{depth}"));
        let url = format!("file://{}", full.clone.display());
        git(dir.path(), &["clone", "--quiet", "--depth", depth, &url, shallow.to_str().unwrap()]);
        let list = rev_list(&shallow, Path::new("git"));
        let world = World::with(tempfile::tempdir().unwrap(), shallow, String::new(), list, NEVER);
        assert_eq!(world.poll().await, reads, "depth {depth}");
        assert_eq!(world.gate_is_ready(), reads, "with no former window the gate answers 503");
        assert_eq!(commits.iter().all(|commit| world.admits(commit)), reads, "depth {depth}");
    }
}

#[actix::test]
async fn a_git_that_warns_a_lot_is_read_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(dir.path());
    let script = "i=0; while [ $i -lt 2000 ]; do echo \"warning: something is odd here, again\" >&2; i=$((i+1)); done\n\
                  exec git \"$@\"";
    let list = rev_list(&clone, &program(dir.path(), script));
    let world = World::with(dir, clone, head, list, NEVER);
    assert!(world.poll().await);
    assert!(world.admits(&world.head));
}

#[actix::test]
async fn a_clone_that_does_not_answer_is_left_alone_until_it_does() {
    capture_log();
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(dir.path());
    let (git, asked) = telling_git(dir.path());
    let list = RevList { timeout: Duration::from_millis(100), ..rev_list(&clone, &git) };
    // Every read waits behind this one, as it would in the kernel for a dead mount.
    let (mount_is_back, waits) = std::sync::mpsc::channel::<()>();
    let hanging = list.thread.run(move || waits.recv());
    let world = World::with(dir, clone, head, list, NEVER);
    for _ in 0..3 {
        assert!(!world.poll().await);
        assert_eq!(world.problem().await, Some("clone-hangs"));
    }
    world.polls.send(Ping).await.unwrap();
    mount_is_back.send(()).unwrap();
    hanging.await.unwrap().unwrap();
    while world.problem().await.is_some() {
        tokio::task::yield_now().await;
    }
    assert!(world.admits(&world.head));
    assert_eq!(asked(), ["rev-list"], "one poll for all that were asked for");
    assert_eq!(times_logged("cannot be read"), 1);
    assert_eq!(times_logged("can be read again"), 1);
}

/// Adds a commit of the year 2090, which comes before all others in the order of `git log`.
fn commit_of_the_future(repo: &Path) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    let mut git = Command::new("git");
    git.current_dir(repo).env("GIT_COMMITTER_DATE", "2090-01-01T00:00:00Z").args(identity);
    assert!(git.args(["commit", "--quiet", "--allow-empty", "-m", "side"]).status().unwrap().success());
}

#[actix::test]
async fn a_merge_that_takes_away_what_hosts_use_is_told_with_the_command_that_admits_it() {
    capture_log();
    let (_dir, world, commits) = full_clone();
    let clone = world.clone.clone();
    assert!(world.poll().await);
    assert!(world.admits(&commits[1]) && world.admits(&commits[2]));
    git(&clone, &["checkout", "--quiet", "-b", "side", &commits[0]]);
    (0..3).for_each(|_| commit_of_the_future(&clone));
    git(&clone, &["checkout", "--quiet", "-"]);
    git(&clone, &["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    assert!(world.poll().await);
    let log = git(&clone, &["log", "-3", "--format=%H"]);
    assert!(log.lines().all(|commit| world.admits(commit)), "the order is that of git log");
    assert!(!commits.iter().any(|commit| world.admits(commit)));
    assert_eq!(times_logged("commits in use have left the window"), 1);
    let mut used = [commits[1].as_str(), commits[2].as_str()];
    used.sort_unstable();
    assert_eq!(times_logged(&format!("for commit in {}; do sudo cis490-receiver admit", used.join(" "))), 1);
    assert!(world.poll().await);
    assert_eq!(times_logged("commits in use have left the window"), 1);
}

#[actix::test]
async fn what_is_advised_shows_what_the_service_sees() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(&dir.path().canonicalize().unwrap());
    // A path below the home directory, which this user's own git would read and the service's does not.
    git(&clone, &["config", "core.excludesFile", "~/.gitignore"]);
    let mut list = RevList { reference: "refs/heads/gone".to_owned(), ..rev_list(&clone, Path::new("git")) };
    let failure = list.read(None).await.unwrap_err();
    let command = |list: &RevList| {
        let advice = remedy(&failure, list);
        let line = advice.split('`').nth(1).unwrap().to_owned();
        line.strip_prefix("sudo ").unwrap().to_owned()
    };
    let expected = format!("nsenter --target {} --mount --setuid ", std::process::id());
    assert!(command(&list).starts_with(&expected), "{}", command(&list));
    let run = |list: &RevList| Command::new("sh").args(["-c", &command(list)]).output().unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let failed = run(&list);
    let said = String::from_utf8_lossy(&failed.stderr).lines().next().unwrap().to_owned();
    assert!(failure.to_string().contains(&said), "{failure} {said}");
    list.reference = "HEAD".to_owned();
    assert_eq!(String::from_utf8_lossy(&run(&list).stdout).trim(), head);
}
