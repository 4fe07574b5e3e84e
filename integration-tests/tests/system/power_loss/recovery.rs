//! Tests of a second loss of power, while the receiver repairs the state after the first.

use std::path::Path;

use integration_tests::clone::GitClone;
use integration_tests::forgetful::{ForgetfulDisk, Tree};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::upload::row_line;

use crate::power_loss::receiver::{STATE, Sent, Story};
use crate::power_loss::{assert_in_order, walk};

pub(crate) fn row_of(sent: &Sent) -> Vec<u8> {
    row_line(sent.host, sent.episode, &sent.upload.body)
}

/// Creates one archive with its row, one without, half an upload, and half a line.
fn left_by_a_crash(sandbox: &Sandbox, with_row: &Sent, without_row: &Sent) -> Tree {
    let top = sandbox.dir("left");
    let state = top.join(STATE);
    for sent in [with_row, without_row] {
        let path = state.join(sent.archive());
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("in the sandbox");
        std::fs::write(path, &sent.upload.body).expect("in the sandbox");
    }
    std::fs::create_dir(state.join("episodes/.incoming")).expect("in the sandbox");
    std::fs::write(state.join("episodes/.incoming/0123.partial"), "half").expect("in the sandbox");
    let index = [row_of(with_row), row_of(without_row)[..40].to_vec()].concat();
    std::fs::write(state.join("index.jsonl"), index).expect("in the sandbox");
    Tree::read_from(&top)
}

#[test]
fn a_start_that_repairs_survives_a_loss_of_power_after_any_of_its_operations() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
    let mut sent = [Sent::new("lab-1", "E1", &commits[1]), Sent::new("lab-2", "E2", &commits[1])];
    sent[0].acknowledged = Some(0);

    let disk = ForgetfulDisk::mount(&sandbox, &left_by_a_crash(&sandbox, &sent[0], &sent[1]));
    let state = Some(disk.path().join(STATE));
    let mut receiver = Receiver::start(&sandbox, Options { state, ..Options::gated(clone.path()) });
    receiver.stop();

    let history = disk.history();
    // Half a line was there already, and the row of the repair may be truncated as well.
    let story = Story { clone: clone.path(), sent: &sent, torn_lines: 2 };
    walk("recovery", &history, 0, (15, 15), |found| {
        for sent in &sent {
            let name = Path::new(STATE).join(sent.archive());
            assert!(found.tree.file(&name).is_some(), "{}: {} is gone", found.point, name.display());
        }
        story.survives(found);
    });
    assert_in_order(
        &history,
        &[
            ("remove collector/episodes/.incoming/0123.partial", ""),
            ("write collector/index.jsonl ", ""),
            ("sync file collector/index.jsonl", ""),
            ("sync directory collector/episodes/lab-2", ""),
            ("write collector/index.jsonl ", ""),
            ("sync file collector/index.jsonl", ""),
        ],
    );
}
