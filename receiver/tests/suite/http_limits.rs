//! `PUT /v1/episodes/...` against every limit, over real sockets.

use std::time::{Duration, Instant};

use crate::support::{Request, TestReceiver};

const BODY: &[u8] = b"not really an archive, which the receiver does not mind";

#[test]
fn too_large_is_said_before_the_body() {
    let receiver = TestReceiver::start_with("max_upload_bytes = 10", "");
    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E1", BODY).head(None));
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.error().as_str()), (413, "too-large"));
    assert_eq!(answer.json()["limit_bytes"], 10);
}

#[test]
fn what_does_not_fit_on_the_disk_is_507_before_the_body() {
    let receiver = TestReceiver::start_with("max_upload_bytes = 9000000000000000000", "");
    let put = receiver.put("lab-1", "E1", BODY);
    let mut connection = receiver.connect();
    connection
        .send(&put.without("content-length").header("content-length", "8000000000000000000").head(None));
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.error().as_str()), (507, "disk-full"));
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn a_host_that_has_used_its_share_is_507_and_others_are_not() {
    let receiver = TestReceiver::start_with("[store]\nhost_quota_bytes = 60", "");
    assert_eq!(receiver.request(&receiver.put("lab-1", "E1", BODY)).status, 201);
    let answer = receiver.request(&receiver.put("lab-1", "E2", BODY));
    assert_eq!((answer.status, answer.error().as_str()), (507, "quota"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(receiver.request(&receiver.put("lab-2", "E2", BODY)).status, 201);
}

#[test]
fn two_uploads_of_one_pair_at_once_are_one_stored_and_one_busy() {
    let receiver = TestReceiver::start();
    let put = receiver.put("lab-1", "E1", BODY);
    let mut first = receiver.connect();
    first.send(&put.head(Some("100-continue")));
    assert_eq!(first.answer(false).status, 100);
    let second = receiver.request(&put);
    assert_eq!((second.status, second.error().as_str()), (503, "busy"));
    assert!(second.header("retry-after").is_some());
    first.send(BODY);
    assert_eq!(first.answer(false).status, 201);
    assert_eq!(receiver.request(&put).status, 200, "the pair is free again");
}

#[test]
fn more_uploads_than_allowed_are_busy() {
    let receiver = TestReceiver::start_with("max_concurrent_uploads = 1", "");
    let mut first = receiver.connect();
    first.send(&receiver.put("lab-1", "E1", BODY).head(Some("100-continue")));
    assert_eq!(first.answer(false).status, 100);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E2", BODY)).error(), "busy");
    first.send(BODY);
    assert_eq!(first.answer(false).status, 201);
    assert_eq!(receiver.request(&receiver.put("lab-1", "E2", BODY)).status, 201);
}

#[test]
fn a_host_that_floods_is_busy_and_others_are_not() {
    let receiver = TestReceiver::start_with("max_concurrent_uploads = 8\nmax_uploads_per_host = 2", "");
    let begin = |host: &str, episode: &str| {
        let mut connection = receiver.connect();
        connection.send(&receiver.put(host, episode, BODY).head(Some("100-continue")));
        let answer = connection.answer(false);
        (answer.status, connection, answer)
    };
    let mut held: Vec<_> = ["E1", "E2"].map(|episode| begin("lab-1", episode)).into();
    let asked = Instant::now();
    let (status, _, answer) = begin("lab-1", "E3");
    assert_eq!((status, answer.error().as_str()), (503, "busy"));
    assert!(
        asked.elapsed() >= Duration::from_secs(1),
        "one that comes again at once costs the others nothing"
    );
    assert!(answer.header("retry-after").is_some());
    assert!(answer.json()["detail"].as_str().unwrap().contains("of this host"), "{answer:?}");
    held.extend(["lab-2", "lab-3"].into_iter().flat_map(|host| [begin(host, "E1"), begin(host, "E2")]));
    assert_eq!(held.iter().map(|(status, ..)| *status).collect::<Vec<_>>(), [100; 6]);
    // The remaining places are for hosts with nothing in flight.
    let newcomer = begin("lab-4", "E1");
    let last = begin("lab-5", "E1");
    assert_eq!((newcomer.0, begin("lab-4", "E2").0, last.0), (100, 503, 100));
    let uploads = receiver.get("/v1/health").json()["uploads"].clone();
    let seen = ["in_flight", "hosts", "limit", "kept_for_newcomers", "refused_for_number"];
    assert_eq!(seen.map(|member| uploads[member].as_u64().unwrap()), [8, 5, 8, 2, 2], "{uploads}");
}

#[test]
fn a_body_that_dribbles_is_given_up_with_408_though_it_never_stalls() {
    let receiver = TestReceiver::start_with("body_idle_timeout_s = 1", "");
    let large = vec![7; 300_000];
    let put = receiver.put("lab-1", "E1", &large);
    let report = Request::new("PUT", "/v1/host-health/lab-1").body(&large[..100_000]);
    for (request, least) in [(put, 1024), (report, 4096)] {
        let mut connection = receiver.connect();
        connection.send(&request.head(None));
        let mut sent = 0;
        while !connection.has_something_to_read_within(Duration::from_millis(50)) {
            connection.send(b"x");
            sent += 1;
        }
        let answer = connection.answer(false);
        assert_eq!((answer.status, answer.error().as_str()), (408, "stalled"), "{answer:?}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(&format!("at least {least} a second")), "{detail}");
        assert!((10..200).contains(&sent), "{sent} bytes were sent");
        // Here the receiver closes the connection sooner than after other refusals.
        assert_eq!(connection.rest(), "");
    }
    assert_eq!(receiver.partials(), 0);
}

#[test]
fn one_report_of_a_host_is_taken_at_a_time_and_others_are_not_kept_waiting() {
    let receiver = TestReceiver::start();
    let report = |host: &str| Request::new("PUT", &format!("/v1/host-health/{host}")).body(b"{}");
    let mut slow = receiver.connect();
    slow.send(&report("lab-1").head(Some("100-continue")));
    assert_eq!(slow.answer(false).status, 100);
    slow.send(b"{");
    let began = std::time::Instant::now();
    loop {
        // The handler of the slow report may start a moment after `100 Continue`.
        let second = receiver.request(&report("lab-1"));
        if second.status == 503 {
            assert_eq!((second.error().as_str(), second.header("retry-after")), ("busy", Some("5")));
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{second:?}");
    }
    assert_eq!(receiver.request(&report("lab-2")).status, 200);
    slow.send(b"}");
    assert_eq!(slow.answer(false).status, 200);
    assert_eq!(receiver.request(&report("lab-1")).status, 200);
}

#[test]
fn whoever_waits_makes_room_for_whoever_asks() {
    let receiver = TestReceiver::start_with("max_connections = 3", "");
    let mut served = receiver.connect();
    served.send(&receiver.put("lab-1", "E1", BODY).head(Some("100-continue")));
    assert_eq!(served.answer(false).status, 100);
    let mut waiting = [receiver.connect(), receiver.connect()];
    let health = Request::new("GET", "/v1/health");
    for connection in &mut waiting {
        connection.send(&health.head(None));
        assert_eq!(connection.answer(false).status, 200);
    }
    let mut new = receiver.connect();
    new.send(&health.head(None));
    assert_eq!(new.answer(false).status, 200);
    let [mut longest, mut other] = waiting;
    assert_eq!(longest.rest(), "");
    other.send(&health.head(None));
    assert_eq!(other.answer(false).status, 200);
    served.send(BODY);
    assert_eq!(served.answer(false).status, 201);
}

#[test]
fn a_connection_beyond_the_bound_is_closed_where_all_others_are_served() {
    let receiver = TestReceiver::start_with("max_connections = 1", "");
    let mut served = receiver.connect();
    served.send(&receiver.put("lab-1", "E1", BODY).head(Some("100-continue")));
    assert_eq!(served.answer(false).status, 100);
    assert_eq!(receiver.connect().rest(), "");
    served.send(BODY);
    assert_eq!(served.answer(false).status, 201);
    let connections = receiver.get("/v1/health").json()["connections"].clone();
    let seen = ["limit", "ended_for_room", "turned_away"].map(|member| connections[member].as_u64().unwrap());
    assert!(seen[0] == 1 && seen[1] <= 1 && seen[2] == 1, "{connections}");
}

#[test]
fn nothing_is_stored_or_found_through_a_link() {
    let receiver = TestReceiver::start();
    let elsewhere = receiver.dir.path().join("elsewhere");
    let host_dir = receiver.archive("lab-1", "E1").parent().unwrap().to_owned();
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &host_dir).unwrap();
    let put = receiver.put("lab-1", "E1", BODY);
    let answer = receiver.request(&put);
    assert_eq!((answer.status, answer.error().as_str()), (500, "storage"));
    assert!(!String::from_utf8_lossy(&answer.body).contains('/'), "a path of the server: {answer:?}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert_eq!((receiver.partials(), receiver.rows().len()), (0, 0));
    assert_eq!(receiver.request(&receiver.put("lab-2", "E1", BODY)).status, 201);

    // The episode is stored first, and then a link replaces the directory.
    std::fs::remove_file(&host_dir).unwrap();
    assert_eq!(receiver.request(&put).status, 201);
    cis490_shared::durable::rename_noreplace(&host_dir, &elsewhere.join("lab-1")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("lab-1"), &host_dir).unwrap();
    let head = Request::new("HEAD", &put.path);
    assert_eq!((receiver.request(&head).status, receiver.request(&put).status), (500, 500));
    assert_eq!(receiver.request(&receiver.put("lab-1", "E2", BODY)).status, 500);
    assert_eq!(std::fs::read_dir(elsewhere.join("lab-1")).unwrap().count(), 1);
}

#[test]
fn a_body_that_stalls_is_given_up_with_408() {
    let receiver = TestReceiver::start_with("body_idle_timeout_s = 1", "");
    let mut connection = receiver.connect();
    connection.send(&receiver.put("lab-1", "E1", BODY).head(None));
    connection.send(&BODY[..10]);
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.error().as_str()), (408, "stalled"));
    assert_eq!(receiver.partials(), 0);
}
