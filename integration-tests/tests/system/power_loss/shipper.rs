//! Tests of a loss of power on a lab host and the collector at the same moment, during one pass of the shipper.
//!
//! Both work on one disk, so its log shows whether the receiver had an episode when the shipper put it away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cis490_shared::archive::{DONE_MARKER, REASON_NAME};
use cis490_shared::ids::CommitHash;
use integration_tests::archive::{assert_holds, sha256_of_file};
use integration_tests::episodes::Recording;
use integration_tests::forgetful::{ForgetfulDisk, Tree};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::verify;

use crate::power_loss::receiver::STATE;
use crate::power_loss::{Found, assert_in_order, by_chance, rows_in, walk, walk_by};

pub(crate) const HOST: &str = "lab-1";
/// The data directory, relative to the top of the disk.
pub(crate) const DATA: &str = "lab";
/// The exit code of a pass in which an episode was refused and nothing is left to retry.
const REFUSED: i32 = 65;

/// The recorded episodes: one to be shipped, and one whose meta.json a power cut has emptied.
pub(crate) struct Recorded {
    pub(crate) tree: Tree,
    good: String,
    bad: String,
}

impl Recorded {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
        let top = sandbox.dir("recorded");
        let episodes = top.join(DATA).join("episodes");
        let [good, bad] = [7, 8].map(|seed| Recording::new(seed, &commit, 20_000));
        good.write_to(&episodes);
        std::fs::write(bad.write_to(&episodes).join("meta.json"), "").expect("in the sandbox");
        Self { tree: Tree::read_from(&top), good: good.id().to_string(), bad: bad.id().to_string() }
    }

    /// Returns the files of an episode as recorded.
    fn files(&self, id: &str) -> BTreeMap<&Path, &[u8]> {
        self.tree.files_below(place("episodes", id))
    }

    /// Fails unless an episode is complete in at least one of these places. Returns the places in which it is found.
    ///
    /// It may be in two places, after a move of which only one directory was synced.
    fn places(&self, id: &str, tree: &Tree, places: [&'static str; 2], point: &str) -> Vec<&'static str> {
        let mut found = Vec::new();
        for name in ["episodes", "shipped", "quarantine"] {
            if !tree.leaves().any(|(path, _)| path == place(name, id)) {
                continue;
            }
            assert!(places.contains(&name), "{point}: {id} is in {name}/");
            if is_left_over(tree, name, id) {
                continue;
            }
            let mut files = tree.files_below(place(name, id));
            let reason = files.remove(Path::new(REASON_NAME));
            files.remove(Path::new(&format!("{REASON_NAME}.new")));
            assert!(files == self.files(id), "{point}: {id} in {name}/ is not what was recorded");
            let is_told =
                reason.is_some_and(|reason| serde_json::from_slice::<serde_json::Value>(reason).is_ok());
            assert!(is_told || name != "quarantine", "{point}: {id} is in quarantine/ and nobody knows why");
            found.push(name);
        }
        assert!(!found.is_empty(), "{point}: {id} is lost");
        found
    }

    /// Checks everything that must hold before any repair. Returns the places of both episodes.
    pub(crate) fn check_before(&self, tree: &Tree, point: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let good = self.places(&self.good, tree, ["episodes", "shipped"], point);
        let bad = self.places(&self.bad, tree, ["episodes", "quarantine"], point);
        if good.contains(&"shipped") {
            let archive = Path::new(STATE).join(format!("episodes/{HOST}/{}.tar.zst", self.good));
            assert!(tree.file(archive).is_some(), "{point}: put away, and the receiver does not have it");
            let (rows, _) = rows_in(tree.file(Path::new(STATE).join("index.jsonl")).unwrap_or_default());
            assert_eq!(rows.len(), 1, "{point}: put away, and the receiver has no row");
        }
        (good, bad)
    }

    /// Starts both programs on a found state, and checks everything that must hold.
    fn survives(&self, found: &Found) {
        let Found { tree, point, .. } = found;
        let (good, bad) = self.check_before(tree, point);

        let sandbox = Sandbox::new();
        let top = sandbox.path().join("disk");
        tree.write_to(&top);
        let state = Some(top.join(STATE));
        let mut receiver = Receiver::start(&sandbox, Options { state, ..Options::open() });
        let lab_host = LabHost::on(&sandbox, HOST, receiver.url(), top.join(DATA));
        let pass = lab_host.once();
        let expected = if bad.contains(&"episodes") { REFUSED } else { 0 };
        assert_eq!(pass.code, Some(expected), "{point}: the next pass\n{}", pass.log);

        let mut left = vec![self.good.clone(), self.bad.clone()];
        left.retain(|id| is_left_over(tree, "episodes", id));
        assert_eq!(lab_host.names("episodes"), left, "{point}: left in episodes/\n{}", pass.log);
        // An incomplete original keeps its archive, which is swept after a person has removed the original.
        let archives: Vec<_> =
            left.iter().filter(|id| **id == self.good).map(|id| format!("{id}.tar.zst")).collect();
        assert_eq!(lab_host.names("outbox"), archives, "{point}: left in outbox/\n{}", pass.log);
        for (directory, id, before) in [("shipped", &self.good, &good), ("quarantine", &self.bad, &bad)] {
            // An episode that was found in both places was put away again, under another name.
            let expected = [id.clone(), format!("{id}.1")];
            assert_eq!(lab_host.names(directory), expected[..before.len()], "{point}: {directory}/");
        }
        let after = Tree::read_from(&top);
        self.places(&self.good, &after, ["shipped", "episodes"], point);
        self.places(&self.bad, &after, ["quarantine", "episodes"], point);
        let archive = receiver.archive(HOST, &self.good);
        assert_holds(&archive, &lab_host.data().join("shipped").join(&self.good));
        let (rows, torn) = rows_in(after.file(Path::new(STATE).join("index.jsonl")).expect("an index"));
        assert!(rows.len() == 1 && torn <= 1, "{point}: {} rows, {torn} other lines", rows.len());
        assert_eq!(rows[0].sha256, sha256_of_file(&archive), "{point}: the hash in the row");
        verify::assert_clean(&sandbox, &receiver.state().join("episodes"), &point);
        receiver.kill();
    }
}

/// Returns true if the directory is the rest of an episode that was copied away and deleted in part. Without its marker
/// it is not an episode.
fn is_left_over(tree: &Tree, directory: &str, id: &str) -> bool {
    let at = place(directory, id);
    directory == "episodes"
        && tree.leaves().any(|(path, _)| path == at)
        && tree.file(at.join(DONE_MARKER)).is_none()
}

/// Returns the path of an episode, relative to the top of the disk.
pub(crate) fn place(directory: &str, id: &str) -> PathBuf {
    Path::new(DATA).join(directory).join(id)
}

/// Starts a receiver, lets the shipper make one pass, and stops both. Returns the position at which the pass began.
pub(crate) fn pass(sandbox: &Sandbox, disk: &ForgetfulDisk) -> usize {
    let state = Some(disk.path().join(STATE));
    let mut receiver = Receiver::start(sandbox, Options { state, ..Options::open() });
    let begin = disk.position();
    let pass = LabHost::on(sandbox, HOST, receiver.url(), disk.path().join(DATA)).once();
    assert!(matches!(pass.code, Some(0 | REFUSED)), "{}", pass.log);
    receiver.stop();
    begin
}

#[test]
fn no_episode_is_lost_when_the_power_fails_after_any_operation_of_a_pass() {
    let sandbox = Sandbox::new();
    let recorded = Recorded::new(&sandbox);
    let disk = ForgetfulDisk::mount(&sandbox, &recorded.tree);
    let begin = pass(&sandbox, &disk);
    let history = disk.history();
    let (good, bad) = (&recorded.good, &recorded.bad);
    walk("shipper", &history, begin, (30, 40), |found| recorded.survives(found));
    assert_in_order(
        &history,
        &[
            (&format!("write lab/outbox/{good}.tar.zst.partial 0.."), ""),
            (&format!("sync file lab/outbox/{good}.tar.zst.partial"), ""),
            (&format!("rename lab/outbox/{good}.tar.zst.partial"), ".tar.zst"),
            ("sync directory lab/outbox", ""),
            ("sync file collector/index.jsonl", ""),
            (&format!("rename lab/episodes/{good} -> lab/shipped/{good}"), ""),
            ("sync directory lab/shipped", ""),
            ("sync directory lab/episodes", "episodes"),
            (&format!("remove lab/outbox/{good}.tar.zst"), ""),
        ],
    );
    assert_in_order(
        &history,
        &[
            (&format!("sync file lab/episodes/{bad}/{REASON_NAME}.new"), ""),
            (&format!("sync directory lab/episodes/{bad}"), ""),
            (&format!("rename lab/episodes/{bad} -> lab/quarantine/{bad}"), ""),
            ("sync directory lab/quarantine", ""),
            ("sync directory lab/episodes", "episodes"),
        ],
    );
}

#[test]
fn no_episode_is_lost_when_the_power_fails_after_any_operation_of_a_pass_that_copies() {
    let sandbox = Sandbox::new();
    let recorded = Recorded::new(&sandbox);
    let disk = ForgetfulDisk::mount_where_directories_stay(&sandbox, &recorded.tree);
    let begin = pass(&sandbox, &disk);
    let history = disk.history();
    let few = by_chance() / 4;
    walk_by(few, "shipper that copies", &history, begin, (30, 40), |found| recorded.survives(found));
    for (id, to) in [(&recorded.good, "shipped"), (&recorded.bad, "quarantine")] {
        assert_in_order(
            &history,
            &[
                (&format!("sync file lab/{to}/.carried/{DONE_MARKER}"), ""),
                (&format!("sync directory lab/{to}/.carried"), ""),
                (&format!("rename lab/{to}/.carried -> lab/{to}/{id}"), ""),
                (&format!("sync directory lab/{to}"), ""),
                (&format!("remove lab/episodes/{id}/{DONE_MARKER}"), ""),
                (&format!("sync directory lab/episodes/{id}"), ""),
                ("sync directory lab/episodes", "episodes"),
            ],
        );
    }
}
