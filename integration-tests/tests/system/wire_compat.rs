//! Tests with clients in other languages: curl, and Python in the way of the shipper's earlier generation.
//!
//! The receiver's own tests cover each status and member. These tests use whole programs that were not written for the
//! receiver.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{sha256_of, sha256_of_file};
use integration_tests::clone::GitClone;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run, stdout};
use integration_tests::shipper::LabHost;
use integration_tests::upload::Upload;

const MIB: u64 = 1 << 20;

/// A receiver whose window excludes the first commit.
struct Ground<'a> {
    sandbox: &'a Sandbox,
    receiver: Receiver<'a>,
    stale: CommitHash,
    fresh: CommitHash,
}

impl<'a> Ground<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        Self::with(sandbox, Options::open())
    }

    fn with(sandbox: &'a Sandbox, options: Options) -> Self {
        let (clone, commits) = GitClone::with_commits(sandbox, "cis490", 2);
        let repo = Some(clone.path().to_owned());
        let receiver = Receiver::start(sandbox, Options { repo, window: 1, ..options });
        Self { sandbox, receiver, stale: commits[0].clone(), fresh: commits[1].clone() }
    }

    /// Creates a file in the sandbox with that content.
    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.sandbox.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Creates a file of zeros, which takes no disk space.
    fn zeros(&self, name: &str, length: u64) -> PathBuf {
        let path = self.sandbox.path().join(name);
        File::create(&path).unwrap().set_len(length).unwrap();
        path
    }

    /// Uploads a file with curl, with the headers of protocol 2.1 and these on top.
    fn curl(&self, episode: &str, file: &Path, commit: &CommitHash, more: &[&str]) -> Curl {
        let sha256 = format!("X-Content-SHA256: {}", sha256_of_file(file));
        let commit = format!("X-Cis490-Code-Commit: {commit}");
        let all: Vec<&str> = ["-H", &sha256, "-H", &commit].into_iter().chain(more.iter().copied()).collect();
        self.curl_plain(episode, file, &all)
    }

    /// Uploads a file with curl and only these headers.
    fn curl_plain(&self, episode: &str, file: &Path, more: &[&str]) -> Curl {
        let (answer, heads) = (self.sandbox.free("answer", ""), self.sandbox.free("heads", ""));
        let url = format!("{}/v1/episodes/lab-1/{episode}.tar.zst", self.receiver.url());
        let mut curl = self.sandbox.command("curl");
        curl.args(["--silent", "--show-error", "--http1.1", "--max-time", "120", "--upload-file"]).arg(file);
        curl.arg("--output").arg(&answer).arg("--dump-header").arg(&heads);
        curl.args(["--write-out", "%{http_code} %{size_upload}"]);
        let printed = stdout(&run(curl.args(more).arg(url)));
        let (status, sent) = printed.split_once(' ').unwrap();
        let body = serde_json::from_slice(&fs::read(answer).unwrap()).unwrap();
        let was_asked = fs::read_to_string(heads).unwrap().contains(" 100 Continue");
        Curl { status: status.parse().unwrap(), was_asked, sent: sent.parse().unwrap(), body }
    }
}

/// The answer that curl saw, and the number of bytes of the body that it sent.
#[derive(Debug)]
struct Curl {
    status: u16,
    /// True if `100 Continue` came; a slower refusal would then have met the whole body.
    was_asked: bool,
    sent: u64,
    body: serde_json::Value,
}

impl Curl {
    fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap_or_default())
    }
}

const EXPECT: [&str; 4] = ["-H", "Expect: 100-continue", "--expect100-timeout", "60"];
const NO_EXPECT: [&str; 2] = ["-H", "Expect:"];

