//! Tests of a commit that is admitted by name, from the maintainer's command to the stored episode.

use std::time::{Duration, Instant};

use cis490_shared::ids::CommitHash;
use integration_tests::binaries;
use integration_tests::clone::GitClone;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run, stdout};
use integration_tests::until::{PATIENCE, wait_until};
use integration_tests::upload::Upload;

/// The time that `admit` promises, and the slack for a loaded machine.
const PROMISED: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(4);

/// Runs `cis490-receiver admit` with the receiver's own configuration, and returns its output.
fn admit(sandbox: &Sandbox, receiver: &Receiver<'_>, arguments: &[&str]) -> String {
    let mut command = sandbox.command(binaries::path("cis490-receiver"));
    command.arg("--config").arg(receiver.state().join("receiver.toml")).arg("admit").args(arguments);
    stdout(&run(command.env("SUDO_USER", "alice")))
}

#[test]
fn a_commit_admitted_while_the_receiver_runs_is_taken_without_a_restart_and_marked_in_the_log() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 3);
    let mut receiver = Receiver::start(&sandbox, Options { window: 2, ..Options::gated(clone.path()) });
    let old = &commits[0];
    let put = |receiver: &Receiver<'_>, host: &str, commit: &CommitHash| {
        Upload::new(host, "e1", commit, b"an archive").put(receiver.url())
    };
    assert_eq!(put(&receiver, "lab-1", old).status, 412);

    let said =
        admit(&sandbox, &receiver, &[old.as_str(), "--host", "lab-1", "--reason", "an honest backlog"]);
    assert!(said.starts_with("admitted: "), "{said}");
    let made = Instant::now();
    let stored = wait_until("the episode is taken", PATIENCE, || {
        let answer = put(&receiver, "lab-1", old);
        (answer.status != 412).then_some(answer)
    });
    assert!(made.elapsed() < PROMISED + SLACK, "it took {:?}", made.elapsed());
    assert_eq!((stored.status, stored.header("x-cis490-commit-position")), (201, None));
    assert_eq!(put(&receiver, "lab-2", old).status, 412);
    assert_eq!(put(&receiver, "lab-2", &commits[2]).status, 201);
    let log = receiver.log();
    let marked: Vec<&str> = log.lines().filter(|line| line.contains("accepted under an amnesty")).collect();
    assert_eq!(marked.len(), 1, "{log}");
    for part in ["lab-1", "e1", old.as_str(), "an honest backlog", "alice"] {
        assert!(marked[0].contains(part), "no {part} in {}", marked[0]);
    }

    // A receiver that does not run sees the change at its start.
    receiver.stop();
    let said = admit(&sandbox, &receiver, &["revoke", old.as_str()]);
    assert!(said.starts_with("revoked: "), "{said}");
    receiver.restart();
    assert!(!receiver.verdict(old).admitted);
    let again = put(&receiver, "lab-1", old);
    assert_eq!(again.status, 200, "what is stored stays");
    receiver.stop();
}
