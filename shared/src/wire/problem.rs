//! Error bodies: `application/problem+json` (RFC 9457) with the extension members of protocol 2.2.
//!
//! [`ErrorCode`] is the only list of `error` members in the project, with the status and title of each.

use serde::{Deserialize, Serialize};

use crate::excerpt::{excerpt, excerpt_of_lines};
use crate::ids::Sha256Digest;

/// What the `type` member of our problems begins with; the `error` member follows.
const TYPE_PREFIX: &str = "urn:cis490:error:";

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// The `error` member of a problem: what a program decides by.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every member, in the order of the protocol's table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The member as it stands in the body.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The status code it is sent with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// The `title` member.
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
    /// The host part of the path is no host id.
    BadHostId = "bad-host-id", 400, "not a host id";
    /// The episode part of the path is no episode id.
    BadEpisodeId = "bad-episode-id", 400, "not an episode id";
    /// A header is missing, repeated or malformed, or the body is not what the endpoint takes.
    BadHeader = "bad-header", 400, "a required part of the request is missing or malformed";
    /// `X-Schema-Version` is not 1.
    SchemaVersion = "schema-version", 400, "unknown schema version";
    /// `X-Lab-Host` or `X-Episode-Id` disagrees with the path.
    IdentityMismatch = "identity-mismatch", 400, "header and path disagree";
    /// The body has another hash than promised.
    DigestMismatch = "digest-mismatch", 400, "the body does not match its sha256";
    /// The body has another length than promised.
    LengthMismatch = "length-mismatch", 400, "the body does not match its length";
    /// Nobody said who is asking.
    Unauthenticated = "unauthenticated", 401, "authentication is required";
    /// This host may not do that.
    HostNotAllowed = "host-not-allowed", 403, "not allowed for this host";
    /// There is nothing at this path.
    NotFound = "not-found", 404, "there is nothing here";
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "the method is not allowed here";
    /// No body byte for the idle limit.
    Stalled = "stalled", 408, "the upload stalled";
    /// Other bytes are stored under this id.
    Conflict = "conflict", 409, "other bytes are already stored under this id";
    /// No `Content-Length`.
    LengthRequired = "length-required", 411, "a Content-Length is required";
    /// A well-formed commit outside the window.
    CommitNotInWindow = "commit-not-in-window", 412, "recorded by code outside the window";
    /// Above the configured maximum.
    TooLarge = "too-large", 413, "the body is too large";
    /// Anything else on the receiver's disk.
    Storage = "storage", 500, "the receiver could not store the episode";
    /// No window has ever been read.
    GateNotReady = "gate-not-ready", 503, "the version gate has not read its window yet";
    /// Too many uploads, or this very pair is being uploaded.
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
    /// What a program decides by.
    pub error: ErrorCode,
    /// What to paste on the lab host; with every refusal about the commit.
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
    /// 409: the hash of what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_sha256: Option<Sha256Digest>,
    /// 409: the hash of what was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub your_sha256: Option<Sha256Digest>,
    /// 413: the configured maximum in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

impl Problem {
    /// A problem of the given kind, with no extension members yet.
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

/// The members that an error body of either generation may hold, for whoever decides by status and uses the rest.
///
/// An earlier receiver sends plain JSON without `error`; a later one may send members that are not known here. Every text
/// is escaped and bounded: it goes to a log, a terminal and a note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnyProblem {
    /// A URI that names the kind of problem.
    pub kind: Option<String>,
    /// What a program decides by.
    pub error: Option<String>,
    /// What happened.
    pub detail: Option<String>,
    /// What to paste on the lab host.
    pub remediation: Option<String>,
    /// The commit that was refused.
    pub your_commit: Option<String>,
    /// The newest commit of the window.
    pub head_commit: Option<String>,
    /// The size of the window.
    pub window: Option<u64>,
    /// The hash of what is stored.
    pub stored_sha256: Option<String>,
    /// The hash of what was sent.
    pub your_sha256: Option<String>,
}

impl AnyProblem {
    /// Reads a body that is a JSON object as a whole; none where it is not. A member of another type counts as absent.
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

    /// Whether its `type` is one that only this project uses.
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