#[test]
fn curl_stores_an_episode_once_and_never_overwrites_it() {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox);
    let (first, other) = (ground.file("first", b"first bytes"), ground.file("other", b"other bytes"));

    let stored = ground.curl("e1", &first, &ground.fresh, &EXPECT);
    assert_eq!((stored.status, stored.sent, &stored.body["status"]), (201, 11, &"stored".into()));
    assert!(stored.was_asked);
    let again = ground.curl("e1", &first, &ground.fresh, &EXPECT);
    assert_eq!((again.status, again.sent, &again.body["status"]), (200, 0, &"already-present".into()));
    let again = ground.curl("e1", &first, &ground.fresh, &NO_EXPECT);
    assert_eq!((again.status, &again.body["status"]), (200, &"already-present".into()));

    let conflict = ground.curl("e1", &other, &ground.fresh, &EXPECT);
    assert_eq!((conflict.error(), conflict.was_asked, conflict.sent), ((409, "conflict"), false, 0));
    assert_eq!(conflict.body["stored_sha256"], sha256_of(b"first bytes").to_string());
    assert_eq!(conflict.body["your_sha256"], sha256_of(b"other bytes").to_string());
    assert_eq!(fs::read(ground.receiver.archive("lab-1", "e1")).unwrap(), b"first bytes");
    assert_eq!(ground.receiver.rows().len(), 1);
}

#[test]
fn curl_that_waits_for_100_sends_no_byte_of_what_is_refused() {
    let sandbox = Sandbox::new();
    let ground = Ground::with(&sandbox, Options { max_upload_bytes: 100 * MIB, ..Options::open() });
    let (body, too_large) = (ground.zeros("body", 50 * MIB), ground.zeros("large", 101 * MIB));

    let refused = ground.curl("e1", &body, &ground.stale, &EXPECT);
    assert_eq!((refused.error(), refused.was_asked, refused.sent), ((412, "commit-not-in-window"), false, 0));
    assert_eq!(refused.body["your_commit"], ground.stale.as_str());
    assert_eq!(refused.body["head_commit"], ground.fresh.as_str());
    assert_eq!(refused.body["window"], 1);
    assert!(refused.body["remediation"].as_str().unwrap().contains("git pull origin main"));

    let refused = ground.curl("e1", &too_large, &ground.fresh, &EXPECT);
    assert_eq!((refused.error(), refused.was_asked, refused.sent), ((413, "too-large"), false, 0));
    assert_eq!(refused.body["limit_bytes"], 100 * MIB);
    assert_eq!(ground.receiver.rows().len(), 0);
}

#[test]
fn curl_is_told_what_is_wrong_with_its_headers() {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox);
    let body = ground.file("body", b"some bytes");
    let sha256 = format!("X-Content-SHA256: {}", sha256_of(b"some bytes"));
    let commit = format!("X-Cis490-Code-Commit: {}", ground.fresh);

    let no_commit = ground.curl_plain("e1", &body, &["-H", &sha256]);
    assert_eq!(no_commit.error(), (400, "commit-missing"));
    assert!(no_commit.body["remediation"].is_string());
    let odd_commit = ground.curl_plain("e1", &body, &["-H", &sha256, "-H", "X-Cis490-Code-Commit: unknown"]);
    assert_eq!(odd_commit.error(), (400, "commit-malformed"));
    assert_eq!(ground.curl_plain("e1", &body, &["-H", &commit]).error(), (400, "bad-header"));
    let wrong = format!("X-Content-SHA256: {}", sha256_of(b"other bytes"));
    let mismatch = ground.curl_plain("e1", &body, &["-H", &wrong, "-H", &commit]);
    assert_eq!(mismatch.error(), (400, "digest-mismatch"));
    let chunked = ground.curl("e1", &body, &ground.fresh, &["-H", "Transfer-Encoding: chunked"]);
    assert_eq!(chunked.error(), (411, "length-required"));
    assert_eq!(ground.receiver.rows().len(), 0);
    let upper = ["-H", &sha256.to_uppercase(), "-H", &commit.to_uppercase()];
    assert_eq!(ground.curl_plain("e1", &body, &upper).status, 201, "hex and header names in any case");
}

#[test]
fn curl_without_expect_stops_sending_a_gigabyte_when_it_is_refused() {
    /// Maximum number of bytes between the two programs: both socket buffers at their largest, and the bytes that curl
    /// has read.
    const IN_FLIGHT: u64 = 12 * MIB;
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox);
    let body = ground.zeros("gigabyte", 1 << 30);
    let sha256 = format!("X-Content-SHA256: {}", sha256_of(b"a promise"));
    let commit = format!("X-Cis490-Code-Commit: {}", ground.stale);
    let refused = ground.curl_plain("e1", &body, &["-H", &sha256, "-H", &commit, NO_EXPECT[0], NO_EXPECT[1]]);
    println!("refused after {} of {} bytes", refused.sent, 1 << 30);
    assert_eq!(refused.error(), (412, "commit-not-in-window"));
    assert!(refused.sent < IN_FLIGHT, "curl sent {} bytes", refused.sent);
}

