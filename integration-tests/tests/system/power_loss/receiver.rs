//! Tests of the receiver: its first start, uploads alone and in parallel, one that is sent again, and one with a wrong
//! hash.

use std::path::Path;

use cis490_shared::ids::CommitHash;
use cis490_shared::wire::headers;
use integration_tests::archive::sha256_of;
use integration_tests::clone::GitClone;
use integration_tests::forgetful::{ForgetfulDisk, History, Tree};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::names;
use integration_tests::upload::Upload;
use integration_tests::verify;

use crate::power_loss::{Found, assert_in_order, rows_in, walk};

/// The state directory, relative to the top of the disk. The first start must create it.
pub(crate) const STATE: &str = "collector";

/// An upload, and the time from which the receiver must have it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) host: &'static str,
    pub(crate) episode: &'static str,
    pub(crate) upload: Upload,
    /// The position of the disk when the client had its answer, or earlier; `None` if it was never sent.
    pub(crate) acknowledged: Option<usize>,
}

impl Sent {
    /// Creates an upload that was not sent yet and differs from all others.
    pub(crate) fn new(host: &'static str, episode: &'static str, commit: &CommitHash) -> Self {
        let seed = u32::from(episode.as_bytes()[1]);
        let body: Vec<u8> = (0..if episode == SMALL { BODY / 10 } else { BODY })
            .map(|n| (n ^ seed).wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        Self { host, episode, upload: Upload::new(host, episode, commit, &body), acknowledged: None }
    }

    /// Sends it, and records the position from which it is acknowledged.
    pub(crate) fn send(&mut self, receiver: &Receiver<'_>, disk: &ForgetfulDisk) {
        let status = self.upload.put(receiver.url()).status;
        assert!(matches!(status, 200 | 201), "{} of {}: {status}", self.episode, self.host);
        self.acknowledged = Some(disk.position());
    }

    /// Returns the path of its archive, relative to the state directory.
    pub(crate) fn archive(&self) -> String {
        format!("episodes/{}/{}.tar.zst", self.host, self.episode)
    }
}

/// Size of an upload in bytes: more than the receiver gathers before it writes, so that an archive can be there in
/// part.
const BODY: u32 = 200_000;

/// The smaller episode, which is gathered.
const SMALL: &str = "E4";

/// The data that all states of one recording have in common.
pub(crate) struct Story<'a> {
    pub(crate) clone: &'a Path,
    pub(crate) sent: &'a [Sent],
    /// The number of lines of the index that may be truncated or overwritten with zeros.
    pub(crate) torn_lines: usize,
}

impl Story<'_> {
    /// Starts a receiver on a found state, and checks everything that must hold.
    pub(crate) fn survives(&self, found: &Found) {
        let Found { tree, position, point } = found;
        self.check_before(tree, *position, point);
        let sandbox = Sandbox::new();
        tree.write_to(&sandbox.path().join("disk"));
        let state = sandbox.path().join("disk").join(STATE);
        let mut receiver =
            Receiver::start(&sandbox, Options { state: Some(state.clone()), ..Options::gated(self.clone) });
        let found = |sent: &Sent| tree.file(Path::new(STATE).join(sent.archive())).is_some();
        let there: Vec<&Sent> = self.sent.iter().filter(|sent| found(sent)).collect();
        self.check_after(&state, &there, &format!("{point}: after the start"));
        verify::assert_clean(&sandbox, &state.join("episodes"), &point);
        for sent in self.sent {
            let status = sent.upload.put(receiver.url()).status;
            let expected = if found(sent) { 200 } else { 201 };
            assert_eq!(status, expected, "{point}: {} of {} sent again", sent.episode, sent.host);
        }
        let all: Vec<&Sent> = self.sent.iter().collect();
        self.check_after(&state, &all, &format!("{point}: after sending again"));
        receiver.kill();
    }

    /// Checks what must hold on the disk before any repair.
    pub(crate) fn check_before(&self, tree: &Tree, position: usize, point: &str) {
        let (rows, _) = rows_in(tree.file(Path::new(STATE).join("index.jsonl")).unwrap_or_default());
        for sent in self.sent.iter().filter(|sent| sent.acknowledged.is_some_and(|since| since <= position)) {
            let name = sent.archive();
            assert!(tree.file(Path::new(STATE).join(&name)).is_some(), "{point}: {name} was acknowledged");
            let has_row = rows.iter().any(|row| {
                (row.host_id.as_str(), row.episode_id.as_str()) == (sent.host, sent.episode)
                    && row.sha256 == sha256_of(&sent.upload.body)
            });
            assert!(has_row, "{point}: the row of {name} was acknowledged");
        }
        self.check_archives(tree, point);
    }

    /// Fails if a final name shows anything but the whole bytes of its upload. Returns the names.
    fn check_archives(&self, state_above: &Tree, point: &str) -> Vec<String> {
        let episodes = Path::new(STATE).join("episodes");
        let mut names = Vec::new();
        for (path, bytes) in state_above.files_below(&episodes) {
            if path.starts_with(".incoming") {
                continue;
            }
            let name = Path::new("episodes").join(path).display().to_string();
            let sent = self.sent.iter().find(|sent| sent.archive() == name);
            let sent = sent.unwrap_or_else(|| panic!("{point}: nobody has sent {name}"));
            assert!(
                bytes == sent.upload.body,
                "{point}: {name} has {} bytes that were not sent",
                bytes.len()
            );
            names.push(name);
        }
        names
    }

    /// Fails unless exactly these episodes are stored, each with one row, and nothing else is left.
    fn check_after(&self, state: &Path, there: &[&Sent], point: &str) {
        let tree = Tree::read_from(state.parent().expect("the top of the disk"));
        let mut expected: Vec<String> = there.iter().map(|sent| sent.archive()).collect();
        expected.sort();
        assert_eq!(self.check_archives(&tree, point), expected, "{point}: archives");
        let index = tree.file(Path::new(STATE).join("index.jsonl")).expect("an index");
        assert!(index.is_empty() || index.ends_with(b"\n"), "{point}: the last line has no end");
        let (rows, torn) = rows_in(index);
        assert!(torn <= self.torn_lines, "{point}: {torn} lines are no rows");
        let mut named: Vec<String> =
            rows.iter().map(|row| format!("episodes/{}/{}.tar.zst", row.host_id, row.episode_id)).collect();
        named.sort();
        assert_eq!(named, expected, "{point}: rows");
        for row in &rows {
            let sent =
                there.iter().find(|sent| row.episode_id.as_str() == sent.episode).expect("compared above");
            assert_eq!(row.sha256, sha256_of(&sent.upload.body), "{point}: the hash in a row");
        }
        assert_eq!(names(&state.join("episodes/.incoming")), [""; 0], "{point}: partial uploads are left");
    }
}

