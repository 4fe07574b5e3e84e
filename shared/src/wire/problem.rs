//! Error bodies: `application/problem+json` (RFC 9457) with the extension members of protocol 2.2.
//!
//! [`ErrorCode`] is the only list of `error` members in the project, with the status and title of each.

use serde::{Deserialize, Serialize};

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
/// An earlier receiver sends plain JSON without `error`; a later one may send members that are not known here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AnyProblem {
    /// What a program decides by, where it was sent as text.
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
}

impl AnyProblem {
    /// Reads what it can: a body that is no JSON object of this shape is an empty problem, never an error.
    pub fn parse_lossy(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
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
        let old = AnyProblem::parse_lossy(br#"{"detail": "stale", "remediation": "git pull", "extra": 1}"#);
        assert_eq!((old.remediation.as_deref(), old.error), (Some("git pull"), None));
        assert_eq!(AnyProblem::parse_lossy(b"<html>502</html>"), AnyProblem::default());
    }
}
