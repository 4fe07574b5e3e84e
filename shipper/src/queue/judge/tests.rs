//! The right-hand column of protocol 2.2, row by row.

use super::*;

fn sent() -> Sent {
    Sent {
        commit: Some("ab".repeat(20)),
        sha256: Sha256Digest::from_bytes([7; 32]),
        size_bytes: 42,
        elapsed: Duration::from_millis(5),
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
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
    let upper = ours().to_uppercase().replace("\"SHA256\"", "\"sha256\"").replace("\"STATUS\"", "\"status\"");
    assert!(matches!(judge(&answer(200, &upper), &sent()), Outcome::AlreadyPresent(_)));
    // The earlier generation does not always name the hash.
    assert!(matches!(
        judge(&answer(200, r#"{"status": "already-present"}"#), &sent()),
        Outcome::AlreadyPresent(_)
    ));
    for other in ["00".repeat(32), "nonsense".to_owned()] {
        let body = format!(r#"{{"status": "stored", "sha256": "{other}"}}"#);
        assert!(matches!(judge(&answer(201, &body), &sent()), Outcome::Mismatch(_)), "{body}");
    }
}

#[test]
fn something_that_says_200_without_being_a_receiver_retires_nothing() {
    for body in ["", "<html>welcome</html>", "[]", "\"ok\"", "null", "[\"ab\"]"] {
        let outcome = judge(&answer(200, body), &sent());
        assert!(matches!(outcome, Outcome::HostBlocked(Blocked { status: 200, .. })), "{body}: {outcome:?}");
    }
}

#[test]
fn an_error_page_of_a_proxy_condemns_nothing() {
    for status in [400, 409, 412, 413] {
        let outcome = judge(&answer(status, "<html>Request Entity Too Large</html>"), &sent());
        assert!(matches!(outcome, Outcome::HostBlocked(_)), "{status}: {outcome:?}");
    }
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
        (413, "", "too-large"),
        (400, r#"{"error": "bad name"}"#, "bad name"),
        (400, "{}", "http-400"),
        (412, "", "commit-not-in-window"),
    ];
    for (status, body, error) in cases {
        let Outcome::Refused(refusal) = judge(&answer(status, body), &sent()) else {
            panic!("{status} {body}")
        };
        assert_eq!((refusal.status, refusal.error.as_str()), (Some(status), error));
        assert_eq!(refusal.is_about_the_commit(), status == 412);
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
