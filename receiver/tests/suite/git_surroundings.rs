//! What lies around the commits of a clone, and must not reach into the gate: its configuration, what git derives from
//! the commits, what stands in for them, and a history that was cut off.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::git_poll::{NEVER, World, program, rev_list, telling_git};
use crate::support::{capture_log, clone_in, commit, git, times_logged};
use cis490_receiver::actors::Ping;
use cis490_receiver::gate::rev_list::RevList;

/// A clone with three commits, which fill the window; the newest is the last.
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
            // One that has read nothing yet asks git for the whole window.
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
    // What `git fetch --depth 1` leaves behind.
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
    // Every look waits behind this one, as it would in the kernel for a dead mount.
    let (mount_is_back, waits) = std::sync::mpsc::channel::<()>();
    let hanging = list.looker.look(move || waits.recv());
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
