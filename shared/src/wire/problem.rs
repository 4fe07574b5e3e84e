//! Error bodies: `application/problem+json` (RFC 9457) with the extension members of protocol 2.2.
//!
//! [`ErrorCode`] is the only list of `error` members in the project, with the status and title of each.

use serde::{Deserialize, Serialize};

use crate::excerpt::{excerpt, excerpt_of_lines};
use crate::ids::Sha256Digest;

/// Prefix of the `type` member of our problems; the `error` member follows.
const TYPE_PREFIX: &str = "urn:cis490:error:";

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// The `error` member of a problem, by which a program decides what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every member, in the order of the protocol's table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the member as written in the body.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Returns the status code that it is sent with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// Returns the `title` member.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

error_codes! {
    /// The gate is on and the request names no commit.
    CommitMissing = "commit-missing", 400, "the recording commit is missing";
    /// The gate is on and the commit is not 40 or 64 hex digits.
    CommitMalformed = "commit-malformed", 400, "the recording commit is malformed";
    /// The host part of the path is not a host id.
    BadHostId = "bad-host-id", 400, "not a host id";
    /// The episode part of the path is not an episode id.
    BadEpisodeId = "bad-episode-id", 400, "not an episode id";
    /// A header is missing, repeated or malformed, or the body is not what the endpoint accepts.
    BadHeader = "bad-header", 400, "a required part of the request is missing or malformed";
    /// `X-Schema-Version` is not 1.
    SchemaVersion = "schema-version", 400, "unknown schema version";
    /// `X-Lab-Host` or `X-Episode-Id` disagrees with the path.
    IdentityMismatch = "identity-mismatch", 400, "header and path disagree";
    /// The hash of the body differs from the declared one.
    DigestMismatch = "digest-mismatch", 400, "the body does not match its sha256";
    /// The length of the body differs from the declared one.
    LengthMismatch = "length-mismatch", 400, "the body does not match its length";
    /// The request does not prove who sends it.
    Unauthenticated = "unauthenticated", 401, "authentication is required";
    /// This host may not do that.
    HostNotAllowed = "host-not-allowed", 403, "not allowed for this host";
    /// There is nothing at this path.
    NotFound = "not-found", 404, "there is nothing here";
    /// The path exists, but it does not support the method.
    MethodNotAllowed = "method-not-allowed", 405, "the method is not allowed here";
    /// The body comes too slowly: no byte within the idle limit, or fewer than the minimum rate.
    Stalled = "stalled", 408, "the upload stalled";
    /// Other bytes are stored under this id.
    Conflict = "conflict", 409, "other bytes are already stored under this id";
    /// The request has no `Content-Length`.
    LengthRequired = "length-required", 411, "a Content-Length is required";
    /// The commit is well-formed, but outside the window.
    CommitNotInWindow = "commit-not-in-window", 412, "recorded by code outside the window";
    /// The body is larger than the configured maximum.
    TooLarge = "too-large", 413, "the body is too large";
    /// Any other error of the receiver's disk.
    Storage = "storage", 500, "the receiver could not store the episode";
    /// No window has ever been read.
    GateNotReady = "gate-not-ready", 503, "the version gate has not read its window yet";
    /// Too many uploads are in progress, or one of the same pair is.
    Busy = "busy", 503, "the receiver is busy";
    /// The service is stopping.
    ShuttingDown = "shutting-down", 503, "the receiver is shutting down";
    /// The receiver's disk is full.
    DiskFull = "disk-full", 507, "the receiver's disk is full";
    /// This host's share of the disk is used up.
    Quota = "quota", 507, "the host's quota is used up";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error body. `detail` is for people; it holds no path of the server and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The status code of the answer.
    pub status: u16,
    /// What happened to this request.
    pub detail: String,
    /// The code by which a program decides what to do.
    pub error: ErrorCode,
    /// The commands to paste on the lab host; part of every refusal about the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
    /// 412: the commit that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub your_commit: Option<String>,
    /// 412: the newest commit of the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_commit: Option<String>,
    /// 412: the size of the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// 409: the hash of the stored archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_sha256: Option<Sha256Digest>,
    /// 409: the hash of the archive that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub your_sha256: Option<Sha256Digest>,
    /// 413: the configured maximum in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

impl Problem {
    /// Creates a problem of the given kind, without extension members.
    pub fn new(error: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{error}"),
            title: error.title().to_owned(),
            status: error.status(),
            detail: detail.into(),
            error,
            remediation: None,
            your_commit: None,
            head_commit: None,
            window: None,
            stored_sha256: None,
            your_sha256: None,
            limit_bytes: None,
        }
    }
}

