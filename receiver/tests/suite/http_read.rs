//! Every endpoint that is not an upload, over real sockets.

use std::time::{Duration, Instant};

use crate::support::{Request, STRANGE_COMMIT, TestReceiver, commit, sha256};

#[test]
fn head_tells_hash_and_length_of_what_is_stored() {
    let receiver = TestReceiver::start();
    let head = |path: &str| receiver.request(&Request::new("HEAD", path));
    assert_eq!(head("/v1/episodes/lab-1/E1.tar.zst").status, 404);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 201);
    let answer = head("/v1/episodes/lab-1/E1.tar.zst");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-content-sha256"), Some(sha256(b"body").as_str()));
    assert_eq!(answer.header("content-length"), Some("4"));
    assert_eq!(head("/v1/episodes/../E1.tar.zst").status, 400);
}

#[test]
fn a_file_counts_as_stored_only_with_its_row() {
    let receiver = TestReceiver::start();
    std::fs::create_dir(receiver.dir.path().join("episodes/lab-1")).unwrap();
    std::fs::write(receiver.archive("lab-1", "E1"), b"body").unwrap();
    let head = || receiver.request(&Request::new("HEAD", "/v1/episodes/lab-1/E1.tar.zst"));
    assert_eq!(head().status, 404, "a shipper that is told 200 puts the episode away");
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 200);
    assert_eq!((head().status, head().header("x-content-sha256")), (200, Some(sha256(b"body").as_str())));
}

#[test]
fn a_row_without_a_hash_is_answered_with_the_hash_of_the_file() {
    let receiver = TestReceiver::start();
    std::fs::create_dir(receiver.dir.path().join("episodes/lab-1")).unwrap();
    std::fs::write(receiver.archive("lab-1", "E1"), b"body").unwrap();
    let row = "{\"host_id\": \"lab-1\", \"episode_id\": \"E1\"}\n";
    std::fs::write(receiver.dir.path().join("index.jsonl"), row).unwrap();
    let receiver = receiver.restart();
    let answer = receiver.request(&Request::new("HEAD", "/v1/episodes/lab-1/E1.tar.zst"));
    assert_eq!((answer.status, answer.header("x-content-sha256")), (200, Some(sha256(b"body").as_str())));
}

#[test]
fn ping_writes_nothing() {
    let receiver = TestReceiver::start();
    let answer = receiver.request(&Request::new("POST", "/v1/ping").body(b"{}"));
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")));
    assert_eq!(receiver.index(), "");
    assert_eq!(receiver.get("/v1/ping").header("allow"), Some("POST"));
}

#[test]
fn the_gate_describes_its_window() {
    let receiver = TestReceiver::start();
    let gate = receiver.get("/v1/gate").json();
    assert_eq!((gate["enabled"].as_bool(), gate["ready"].as_bool()), (Some(true), Some(true)));
    assert_eq!((gate["window"].as_u64(), gate["commits"].as_u64()), (Some(100), Some(1)));
    assert_eq!(gate["head_commit"], receiver.head.as_str());
    assert!(gate["polled_s_ago"].as_f64().unwrap() < 20.0);
}

#[test]
fn the_gate_tells_whether_a_commit_is_admitted() {
    let receiver = TestReceiver::start();
    let answer = receiver.get(&format!("/v1/gate/{}", receiver.head.to_uppercase())).json();
    assert_eq!((answer["admitted"].as_bool(), answer["position"].as_u64()), (Some(true), Some(1)));
    assert!(answer.get("remediation").is_none());
    let answer = receiver.get(&format!("/v1/gate/{STRANGE_COMMIT}"));
    assert_eq!(answer.status, 200, "the question is in order, whatever the answer");
    let answer = answer.json();
    assert_eq!((answer["admitted"].as_bool(), answer["position"].is_null()), (Some(false), true));
    assert!(answer["remediation"].as_str().unwrap().contains("git pull"));
    assert_eq!(receiver.get("/v1/gate/main").error(), "bad-header");
}

