//! `PUT /v1/episodes/...` over real sockets: every row of the protocol's status table that an upload can meet.

use std::sync::Barrier;

use crate::support::{Request, STRANGE_COMMIT, TestReceiver, sha256};

const BODY: &[u8] = b"not really an archive, which the receiver does not mind";

#[test]
fn an_episode_is_stored_with_its_row_and_its_position() {
    let receiver = TestReceiver::start();
    let answer = receiver.request(&receiver.put("lab-1", "E1", BODY));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("x-cis490-commit-position"), Some("1/100"));
    assert_eq!(
        answer.json(),
        serde_json::json!({"status": "stored", "host_id": "lab-1", "episode_id": "E1",
            "sha256": sha256(BODY), "size_bytes": BODY.len()})
    );
    assert_eq!(std::fs::read(receiver.archive("lab-1", "E1")).unwrap(), BODY);
    let row = &receiver.rows()[0];
    assert_eq!(
        (row["commit"].as_str(), row["size_bytes"].as_u64()),
        (Some(receiver.head.as_str()), Some(55))
    );
    assert_eq!(receiver.partials(), 0);
}

#[test]
fn sending_the_same_bytes_again_is_200_and_adds_no_row() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    assert_eq!(receiver.request(&put).status, 201);
    let again = receiver.request(&put);
    assert_eq!((again.status, again.json()["status"].as_str()), (200, Some("already-present")));
    assert_eq!(again.header("x-cis490-commit-position"), Some("1/100"));
    assert_eq!(receiver.rows().len(), 1);
}

#[test]
fn a_stored_episode_is_200_even_after_its_commit_left_the_window() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    assert_eq!(receiver.request(&put).status, 201);
    let stale = put.without("x-cis490-code-commit").header("x-cis490-code-commit", STRANGE_COMMIT);
    let again = receiver.request(&stale);
    assert_eq!((again.status, again.header("x-cis490-commit-position")), (200, None));
}

#[test]
fn other_bytes_under_the_same_id_are_a_conflict_and_the_first_ones_stay() {
    let receiver = TestReceiver::start();
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", BODY)).status, 201);
    let answer = receiver.request(&receiver.put("lab-1", "E1", b"other"));
    assert_eq!((answer.status, answer.error()), (409, "conflict".to_owned()));
    assert_eq!(answer.json()["stored_sha256"], sha256(BODY));
    assert_eq!(answer.json()["your_sha256"], sha256(b"other"));
    assert_eq!(std::fs::read(receiver.archive("lab-1", "E1")).unwrap(), BODY);
}

#[test]
fn a_stored_file_without_a_row_gets_it_when_it_is_sent_again() {
    let receiver = TestReceiver::start();
    std::fs::create_dir(receiver.dir.path().join("episodes/lab-1")).unwrap();
    std::fs::write(receiver.archive("lab-1", "E1"), BODY).unwrap();
    std::fs::write(receiver.archive("lab-1", "E2"), b"something else").unwrap();
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", BODY)).status, 200);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E2", BODY)).status, 409);
    let rows = receiver.rows();
    assert_eq!((rows.len(), rows[0]["episode_id"].as_str()), (1, Some("E1")));
    assert_eq!(receiver.partials(), 0);
}

#[test]
fn a_row_whose_file_is_gone_does_not_keep_the_episode_out() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    assert_eq!(receiver.request(&put).status, 201);
    std::fs::remove_file(receiver.archive("lab-1", "E1")).unwrap();
    let other = receiver.request(&receiver.put("lab-1", "E1", b"other"));
    assert_eq!(other.status, 409, "the row still says which bytes these were");
    assert_eq!(receiver.request(&put).status, 201);
    assert_eq!(std::fs::read(receiver.archive("lab-1", "E1")).unwrap(), BODY);
    assert_eq!(receiver.rows().len(), 1, "no pair has two rows");
}

