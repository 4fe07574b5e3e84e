//! The right-hand column of protocol 2.2, row by row.

use super::*;
use crate::answers::answer::Body;

fn sent() -> Sent {
    Sent {
        host_id: HostId::parse("lab-1").unwrap(),
        episode_id: EpisodeId::parse("e1").unwrap(),
        commit: Some("ab".repeat(20)),
        sha256: Sha256Digest::from_bytes([7; 32]),
        size_bytes: 42,
        elapsed: Duration::from_millis(5),
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: Body::Whole(body.into()), ..Answer::default() }
}

fn ours() -> String {
    format!(r#"{{"status": "stored", "sha256": "{}"}}"#, sent().sha256)
}

#[test]
fn every_row_of_the_protocol_means_what_its_right_hand_column_says() {
    let expected = |code: ErrorCode| match code {
        ErrorCode::CommitMissing
        | ErrorCode::CommitMalformed
        | ErrorCode::BadHostId
        | ErrorCode::BadEpisodeId
        | ErrorCode::BadHeader
        | ErrorCode::SchemaVersion
        | ErrorCode::IdentityMismatch
        | ErrorCode::CommitNotInWindow
        | ErrorCode::TooLarge => Refused,
        ErrorCode::DigestMismatch | ErrorCode::LengthMismatch => Mismatch,
        ErrorCode::Unauthenticated
        | ErrorCode::HostNotAllowed
        | ErrorCode::NotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::LengthRequired => HostBlocked,
        ErrorCode::Stalled | ErrorCode::Storage | ErrorCode::Busy => Retry(Scope::Episode),
        ErrorCode::Conflict => Conflict,
        ErrorCode::GateNotReady | ErrorCode::ShuttingDown | ErrorCode::DiskFull | ErrorCode::Quota => {
            Retry(Scope::Receiver)
        }
    };
    for code in ErrorCode::ALL {
        assert_eq!(classify(code.status(), Some(code.as_str())), expected(*code), "{code}");
    }
    assert_eq!((classify(201, None), classify(200, None)), (Stored, AlreadyPresent));
}

#[test]
fn a_status_alone_decides_where_the_earlier_generation_sends_no_member() {
    let cases = [
        (400, Refused),
        (401, HostBlocked),
        (403, HostBlocked),
        (404, HostBlocked),
        (405, HostBlocked),
        (408, Retry(Scope::Episode)),
        (409, Conflict),
        (411, HostBlocked),
        (412, Refused),
        (413, Refused),
        (422, Mismatch),
        (426, HostBlocked),
        (429, Retry(Scope::Receiver)),
        (500, Retry(Scope::Episode)),
        (503, Retry(Scope::Receiver)),
        (507, Retry(Scope::Receiver)),
    ];
    for (status, class) in cases {
        assert_eq!(classify(status, None), class, "{status}");
        assert_eq!(classify(status, Some("sha256 mismatch")), class, "{status} with a member of its own");
    }
}

#[test]
fn a_status_that_nobody_knows_never_condemns_and_never_retires_an_episode() {
    for status in 100..=599 {
        if TABLE.iter().any(|(row, _, _)| *row == status) {
            continue;
        }
        let class = classify(status, None);
        let expected = if status >= 500 { Retry(Scope::Receiver) } else { HostBlocked };
        assert_eq!(class, expected, "{status}");
    }
}

#[test]
fn a_success_counts_only_for_our_own_bytes() {
    assert!(matches!(
        judge(&answer(201, &ours()), &sent()),
        Outcome::Stored(Shipped { status: 201, size_bytes: 42, .. })
    ));
    let hash = sent().sha256.to_string();
    assert!(matches!(
        judge(&answer(200, &ours().replace(&hash, &hash.to_uppercase())), &sent()),
        Outcome::AlreadyPresent(_)
    ));
    // The earlier generation may send nothing more.
    assert_eq!(proof(&answer(200, r#"{"status": "already-present"}"#), &sent()), Proof::Ours);
    for member in [
        format!(r#""sha256": "{}""#, "00".repeat(32)),
        r#""sha256": "nonsense""#.to_owned(),
        r#""sha256": 7"#.to_owned(),
        r#""host_id": "lab-2""#.to_owned(),
        r#""host": "lab-2""#.to_owned(),
        r#""episode_id": "e2""#.to_owned(),
        r#""episode_id": ["e1"]"#.to_owned(),
        r#""size_bytes": 41"#.to_owned(),
        r#""size": "42""#.to_owned(),
        r#""error": "later""#.to_owned(),
    ] {
        let body = format!(r#"{{"status": "stored", {member}}}"#);
        assert!(matches!(proof(&answer(201, &body), &sent()), Proof::Contradicted(_)), "{body}");
        assert!(matches!(judge(&answer(201, &body), &sent()), Outcome::HostBlocked(_)), "{body}");
    }
}

/// Bodies of proxies, portals, stubs, other services and broken connections.
fn bodies_of_strangers() -> Vec<Body> {
    let texts = [
        "",
        " \r\n",
        "<html>welcome</html>",
        "OK",
        "[]",
        "\"stored\"",
        "null",
        "true",
        "7",
        "{}",
        r#"{"status": "ok"}"#,
        r#"{"status": "UP"}"#,
        r#"{"status": 200}"#,
        r#"{"ok": true}"#,
        r#"["stored"]"#,
        r#"{"status": "error", "episode_id": "someone-else"}"#,
        r#"{"error": "Bad Request", "statusCode": 400}"#,
        r#"{"message": "Request size limit exceeded"}"#,
        r#"{"detail": "Conflict"}"#,
        r#"{"error": null}"#,
        r#"{"status": "stored""#,
        r#"{"error": "commit-not-in-window", "remediation": "git"#,
        r#"{"status": "stored"} {"status": "stored"}"#,
        "\u{feff}{\"status\": \"stored\"}",
        r#"{"status": "stored", "status": "error"}"#,
    ];
    let whole = texts.into_iter().map(|text| Body::Whole(text.into()));
    whole.chain([Body::Cut, Body::TooLong, Body::Whole(vec![0xff, 0xfe])]).collect()
}

#[test]
fn what_no_receiver_says_retires_nothing_and_condemns_nothing_whatever_its_status() {
    for status in 200..=499 {
        for body in bodies_of_strangers() {
            let outcome = judge(&Answer { status, body: body.clone(), ..Answer::default() }, &sent());
            let is_about_the_way = match &outcome {
                Outcome::HostBlocked(Blocked { status: told, detail, .. }) => {
                    *told == status && detail.is_some()
                }
                Outcome::Transient { reason, .. } => {
                    matches!(status, 408 | 429) && reason.contains(&status.to_string())
                }
                _ => false,
            };
            assert!(is_about_the_way, "{status} {body:?}: {outcome:?}");
        }
    }
}

#[test]
fn a_verdict_on_something_else_than_was_sent_condemns_nothing() {
    let other = "cd".repeat(20);
    let (ours, theirs) = (sent().sha256.to_string(), "00".repeat(32));
    let cases = [
        (412, format!(r#"{{"error": "commit-not-in-window", "your_commit": "{other}"}}"#)),
        (409, format!(r#"{{"error": "conflict", "your_sha256": "{theirs}", "stored_sha256": "{theirs}"}}"#)),
        (409, format!(r#"{{"error": "conflict", "stored_sha256": "{ours}"}}"#)),
    ];
    for (status, body) in cases {
        let outcome = judge(&answer(status, &body), &sent());
        assert!(matches!(outcome, Outcome::HostBlocked(_)), "{status} {body}: {outcome:?}");
    }
}

#[test]
fn who_answered_and_where_a_redirect_leads_stands_in_the_message() {
    let redirect =
        Answer { location: Some("https://portal.example/login".to_owned()), ..answer(302, "<html>") };
    let Outcome::HostBlocked(blocked) = judge(&redirect, &sent()) else { panic!("held") };
    assert!(blocked.detail.unwrap().contains("a redirect to `https://portal.example/login`"));
    let gateway = Answer {
        server: Some("nginx/1.22.1".to_owned()),
        ..answer(502, "<title>502 Bad Gateway</title><html>")
    };
    let Outcome::Transient { reason, help, .. } = judge(&gateway, &sent()) else { panic!("tried again") };
    assert_eq!(
        (reason.as_str(), help),
        ("nginx answered 502: it cannot reach the receiver behind it", Some(BEHIND_A_PROXY))
    );
    let Outcome::HostBlocked(blocked) = judge(&answer(200, r#"{"status": "UP"}"#), &sent()) else {
        panic!("held")
    };
    let told = blocked.detail.unwrap();
    assert!(told.contains("no proof") && told.contains("a JSON object with `status`"), "{told}");
}

#[test]
fn a_refusal_keeps_everything_that_the_receiver_said() {
    let body = r#"{"type": "urn:x", "title": "t", "status": 412, "detail": "too old", "error": "commit-not-in-window",
        "remediation": "git pull\n", "your_commit": "abab", "head_commit": "cdcd", "window": 100}"#;
    let Outcome::Refused(refusal) = judge(&answer(412, body), &sent()) else { panic!("refused") };
    assert_eq!(
        refusal,
        Refusal {
            status: Some(412),
            error: "commit-not-in-window".to_owned(),
            commit: sent().commit,
            head_commit: Some("cdcd".to_owned()),
            window: Some(100),
            remediation: Some("git pull\n".to_owned()),
            detail: Some("too old".to_owned()),
            stored_sha256: None,
            your_sha256: None,
        }
    );
    assert!(refusal.is_about_the_commit());
}

#[test]
fn a_refusal_of_the_earlier_generation_is_given_the_member_that_it_means() {
    let cases = [
        (412, r#"{"remediation": "git pull"}"#, "commit-not-in-window"),
        (413, r#"{"remediation": "git pull"}"#, "too-large"),
        (400, r#"{"remediation": "git pull", "error": "bad name"}"#, "bad name"),
        (400, r#"{"remediation": "git pull", "error": null}"#, "commit-refused"),
    ];
    for (status, body, error) in cases {
        let Outcome::Refused(refusal) = judge(&answer(status, body), &sent()) else {
            panic!("{status} {body}")
        };
        assert_eq!((refusal.status, refusal.error.as_str()), (Some(status), error));
        assert_eq!(refusal.is_about_the_commit(), status == 412 || error == "commit-refused");
    }
}

#[test]
fn a_conflict_names_both_hashes() {
    let body = format!(r#"{{"error": "conflict", "stored_sha256": "{}"}}"#, "aa".repeat(32));
    let Outcome::Conflict(refusal) = judge(&answer(409, &body), &sent()) else { panic!("conflict") };
    assert_eq!(refusal.error, "conflict");
    assert_eq!(refusal.stored_sha256, Some("aa".repeat(32)));
    assert_eq!(refusal.your_sha256, Some(sent().sha256.to_string()));
    assert!(!refusal.is_about_the_commit());
}

#[test]
fn a_retry_carries_what_the_receiver_asked_for() {
    let busy = Answer {
        retry_after: Some(Duration::from_secs(7)),
        ..answer(503, r#"{"error": "busy", "detail": "64 uploads"}"#)
    };
    assert_eq!(
        judge(&busy, &sent()),
        Outcome::Transient {
            scope: Scope::Episode,
            reason: "answered 503 `busy`: 64 uploads".to_owned(),
            retry_after: Some(Duration::from_secs(7)),
            help: None,
        }
    );
}

#[test]
fn the_answer_to_a_question_stops_the_queue_at_most() {
    for status in 100..=599 {
        let outcome = about_the_receiver(&answer(status, r#"{"error": "commit-not-in-window"}"#));
        let harmless =
            matches!(outcome, Outcome::HostBlocked(_) | Outcome::Transient { scope: Scope::Receiver, .. });
        assert!(harmless, "{status}: {outcome:?}");
    }
    assert!(matches!(about_the_receiver(&answer(401, "")), Outcome::HostBlocked(_)));
}