#[test]
fn a_commit_made_in_the_clone_is_admitted_within_the_poll_interval() {
    let receiver = TestReceiver::start();
    let fresh = commit(&receiver.clone, "second");
    let made = Instant::now();
    loop {
        let answer = receiver.get(&format!("/v1/gate/{fresh}")).json();
        if answer["admitted"].as_bool() == Some(true) {
            assert_eq!(answer["position"], 1);
            break;
        }
        assert!(made.elapsed() < Duration::from_secs(10), "not admitted: {answer}");
    }
    let old = receiver.get(&format!("/v1/gate/{}", receiver.head)).json();
    assert_eq!(old["position"], 2);
}

#[test]
fn a_gate_that_is_off_needs_no_clone() {
    let receiver = TestReceiver::start_with("", "enabled = false\nrepo_path = \"\"");
    let health = receiver.get("/v1/health").json();
    assert_eq!((health["status"].as_str(), health["gate"]["polls_failed"].as_u64()), (Some("ok"), Some(0)));
}

#[test]
fn host_reports_are_kept_per_host_and_never_gated() {
    let receiver = TestReceiver::start_with("", "ref = \"refs/heads/does-not-exist\"");
    let put = |host: &str, body: &[u8]| {
        receiver.request(&Request::new("PUT", &format!("/v1/host-health/{host}")).body(body))
    };
    assert_eq!(put("lab-1", br#"{"disk": "full"}"#).status, 200);
    assert_eq!(put("lab-1", br#"{"disk": "fine"}"#).status, 200);
    assert_eq!(put("../x", b"{}").error(), "bad-host-id");
    assert_eq!(put("lab-2", b"[1]").error(), "bad-header");
    assert_eq!(put("lab-2", b"not json").error(), "bad-header");
    assert_eq!(put("lab-2", &vec![b' '; 256 * 1024 + 1]).error(), "too-large");
    let all = receiver.get("/v1/host-health").json();
    assert_eq!(all["hosts"]["lab-1"]["report"]["disk"], "fine");
    assert_eq!(all["hosts"].as_object().unwrap().len(), 1);
    std::fs::write(receiver.dir.path().join("host-health/lab-0.json"), "{").unwrap();
    let large = format!("{{\"text\": \"{}\"}}", "x".repeat(200_000));
    for host in ["lab-2", "lab-3"] {
        assert_eq!(put(host, large.as_bytes()).status, 200);
    }
    let all = receiver.get("/v1/host-health").json();
    let hosts: Vec<_> = all["hosts"].as_object().unwrap().keys().collect();
    assert_eq!(hosts, ["lab-1", "lab-2", "lab-3"], "a damaged one hides no other");
    assert_eq!(all["hosts"]["lab-3"]["report"]["text"].as_str().unwrap().len(), 200_000);
}

#[test]
fn reports_of_one_host_that_come_together_are_all_kept_whole() {
    let receiver = TestReceiver::start();
    let put = Request::new("PUT", "/v1/host-health/lab-1").body(br#"{"disk": "fine"}"#);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..10).for_each(|_| assert!([200, 503].contains(&receiver.request(&put).status)));
            });
        }
    });
    assert_eq!(receiver.get("/v1/host-health").json()["hosts"]["lab-1"]["report"]["disk"], "fine");
}

#[test]
fn health_shows_a_clone_that_vanished_while_the_window_stays() {
    let receiver = TestReceiver::start();
    assert_eq!(receiver.get("/v1/health").json()["status"], "ok");
    cis490_shared::durable::rename_noreplace(&receiver.clone, &receiver.dir.path().join("gone")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let health = receiver.get("/v1/health");
        assert_eq!(health.status, 200, "uploads can still be taken");
        let health = health.json();
        if health["status"] == "degraded" {
            assert_eq!(health["gate"]["problem"], "no-repository");
            assert!(!health.to_string().contains(receiver.dir.path().to_str().unwrap()), "no path in a body");
            break;
        }
        assert!(Instant::now() < deadline, "{health}");
    }
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", b"body")).status, 201);
    let receiver = receiver.restart();
    assert_eq!(
        receiver.request(&receiver.put("lab-1", "E2", b"body")).status,
        201,
        "gate.json kept the window"
    );
}