#[test]
fn a_python_client_without_expect_sees_the_refusal_of_a_large_body() {
    const CLIENT: &str = r#"
import http.client, sys
host, path, commit, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
connection = http.client.HTTPConnection(host, timeout=60)
connection.request("PUT", path, body=bytes(size), headers={
    "X-Content-SHA256": "0" * 64, "X-Cis490-Code-Commit": commit, "Content-Type": "application/zstd"})
answer = connection.getresponse()
print(answer.status)
print(answer.read().decode())
"#;
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox);
    for size in [1_000, 20 * MIB] {
        let mut python = sandbox.command("python3");
        python.args(["-c", CLIENT, ground.receiver.url().trim_start_matches("http://")]);
        python.args(["/v1/episodes/lab-1/e1.tar.zst", ground.stale.as_str(), &size.to_string()]);
        let printed = stdout(&run(&mut python));
        let (status, body) = printed.split_once('\n').unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((status, body["error"].as_str()), ("412", Some("commit-not-in-window")), "{size} bytes");
        assert!(body["remediation"].as_str().unwrap().starts_with("cd /opt/cis490 && "));
    }
}

#[test]
fn a_trainer_reads_what_was_shipped_with_sha256sum_and_tar() {
    let sandbox = Sandbox::new();
    let ground = Ground::new(&sandbox);
    let lab_host = LabHost::new(&sandbox, "lab-1", ground.receiver.url());
    let recording = Recording::new(1, &ground.fresh, MIB);
    recording.write_to(&lab_host.episodes());
    assert_eq!(lab_host.once().code, Some(0));

    let id = recording.id().to_string();
    let archive = ground.receiver.archive("lab-1", &id);
    let [row] = ground.receiver.rows().try_into().unwrap();
    let printed = stdout(&run(sandbox.command("sha256sum").arg(&archive)));
    assert_eq!(printed.split(' ').next(), Some(row.sha256.to_string().as_str()));
    let listed = stdout(&run(sandbox.command("tar").args(["--zstd", "-tf"]).arg(&archive)));
    let listed: Vec<&str> = listed.lines().filter_map(|name| name.strip_prefix(&id)).collect();
    let members =
        ["meta.json", "done.marker", "events.jsonl", "labels.jsonl", "netflow.jsonl", "network.pcap"];
    let members = members.iter().chain(&["telemetry-guest.jsonl", "telemetry-proc.jsonl"]);
    assert_eq!(listed, members.map(|name| format!("/{name}")).collect::<Vec<_>>());
}

#[test]
fn an_index_of_the_earlier_generation_stays_as_it_is_byte_for_byte() {
    let sandbox = Sandbox::new();
    let known = sha256_of(b"known bytes");
    let earlier = format!(
        r#"{{"episode_id": "e0", "host_id": "lab-9", "received_at_wall": "2025-01-02T03:04:05.000006+00:00", "sha256": "{}", "size_bytes": 12, "note": "\u00e9"}}

{{"host_id": "lab-1", "epis
{{"received_at_wall": "2025-01-02T03:04:05+00:00",   "host_id": "lab-1", "episode_id": "known", "schema_version": 1, "sha256": "{known}", "size_bytes": 11}}
not json at all
"#,
        "07".repeat(32)
    );
    let index = earlier.clone().into_bytes();
    let mut ground = Ground::with(&sandbox, Options { index, ..Options::open() });
    ground.receiver.stop();
    let archive = ground.receiver.archive("lab-1", "known");
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    fs::write(&archive, b"known bytes").unwrap();
    ground.receiver.restart();

    let put =
        |episode, body: &[u8]| Upload::new("lab-1", episode, &ground.fresh, body).put(ground.receiver.url());
    assert_eq!(put("known", b"known bytes").status, 200);
    assert_eq!(put("new", b"new bytes").status, 201);
    let now = fs::read_to_string(ground.receiver.index()).unwrap();
    let added = now.strip_prefix(&earlier).expect("the earlier bytes, unchanged");
    let [row] = added.lines().collect::<Vec<_>>().try_into().unwrap();
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    assert_eq!((&row["episode_id"], &row["commit"]), (&"new".into(), &ground.fresh.as_str().into()));
}