#[test]
fn ids_that_are_no_ids_are_400_and_create_nothing() {
    let receiver = TestReceiver::start();
    let long = "x".repeat(129);
    let cases = [
        ("/v1/episodes/../E1.tar.zst", "bad-host-id"),
        ("/v1/episodes/%2e%2e/E1.tar.zst", "bad-host-id"),
        ("/v1/episodes//E1.tar.zst", "bad-host-id"),
        ("/v1/episodes/-x/E1.tar.zst", "bad-host-id"),
        ("/v1/episodes/.incoming/E1.tar.zst", "bad-host-id"),
        ("/v1/episodes/h%00/E1.tar.zst", "bad-host-id"),
        ("/v1/episodes/h%c3%b6st/E1.tar.zst", "bad-host-id"),
        (&format!("/v1/episodes/{long}/E1.tar.zst"), "bad-host-id"),
        ("/v1/episodes/lab-1/.tar.zst", "bad-episode-id"),
        ("/v1/episodes/lab-1/../E1.tar.zst", "bad-episode-id"),
        ("/v1/episodes/lab-1/..%2fE1.tar.zst", "bad-episode-id"),
        ("/v1/episodes/lab-1/a/b.tar.zst", "bad-episode-id"),
        ("/v1/episodes/lab-1/E1.tar.zst.tar.zst", "bad-episode-id"),
        ("/v1/episodes/lab-1/E%00.tar.zst", "bad-episode-id"),
        (&format!("/v1/episodes/lab-1/{long}.tar.zst"), "bad-episode-id"),
    ];
    for (path, error) in cases {
        let put = Request { path: path.to_owned(), ..receiver.put("lab-1", "E1", BODY) };
        let answer = receiver.request(&put);
        assert_eq!((answer.status, answer.error().as_str()), (400, error), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(std::fs::read_dir(receiver.dir.path().join("episodes")).unwrap().count(), 1);
}

#[test]
fn raw_bytes_that_are_no_path_are_refused_by_the_server() {
    let receiver = TestReceiver::start();
    for path in ["/v1/episodes/h\0/E1.tar.zst", "/v1/episodes/höst/E1.tar.zst"] {
        let put = Request { path: path.to_owned(), ..receiver.put("lab-1", "E1", BODY) };
        let mut connection = receiver.connect();
        connection.send(&put.head(None));
        assert_eq!(connection.answer(false).status, 400, "{path:?}");
    }
}

#[test]
fn paths_and_methods_that_do_not_exist() {
    let receiver = TestReceiver::start();
    for path in ["/v1/episodes/lab-1/E1.tar", "/v1/episodes/lab-1", "/v2/episodes/lab-1/E1.tar.zst", "/v1/"] {
        let put = Request { path: path.to_owned(), ..receiver.put("lab-1", "E1", BODY) };
        let answer = receiver.request(&put);
        assert_eq!((answer.status, answer.error().as_str()), (404, "not-found"), "{path}");
    }
    for method in ["GET", "POST", "DELETE", "PATCH"] {
        let answer = receiver.request(&Request::new(method, "/v1/episodes/lab-1/E1.tar.zst"));
        assert_eq!((answer.status, answer.error().as_str()), (405, "method-not-allowed"), "{method}");
        assert_eq!(answer.header("allow"), Some("PUT, HEAD"));
    }
}

#[test]
fn headers_that_are_missing_or_malformed() {
    let receiver = TestReceiver::start();
    let good = || receiver.put("lab-1", "E1", BODY);
    let replaced = |name: &str, value: &str| good().without(name).header(name, value);
    let cases = [
        (good().without("x-content-sha256"), 400, "bad-header"),
        (replaced("x-content-sha256", "abc"), 400, "bad-header"),
        (good().header("x-content-sha256", &sha256(BODY)), 400, "bad-header"),
        (good().without("content-length"), 411, "length-required"),
        (good().without("content-length").header("transfer-encoding", "chunked"), 411, "length-required"),
        (replaced("content-length", "0"), 400, "bad-header"),
        (good().header("x-schema-version", "2"), 400, "schema-version"),
        (good().header("x-schema-version", "one"), 400, "schema-version"),
        (good().header("x-lab-host", "lab-2"), 400, "identity-mismatch"),
        (good().header("x-episode-id", "E2"), 400, "identity-mismatch"),
        (good().without("x-cis490-code-commit"), 400, "commit-missing"),
        (replaced("x-cis490-code-commit", "main"), 400, "commit-malformed"),
        (good().header("x-cis490-code-commit", STRANGE_COMMIT), 400, "commit-malformed"),
    ];
    for (put, status, error) in cases {
        let mut connection = receiver.connect();
        connection.send(&put.head(None));
        let answer = connection.answer(false);
        assert_eq!((answer.status, answer.error().as_str()), (status, error), "{:?}", put.headers);
        let has_remediation =
            answer.json()["remediation"].as_str().is_some_and(|text| text.contains("git pull"));
        assert_eq!(has_remediation, error.starts_with("commit-"), "{error}");
    }
    let full =
        good().header("x-schema-version", "1").header("x-lab-host", "lab-1").header("x-episode-id", "E1");
    assert_eq!(receiver.request(&full).status, 201);
}

#[test]
fn any_case_is_taken_on_the_wire_and_lower_case_is_kept() {
    let receiver = TestReceiver::start();
    let put = receiver
        .put("lab-1", "E1", BODY)
        .without("x-content-sha256")
        .without("x-cis490-code-commit")
        .header("X-Content-SHA256", &sha256(BODY).to_uppercase())
        .header("X-Cis490-Code-Commit", &receiver.head.to_uppercase());
    assert_eq!(receiver.request(&put).status, 201);
    let row = &receiver.rows()[0];
    assert_eq!(row["sha256"].as_str(), Some(sha256(BODY).as_str()));
    assert_eq!(row["commit"].as_str(), Some(receiver.head.as_str()));
}

#[test]
fn a_body_that_is_not_what_was_promised_leaves_nothing() {
    let receiver = TestReceiver::start();
    let wrong = receiver.put("lab-1", "E1", BODY).without("x-content-sha256");
    let answer = receiver.request(&wrong.header("x-content-sha256", &sha256(b"other")));
    assert_eq!((answer.status, answer.error().as_str()), (400, "digest-mismatch"));

    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E2", BODY).head(None));
    connection.send(&BODY[..10]);
    connection.finish();
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.error().as_str()), (400, "length-mismatch"));

    assert_eq!((receiver.partials(), receiver.index().as_str()), (0, ""));
    assert!(!receiver.archive("lab-1", "E1").is_file());
}