/// Returns the uploads: one of a new host, then one of the same host and two of another in parallel.
pub(crate) fn uploads(commit: &CommitHash) -> [Sent; 4] {
    [("lab-1", "E1"), ("lab-1", "E2"), ("lab-2", "E3"), ("lab-2", "E4")]
        .map(|(host, episode)| Sent::new(host, episode, commit))
}

/// Starts a receiver for the first time, sends all of these uploads, and stops it. Returns the history.
pub(crate) fn record(sandbox: &Sandbox, clone: &Path, sent: &mut [Sent]) -> History {
    let disk = ForgetfulDisk::mount(sandbox, &Tree::default());
    let state = Some(disk.path().join(STATE));
    let mut receiver = Receiver::start(sandbox, Options { state, ..Options::gated(clone) });
    let (first, others) = sent.split_first_mut().expect("uploads");
    first.send(&receiver, &disk);
    std::thread::scope(|scope| {
        for sent in others {
            scope.spawn(|| sent.send(&receiver, &disk));
        }
    });
    assert_eq!(first.upload.put(receiver.url()).status, 200, "sent again");
    let other = sha256_of(b"other bytes").to_string();
    let path = "/v1/episodes/lab-3/E5.tar.zst".to_owned();
    let wrong = Upload { path, ..first.upload.clone().with(headers::CONTENT_SHA256, &other) };
    assert_eq!(wrong.put(receiver.url()).status, 400, "not what it claims to be");
    receiver.stop();
    disk.history()
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_after_any_operation() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
    let mut sent = uploads(&commits[1]);
    let history = record(&sandbox, clone.path(), &mut sent);
    let story = Story { clone: clone.path(), sent: &sent, torn_lines: 1 };
    walk("receiver", &history, 0, (50, 150), |found| story.survives(found));
    assert_in_order(
        &history,
        &[
            ("mkdir collector", ""),
            ("sync directory .", ""),
            ("create collector/index.jsonl", ""),
            ("rename collector/gate.json.new -> collector/gate.json", ""),
            ("create collector/episodes/.incoming/", ".partial"),
            ("write collector/episodes/.incoming/", &format!("..{BODY}")),
            ("sync file collector/episodes/.incoming/", ".partial"),
            ("mkdir collector/episodes/lab-1", ""),
            ("sync directory collector/episodes", "episodes"),
            ("rename collector/episodes/.incoming/", " -> collector/episodes/lab-1/E1.tar.zst"),
            ("sync directory collector/episodes/lab-1", ""),
            ("write collector/index.jsonl 0..", ""),
            ("sync file collector/index.jsonl", ""),
            ("remove collector/episodes/.incoming/", ".partial"),
        ],
    );
}
