//! Tests of a loss of power while the right bytes heal a damaged archive.

use std::path::Path;

use integration_tests::clone::GitClone;
use integration_tests::forgetful::{ForgetfulDisk, Tree};
use integration_tests::http;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::names;

use crate::power_loss::receiver::{STATE, Sent};
use crate::power_loss::recovery::row_of;
use crate::power_loss::{Found, assert_in_order, rows_in, walk};

/// Creates an archive that has lost its end, and the row that names the whole.
fn with_damage(sandbox: &Sandbox, sent: &Sent, damaged: &[u8]) -> Tree {
    let top = sandbox.dir("damaged");
    let archive = top.join(STATE).join(sent.archive());
    std::fs::create_dir_all(archive.parent().expect("a directory")).expect("in the sandbox");
    std::fs::write(archive, damaged).expect("in the sandbox");
    std::fs::write(top.join(STATE).join("index.jsonl"), row_of(sent)).expect("in the sandbox");
    Tree::read_from(&top)
}

/// Fails unless some name has the damaged bytes, and the archive's name has the damaged bytes, the right bytes or no
/// file. Returns true if it has the right bytes.
fn check(tree: &Tree, sent: &Sent, damaged: &[u8], point: &str) -> bool {
    let files = tree.files_below(Path::new(STATE).join("episodes"));
    let is_kept = |(path, bytes): (&&Path, &&[u8])| !path.starts_with(".incoming") && **bytes == *damaged;
    assert!(files.iter().any(is_kept), "{point}: what was damaged is gone");
    let found = tree.file(Path::new(STATE).join(sent.archive()));
    let is_right = found.is_some_and(|bytes| *bytes == *sent.upload.body);
    assert!(is_right || found.is_none_or(|bytes| *bytes == *damaged), "{point}: neither damaged nor right");
    let (rows, _) = rows_in(tree.file(Path::new(STATE).join("index.jsonl")).unwrap_or_default());
    assert_eq!(rows.len(), 1, "{point}: rows");
    is_right
}

#[test]
fn a_damaged_archive_that_is_healed_survives_a_loss_of_power_after_any_operation() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
    let mut sent = Sent::new("lab-1", "E1", &commits[1]);
    let damaged = sent.upload.body[..100_000].to_vec();
    let disk = ForgetfulDisk::mount(&sandbox, &with_damage(&sandbox, &sent, &damaged));
    let state = Some(disk.path().join(STATE));
    let mut receiver = Receiver::start(&sandbox, Options { state, ..Options::gated(clone.path()) });
    sent.send(&receiver, &disk);
    receiver.stop();

    let history = disk.history();
    walk("healing", &history, 0, (15, 15), |found| {
        let Found { tree, position, point } = found;
        let is_right = check(tree, &sent, &damaged, point);
        let is_acknowledged = sent.acknowledged.is_some_and(|since| since <= *position);
        assert!(is_right || !is_acknowledged, "{point}: acknowledged and not healed");

        let sandbox = Sandbox::new();
        tree.write_to(&sandbox.path().join("disk"));
        let state = sandbox.path().join("disk").join(STATE);
        let options = Options { state: Some(state.clone()), ..Options::gated(clone.path()) };
        let mut receiver = Receiver::start(&sandbox, options);
        let head = || http::request(receiver.url(), "HEAD", &sent.upload.path, &[], b"").status;
        assert_eq!(head(), if is_right { 200 } else { 404 }, "{point}: is it stored?");
        let status = sent.upload.put(receiver.url()).status;
        assert_eq!(status, if is_right { 200 } else { 201 }, "{point}: sent again");
        assert_eq!(head(), 200, "{point}: after sending again");
        let after = Tree::read_from(state.parent().expect("the top of the disk"));
        assert!(check(&after, &sent, &damaged, point), "{point}: after sending again");
        assert_eq!(names(&state.join("episodes/.incoming")), [""; 0], "{point}: partial uploads are left");
        receiver.kill();
    });
    let archive = "collector/episodes/lab-1/E1.tar.zst";
    assert_in_order(
        &history,
        &[
            ("sync file collector/episodes/.incoming/", ".partial"),
            (&format!("rename {archive} -> "), "collector/episodes/.damaged/lab-1/E1.tar.zst.1"),
            ("sync directory collector/episodes/.damaged/lab-1", ""),
            ("rename collector/episodes/.incoming/", &format!(" -> {archive}")),
            ("sync directory collector/episodes/lab-1", ""),
        ],
    );
}