#[test]
fn a_long_body_is_cut_at_its_declared_length() {
    let receiver = TestReceiver::start();
    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E1", BODY).head(None));
    connection.send(BODY);
    connection.send(b"trailing garbage that HTTP reads as the next request\r\n\r\n");
    assert_eq!(connection.answer(false).status, 201);
    assert_eq!(std::fs::read(receiver.archive("lab-1", "E1")).unwrap(), BODY);
}

#[test]
fn a_commit_outside_the_window_is_refused_before_the_body_with_the_remedy() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY).without("x-cis490-code-commit");
    let put = put.header("x-cis490-code-commit", STRANGE_COMMIT);
    for expect in [None, Some("100-continue")] {
        let mut connection = receiver.connect();
        connection.send(&put.head(expect));
        let answer = connection.answer(false);
        assert_eq!((answer.status, answer.error().as_str()), (412, "commit-not-in-window"), "{expect:?}");
        let problem = answer.json();
        assert_eq!(problem["your_commit"], STRANGE_COMMIT);
        assert_eq!(problem["head_commit"], receiver.head.as_str());
        assert_eq!(problem["window"], 100);
        assert_eq!(problem["remediation"], cis490_shared::remediation::DEFAULT_REMEDIATION);
    }
}

#[test]
fn a_refused_client_that_sends_its_whole_body_first_still_sees_the_answer() {
    let receiver = TestReceiver::start();
    let body = vec![7; 20 * 1024 * 1024];
    let put = receiver.put("lab-1", "E1", &body).without("x-cis490-code-commit");
    let put = put.header("x-cis490-code-commit", STRANGE_COMMIT);
    let answer = receiver.request(&put);
    assert_eq!((answer.status, answer.error().as_str()), (412, "commit-not-in-window"));
}

