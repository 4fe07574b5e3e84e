//! Tests of a loss of power on the lab host while a refused episode returns from quarantine, and in the next pass.
//!
//! The danger: quarantine/ is synced because another episode arrived there. That sync also makes the departure of this
//! episode durable, while its new name may not be on the disk.

use std::fs;
use std::path::Path;

use cis490_shared::archive::REASON_NAME;
use cis490_shared::ids::CommitHash;
use integration_tests::episodes::Recording;
use integration_tests::forgetful::{ForgetfulDisk, Tree};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;

use crate::power_loss::receiver::STATE;
use crate::power_loss::shipper::{DATA, HOST, pass, place};
use crate::power_loss::{assert_in_order, walk};

const PLACES: [&str; 3] = ["episodes", "shipped", "quarantine"];

/// A lab host with an episode in quarantine that was refused for its commit. A second one in `episodes/` follows it for
/// another reason, before the first is shipped.
struct Refused {
    tree: Tree,
    waiting: String,
    bad: String,
}

impl Refused {
    fn new(sandbox: &Sandbox) -> Self {
        let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
        let top = sandbox.dir("refused");
        let [waiting, bad] = [7, 8].map(|seed| Recording::new(seed, &commit, 20_000));
        let note = format!(r#"{{"status": 412, "error": "commit-not-in-window", "commit": "{commit}"}}"#);
        fs::create_dir_all(top.join(DATA).join("shipped")).expect("in the sandbox");
        let kept = waiting.write_to(&top.join(DATA).join("quarantine"));
        fs::write(kept.join(REASON_NAME), note).expect("in the sandbox");
        let broken = bad.write_to(&top.join(DATA).join("episodes"));
        fs::write(broken.join("meta.json"), "").expect("in the sandbox");
        Self { tree: Tree::read_from(&top), waiting: waiting.id().to_string(), bad: bad.id().to_string() }
    }

    /// Fails unless the episode that waited is in at least one place, and complete in each.
    fn check(&self, tree: &Tree, point: &str) {
        let was = self.tree.files_below(place("quarantine", &self.waiting));
        let mut found = 0;
        for name in PLACES {
            let files = tree.files_below(place(name, &self.waiting));
            if !files.is_empty() {
                assert!(files == was, "{point}: the episode in {name}/ is not what was refused");
                found += 1;
            }
        }
        assert!(found > 0, "{point}: the episode is lost");
    }

    /// Starts both programs on a found state, and fails unless everything is in its place at the end.
    fn survives(&self, tree: &Tree, point: &str) {
        self.check(tree, point);
        let sandbox = Sandbox::new();
        let top = sandbox.path().join("disk");
        tree.write_to(&top);
        let state = Some(top.join(STATE));
        let mut receiver = Receiver::start(&sandbox, Options { state, ..Options::open() });
        let lab_host = LabHost::on(&sandbox, HOST, receiver.url(), top.join(DATA));
        // If the episode is in two places, the second returns after the first has gone.
        let mut log = String::new();
        for _ in 0..3 {
            log = lab_host.once().log;
        }
        assert_eq!(lab_host.names("episodes"), [""; 0], "{point}\n{log}");
        assert!(lab_host.names("shipped").contains(&self.waiting), "{point}\n{log}");
        let kept = lab_host.names("quarantine");
        assert!(!kept.is_empty() && kept.iter().all(|name| name.starts_with(&self.bad)), "{point}: {kept:?}");
        receiver.kill();
    }
}

#[test]
fn no_episode_is_lost_when_the_power_fails_after_any_operation_of_a_release() {
    let sandbox = Sandbox::new();
    let refused = Refused::new(&sandbox);
    let disk = ForgetfulDisk::mount(&sandbox, &refused.tree);
    let begin = disk.position();
    let lab_host = LabHost::on(&sandbox, HOST, "http://127.0.0.1:9", disk.path().join(DATA));
    let released = lab_host.run(&["quarantine", "release", &refused.waiting]);
    assert_eq!(released.code, Some(0), "{}", released.log);
    pass(&sandbox, &disk);
    let history = disk.history();
    walk("release", &history, begin, (30, 25), |found| refused.survives(&found.tree, &found.point));
    let id = &refused.waiting;
    assert_in_order(
        &history,
        &[
            (&format!("rename lab/quarantine/{id} -> lab/episodes/{id}"), ""),
            ("sync directory lab/episodes", "episodes"),
            ("sync directory lab/quarantine", ""),
            (&format!("rename lab/episodes/{id} -> lab/shipped/{id}"), ""),
        ],
    );
}

#[test]
fn no_episode_is_lost_when_a_release_was_killed_and_the_power_fails_in_the_next_pass() {
    let sandbox = Sandbox::new();
    let refused = Refused::new(&sandbox);
    let disk = ForgetfulDisk::mount(&sandbox, &refused.tree);
    // The steps of a release that is killed before its first sync.
    let data = disk.path().join(DATA);
    fs::write(data.join(".returning"), "").expect("a marker on the disk");
    let begin = disk.position();
    let from_to = ["quarantine", "episodes"].map(|name| data.join(name).join(Path::new(&refused.waiting)));
    #[expect(clippy::disallowed_methods, reason = "this is what leaves a name without a sync")]
    fs::rename(&from_to[0], &from_to[1]).expect("a move on the disk");
    pass(&sandbox, &disk);
    walk("killed release", &disk.history(), begin, (30, 25), |found| {
        refused.check(&found.tree, &found.point);
    });
}
