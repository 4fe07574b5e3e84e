//! The right-hand column of protocol 2.2 again, as a lab host and its operator see it.
//!
//! It is deliberately not derived from the table in `answers/judge.rs`, so that a mistake there is not repeated here.
#![allow(unreachable_pub, reason = "it is a module of a test binary")]

use std::ops::RangeInclusive;

use cis490_shared::wire::problem::ErrorCode;

/// One answer to a PUT, and the shipper's reaction.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub status: u16,
    pub body: Body,
    /// The seconds that the receiver asks for.
    pub retry_after: Option<u64>,
    pub does: Does,
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `application/problem+json` with this `error` member.
    Problem(&'static str),
    /// JSON of the earlier generation, without an `error` member.
    Plain,
    /// The page of a proxy.
    Html,
    Empty,
    /// The receiver's own statement about the stored bytes.
    Stored,
    /// The same, with one member that differs from the sent episode.
    StoredOther(&'static str),
    /// The receiver's own statement, cut in the middle by the end of the connection.
    StoredCut,
    /// `application/problem+json` with this `error` member, cut in the middle by the end of the connection.
    ProblemCut(&'static str),
    /// A receiver's error behind more spaces than the shipper reads.
    ProblemTooLong(&'static str),
    /// JSON of something that is not a receiver.
    Json(&'static str),
}

/// The actions that the protocol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Retire,
    Quarantine,
    /// The refusal is about the commit: after one PUT no other episode of that commit is sent.
    QuarantineTheCommit,
    /// Sent three times, then quarantine.
    Rebuild,
    /// The whole queue waits with back-off, logged once; a person must act.
    HoldForAPerson,
    /// The same, but waiting may be enough.
    Hold,
    /// The others are tried meanwhile. If they fail too, the queue waits.
    Retry,
}

/// The visible result with three ready episodes of one commit.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The place where all of them end.
    pub place: &'static str,
    /// PUTs that arrive in an hour, from one uploader.
    pub puts_in_an_hour: RangeInclusive<usize>,
    /// PUTs that arrive in one `--once`.
    pub puts_at_once: RangeInclusive<usize>,
    /// The exit code of that `--once`.
    pub exit: i32,
    /// Whether the queue waits as a whole after the hour.
    pub is_held: bool,
    /// Log entries of that hour.
    pub warnings: usize,
    pub errors: usize,
}

/// One attempt in each step of the back-off, whose steps are 5 minutes long after 9 of them.
const A_STEP_EACH: RangeInclusive<usize> = 15..=32;

impl Does {
    pub fn seen(self) -> Seen {
        let nothing = Seen {
            place: "episodes",
            puts_in_an_hour: A_STEP_EACH,
            // When the first answer comes, one episode is being sent and one waits for its turn.
            puts_at_once: 1..=2,
            exit: 75,
            is_held: true,
            warnings: 0,
            errors: 0,
        };
        match self {
            Self::Retire => Seen {
                place: "shipped",
                puts_in_an_hour: 3..=3,
                puts_at_once: 3..=3,
                exit: 0,
                is_held: false,
                ..nothing
            },
            Self::Quarantine => Seen { place: "quarantine", exit: 65, warnings: 3, ..Self::Retire.seen() },
            Self::QuarantineTheCommit => Seen {
                place: "quarantine",
                puts_in_an_hour: 1..=1,
                exit: 65,
                is_held: false,
                errors: 1,
                ..nothing
            },
            Self::Rebuild => Seen {
                place: "quarantine",
                puts_in_an_hour: 9..=9,
                puts_at_once: 3..=3,
                is_held: false,
                warnings: 3,
                ..nothing
            },
            Self::HoldForAPerson => Seen { errors: 1, ..nothing },
            Self::Hold => Seen { warnings: 1, ..nothing },
            // Two episodes fail by themselves. The third shows that the trouble is not about them.
            Self::Retry => Seen { puts_at_once: 3..=4, warnings: 3, ..nothing },
        }
    }
}

const fn says(status: u16, error: &'static str, does: Does) -> Row {
    Row { status, body: Body::Problem(error), retry_after: None, does }
}

const fn with(status: u16, body: Body, does: Does) -> Row {
    Row { status, body, retry_after: None, does }
}

impl Row {
    const fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Returns the `error` member.
    pub fn error(&self) -> Option<&'static str> {
        match self.body {
            Body::Problem(error) => Some(error),
            _ => None,
        }
    }

    /// Returns true if a receiver gives this answer only after the whole body.
    pub fn comes_after_the_body(&self) -> bool {
        const AFTER: [&str; 4] = ["digest-mismatch", "length-mismatch", "storage", "stalled"];
        self.status < 300 || self.status == 422 || self.error().is_some_and(|error| AFTER.contains(&error))
    }
}

use Body::{Empty, Html, Json, Plain, ProblemCut, ProblemTooLong, Stored, StoredCut, StoredOther};
use Does::{Hold, HoldForAPerson, Quarantine, QuarantineTheCommit, Rebuild, Retire, Retry};

/// Every row of protocol 2.2, in its order.
pub const PROTOCOL: &[Row] = &[
    with(201, Stored, Retire),
    with(200, Stored, Retire),
    says(400, "commit-missing", QuarantineTheCommit),
    says(400, "commit-malformed", QuarantineTheCommit),
    says(400, "bad-host-id", Quarantine),
    says(400, "bad-episode-id", Quarantine),
    says(400, "bad-header", Quarantine),
    says(400, "schema-version", Quarantine),
    says(400, "identity-mismatch", Quarantine),
    says(400, "digest-mismatch", Rebuild),
    says(400, "length-mismatch", Rebuild),
    says(401, "unauthenticated", HoldForAPerson),
    says(403, "host-not-allowed", HoldForAPerson),
    says(404, "not-found", HoldForAPerson),
    says(405, "method-not-allowed", HoldForAPerson),
    says(411, "length-required", HoldForAPerson),
    with(426, Plain, HoldForAPerson),
    says(408, "stalled", Retry),
    says(409, "conflict", Quarantine),
    says(412, "commit-not-in-window", QuarantineTheCommit),
    says(413, "too-large", Quarantine),
    says(503, "gate-not-ready", Hold).after(30),
    says(503, "busy", Retry).after(20),
    says(503, "shutting-down", Hold).after(120),
    says(507, "disk-full", Hold).after(400),
    says(507, "quota", Hold).after(400),
    says(500, "storage", Retry),
];

/// Answers of something between the shipper and the receiver, or of a version that does not exist yet. None of them
/// condemns or retires an episode.
pub const STRANGERS: &[Row] = &[
    with(201, StoredOther("sha256"), HoldForAPerson),
    with(200, StoredOther("sha256"), HoldForAPerson),
    with(201, StoredOther("host_id"), HoldForAPerson),
    with(200, StoredOther("episode_id"), HoldForAPerson),
    with(201, StoredOther("size_bytes"), HoldForAPerson),
    with(201, StoredOther("status"), HoldForAPerson),
    with(201, StoredCut, HoldForAPerson),
    with(200, StoredCut, HoldForAPerson),
    with(201, Json("{}"), HoldForAPerson),
    with(200, Json("{}"), HoldForAPerson),
    with(200, Json(r#"{"status": "ok"}"#), HoldForAPerson),
    with(200, Json(r#"{"status": "UP", "groups": []}"#), HoldForAPerson),
    with(201, Json(r#"{"error": "no space"}"#), HoldForAPerson),
    with(201, Json(r#"{"status": "stored", "error": "later"}"#), HoldForAPerson),
    with(200, Json(r#"{"status": "error", "episode_id": "someone-else"}"#), HoldForAPerson),
    with(200, Json(r#"["stored"]"#), HoldForAPerson),
    with(200, Json("true"), HoldForAPerson),
    with(202, Stored, Retire),
    with(201, Empty, HoldForAPerson),
    with(202, Empty, HoldForAPerson),
    with(400, Empty, HoldForAPerson),
    with(409, Empty, HoldForAPerson),
    with(412, Empty, HoldForAPerson),
    with(413, Empty, HoldForAPerson),
    with(422, Empty, HoldForAPerson),
    with(400, Json("{}"), HoldForAPerson),
    with(409, Json(r#"{"detail": "Conflict"}"#), HoldForAPerson),
    with(413, Json(r#"{"message": "Request size limit exceeded"}"#), HoldForAPerson),
    with(400, Json(r#"{"error": "Bad Request", "statusCode": 400}"#), HoldForAPerson),
    with(400, Json(r#"{"error": "conflict"}"#), HoldForAPerson),
    with(422, Json(r#"{"detail": [{"loc": ["body"], "msg": "field required"}]}"#), HoldForAPerson),
    with(400, ProblemCut("bad-header"), HoldForAPerson),
    with(409, ProblemCut("conflict"), HoldForAPerson),
    with(412, ProblemCut("commit-not-in-window"), HoldForAPerson),
    with(413, ProblemCut("too-large"), HoldForAPerson),
    with(400, ProblemTooLong("bad-header"), HoldForAPerson),
    with(412, ProblemTooLong("commit-not-in-window"), HoldForAPerson),
    with(413, ProblemTooLong("too-large"), HoldForAPerson),
    with(201, Html, HoldForAPerson),
    with(200, Html, HoldForAPerson),
    with(200, Empty, HoldForAPerson),
    with(204, Empty, HoldForAPerson),
    with(302, Html, HoldForAPerson),
    with(400, Html, HoldForAPerson),
    with(401, Html, HoldForAPerson),
    with(403, Html, HoldForAPerson),
    with(404, Html, HoldForAPerson),
    with(407, Html, HoldForAPerson),
    with(409, Html, HoldForAPerson),
    with(412, Html, HoldForAPerson),
    with(413, Html, HoldForAPerson),
    says(418, "not-thought-of-yet", HoldForAPerson),
    with(429, Html, Hold).after(60),
    with(502, Html, Hold),
    with(503, Html, Hold).after(60),
    with(504, Html, Hold),
    says(599, "not-thought-of-yet", Hold),
];

/// A receiver of the earlier generation (2.5), whose error bodies are plain JSON with a remediation.
pub const EARLIER: &[Row] = &[
    with(201, Stored, Retire),
    with(200, Stored, Retire),
    with(201, Json(r#"{"status": "stored"}"#), Retire),
    with(200, Json(r#"{"status": "already-present", "extra": 1}"#), Retire),
    with(200, Json(r#"{"ok": true}"#), HoldForAPerson),
    with(400, Plain, QuarantineTheCommit),
    with(401, Plain, HoldForAPerson),
    with(403, Plain, HoldForAPerson),
    with(404, Plain, HoldForAPerson),
    with(405, Plain, HoldForAPerson),
    with(409, Plain, Quarantine),
    with(411, Plain, HoldForAPerson),
    with(412, Plain, QuarantineTheCommit),
    with(413, Plain, Quarantine),
    with(422, Plain, Rebuild),
    with(500, Plain, Retry),
    with(503, Plain, Hold).after(60),
    with(507, Plain, Hold).after(60),
];

#[test]
fn every_member_of_the_protocol_has_its_row_with_its_status() {
    for code in ErrorCode::ALL {
        let row = PROTOCOL.iter().find(|row| row.error() == Some(code.as_str()));
        assert_eq!(row.map(|row| row.status), Some(code.status()), "{code}");
    }
    for status in [200, 201, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 426, 500, 503, 507] {
        assert!(PROTOCOL.iter().any(|row| row.status == status), "{status}");
    }
}