/// The members of an error body of either generation, for a client that decides by the status and uses the members as
/// details.
///
/// An earlier receiver sends plain JSON without `error`; a later one may send unknown members. Every text is escaped
/// and shortened, because it goes to a log, a terminal and a note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnyProblem {
    /// A URI that names the kind of problem.
    pub kind: Option<String>,
    /// The code by which a program decides what to do.
    pub error: Option<String>,
    /// What happened.
    pub detail: Option<String>,
    /// The commands to paste on the lab host.
    pub remediation: Option<String>,
    /// The commit that was refused.
    pub your_commit: Option<String>,
    /// The newest commit of the window.
    pub head_commit: Option<String>,
    /// The size of the window.
    pub window: Option<u64>,
    /// The hash of the stored archive.
    pub stored_sha256: Option<String>,
    /// The hash of the archive that was sent.
    pub your_sha256: Option<String>,
}

impl AnyProblem {
    /// Parses a body that is a JSON object as a whole; `None` if it is not. A member of another type counts as absent.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(body) else { return None };
        let raw = |name: &str| members.get(name).and_then(serde_json::Value::as_str);
        let text = |name| raw(name).map(excerpt);
        Some(Self {
            kind: text("type"),
            error: text("error"),
            detail: text("detail"),
            remediation: raw("remediation").map(excerpt_of_lines),
            your_commit: text("your_commit"),
            head_commit: text("head_commit"),
            window: members.get("window").and_then(serde_json::Value::as_u64),
            stored_sha256: text("stored_sha256"),
            your_sha256: text("your_sha256"),
        })
    }

    /// Returns true if its `type` is one that only this project uses.
    pub fn has_our_type(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind.starts_with(TYPE_PREFIX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_only_the_extensions_that_apply() {
        let problem = Problem { limit_bytes: Some(10), ..Problem::new(ErrorCode::TooLarge, "20 bytes") };
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({
                "type": "urn:cis490:error:too-large", "title": "the body is too large", "status": 413,
                "detail": "20 bytes", "error": "too-large", "limit_bytes": 10
            })
        );
    }

    #[test]
    fn every_error_code_reads_back_from_its_text() {
        for code in ErrorCode::ALL {
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(text, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&text).unwrap(), *code);
        }
    }

    #[test]
    fn an_error_body_of_the_earlier_generation_is_understood() {
        let old = br#"{"detail": "stale", "remediation": "git pull\n", "window": "100", "extra": 1}"#;
        let old = AnyProblem::parse(old).unwrap();
        assert_eq!((old.remediation.as_deref(), old.error, old.window), (Some("git pull\n"), None, None));
        for body in ["<html>502</html>", "", "[]", "{\"error\": \"busy\"", "{} {}"] {
            assert_eq!(AnyProblem::parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn nothing_in_a_problem_can_move_a_cursor_or_forge_a_line_of_the_journal() {
        let hostile = serde_json::json!({
            "error": "\u{1b}[2J", "detail": "a\nb", "head_commit": "x".repeat(1000),
            "remediation": format!("<0>panic\n\u{202e}\r\n{}", "y\n".repeat(10_000)),
        });
        let problem = AnyProblem::parse(hostile.to_string().as_bytes()).unwrap();
        assert_eq!(problem.error.as_deref(), Some("\\u{1b}[2J"));
        assert_eq!(problem.detail.as_deref(), Some("a\\nb"));
        assert!(problem.head_commit.unwrap().len() < 300);
        let remediation = problem.remediation.unwrap();
        assert!(remediation.starts_with("\\u{3c}0>panic\n\\u{202e}\\r\ny\n"), "{remediation}");
        assert!(remediation.len() < 10_000 && remediation.lines().all(|line| !line.starts_with('<')));
    }
}
