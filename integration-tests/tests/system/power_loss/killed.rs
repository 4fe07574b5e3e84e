//! Tests of programs that are killed and started again, and then lose their power.
//!
//! The kill loses nothing, so the next run finds a disk that looks intact. It must not rely on that, because an
//! existing name may never have been synced.

use integration_tests::clone::GitClone;
use integration_tests::forgetful::{ForgetfulDisk, History, Loss, Tree};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;

use crate::power_loss::at_the_same_time;
use crate::power_loss::receiver::{STATE, Story, record, uploads};
use crate::power_loss::shipper::{Recorded, pass};

/// The losses that leave the least, in names and in bytes; others leave something in between.
const LOSSES: [Loss; 3] = [Loss::Everything, Loss::Data, Loss::Torn];

/// Calls `check` with everything that may be found if the power fails after the first `from` operations or later.
fn each_loss(history: &History, from: usize, killed: &str, check: impl Fn(&Tree, usize, &str)) {
    for position in from..=history.len() {
        for loss in LOSSES {
            let done = history.operations().nth(position.saturating_sub(1)).unwrap_or_default();
            let point = format!("{killed}, power lost after operation {position}, {done}, losing {loss:?}");
            check(&history.after(position, loss), position, &point);
        }
    }
}

/// Describes for people where the programs were killed.
fn killed_after(history: &History, position: usize) -> String {
    let last = position.checked_sub(1).and_then(|at| history.operations().nth(at)).unwrap_or("nothing");
    format!("killed after operation {position}, {last}")
}

#[test]
fn what_is_acknowledged_after_a_kill_survives_a_loss_of_power() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
    let mut first_sent = uploads(&commits[1]);
    let first = record(&sandbox, clone.path(), &mut first_sent);
    at_the_same_time(first.len() + 1, |killed| {
        let sandbox = Sandbox::new();
        let disk = ForgetfulDisk::mount_after(&sandbox, &first, killed);
        let state = Some(disk.path().join(STATE));
        let mut receiver = Receiver::start(&sandbox, Options { state, ..Options::gated(clone.path()) });
        // Episodes that the first run acknowledged before it was killed still count.
        let mut sent = first_sent.clone();
        for sent in &mut sent {
            let before = sent.acknowledged.filter(|since| *since <= killed);
            sent.send(&receiver, &disk);
            sent.acknowledged = before.or(sent.acknowledged);
        }
        receiver.stop();
        let story = Story { clone: clone.path(), sent: &sent, torn_lines: 1 };
        each_loss(&disk.history(), killed, &killed_after(&first, killed), |tree, position, point| {
            story.check_before(tree, position, point);
        });
    });
    assert!(first.len() >= 50, "fewer operations than uploads are made of");
    println!("receiver: killed after each of {} operations, sent again, and power lost", first.len());
}

#[test]
fn no_episode_is_lost_when_the_power_fails_after_a_kill_and_another_pass() {
    let sandbox = Sandbox::new();
    let recorded = Recorded::new(&sandbox);
    let disk = ForgetfulDisk::mount(&sandbox, &recorded.tree);
    let begin = pass(&sandbox, &disk);
    let first = disk.history();
    at_the_same_time(first.len() + 1 - begin, |number| {
        let killed = begin + number;
        let sandbox = Sandbox::new();
        let disk = ForgetfulDisk::mount_after(&sandbox, &first, killed);
        pass(&sandbox, &disk);
        each_loss(&disk.history(), killed, &killed_after(&first, killed), |tree, _, point| {
            recorded.check_before(tree, point);
        });
    });
    println!(
        "shipper: killed after each of {} operations, another pass, and power lost",
        first.len() - begin
    );
}