#[test]
fn who_asks_first_is_told_to_continue_and_sends_the_body_only_then() {
    let receiver = TestReceiver::start();
    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E1", BODY).head(Some("100-continue")));
    assert_eq!(connection.answer(false).status, 100);
    connection.send(BODY);
    assert_eq!(connection.answer(false).status, 201);
    // A stored episode needs no body at all.
    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E1", BODY).head(Some("100-continue")));
    assert_eq!(connection.answer(false).status, 200);
}

#[test]
fn racing_uploads_of_one_pair_end_with_one_file_and_one_row() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    let start = Barrier::new(8);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let race = || {
            start.wait();
            receiver.request(&put).status
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 201, 503].contains(status)), "{statuses:?}");
    assert_eq!((receiver.rows().len(), receiver.partials()), (1, 0));
}

#[test]
fn a_gate_that_never_read_a_window_answers_503() {
    let receiver = TestReceiver::start_with("", "ref = \"refs/heads/does-not-exist\"");
    let answer = receiver.request(&receiver.put("lab-1", "E1", BODY));
    assert_eq!((answer.status, answer.error().as_str()), (503, "gate-not-ready"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(receiver.get("/v1/health").status, 503);
}

#[test]
fn a_gate_that_is_off_collects_anything_and_stamps_what_is_well_formed() {
    let receiver = TestReceiver::start_with("", "enabled = false");
    let put = |episode: &str, commit: Option<&str>| {
        let put = receiver.put("lab-1", episode, BODY).without("x-cis490-code-commit");
        commit.into_iter().fold(put, |put, commit| put.header("x-cis490-code-commit", commit))
    };
    for (episode, commit) in [("E1", Some(STRANGE_COMMIT)), ("E2", Some("unknown")), ("E3", None)] {
        assert_eq!(receiver.request(&put(episode, commit)).status, 201, "{episode}");
    }
    let rows = receiver.rows();
    assert_eq!(rows[0]["commit"], STRANGE_COMMIT);
    assert!(rows[1].get("commit").is_none() && rows[2].get("commit").is_none());
}

#[test]
fn an_index_that_cannot_be_appended_to_is_500_and_the_retry_writes_the_row() {
    let receiver = TestReceiver::start();
    let (index, aside) = (receiver.dir.path().join("index.jsonl"), receiver.dir.path().join("aside"));
    cis490_shared::durable::rename_noreplace(&index, &aside).unwrap();
    let put = receiver.put("lab-1", "E1", BODY);
    let answer = receiver.request(&put);
    assert_eq!((answer.status, answer.error().as_str()), (500, "storage"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("index.jsonl"), "no path in a body");
    assert_eq!(receiver.get("/v1/health").json()["index"]["failing"], true);
    cis490_shared::durable::rename_noreplace(&aside, &index).unwrap();
    let answer = receiver.request(&put);
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("already-present")));
    assert_eq!(receiver.rows().len(), 1);
    assert_eq!(receiver.get("/v1/health").json()["index"]["failing"], false);
}

#[test]
fn already_present_is_said_only_of_what_has_its_row_in_the_index_as_it_is_now() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    assert_eq!(receiver.request(&put).status, 201);
    std::fs::write(receiver.dir.path().join("index.jsonl"), "").unwrap();
    assert_eq!(receiver.request(&put).status, 200);
    assert_eq!(receiver.rows()[0]["commit"], receiver.head.as_str(), "the row is back, with its commit");
    let (index, aside) = (receiver.dir.path().join("index.jsonl"), receiver.dir.path().join("aside"));
    cis490_shared::durable::rename_noreplace(&index, &aside).unwrap();
    assert_eq!(receiver.request(&put).error(), "storage");
}

#[test]
fn what_was_stored_is_known_after_a_restart() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    assert_eq!(receiver.request(&put).status, 201);
    let receiver = receiver.restart();
    assert_eq!(receiver.request(&put).status, 200);
    assert_eq!(receiver.rows().len(), 1);
}
