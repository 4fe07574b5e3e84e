//! Maps our errors to status codes and problem bodies; no other code in the receiver does.
//!
//! A body says what happened to the request and never where: no path of the server, no system error text. Those go to
//! the log, once, from here.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use cis490_shared::ids::IdError;
use cis490_shared::wire::headers::PROBLEM_MEDIA_TYPE;
use cis490_shared::wire::problem::{ErrorCode, Problem};
use tracing::error;

use super::body::TooSlow;
use crate::auth::principal::Principal;
use crate::gate::window::GateRefusal;
use crate::ingest::IngestError;
use crate::ingest::admission::AdmissionRefusal;
use crate::records::RecordsError;
use crate::store::host_reports::ReportRefusal;

/// The reasons to refuse a request.
#[derive(Debug)]
pub enum Refusal {
    /// The sender is unknown; the text says why.
    Unauthenticated(&'static str),
    /// The sender may not do this.
    NotAllowed(Principal),
    /// The host in the path is not valid.
    HostId(IdError),
    /// The episode in the path is not valid.
    EpisodeId(IdError),
    /// The commit in the path is not valid.
    CommitInPath(IdError),
    /// A header is not valid.
    Header {
        /// The name of the header.
        name: &'static str,
        /// The fault.
        reason: String,
    },
    /// A host report was refused.
    Report(ReportRefusal),
    /// The body of a host report broke off.
    BrokenReport,
    /// `X-Schema-Version` names an unknown version.
    SchemaVersion,
    /// A header that repeats a part of the path differs from it.
    IdentityMismatch {
        /// The name of the header.
        name: &'static str,
    },
    /// `Content-Length` is missing.
    LengthRequired,
    /// The body is above the limit.
    TooLarge {
        /// The declared length.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// The version gate refused the upload.
    Gate(GateRefusal),
    /// Admission refused the upload.
    Admission(AdmissionRefusal),
    /// The upload failed.
    Ingest(IngestError),
    /// The body comes too slowly.
    TooSlow(TooSlow),
    /// The disk failed outside an upload.
    Disk(std::io::Error),
    /// An actor is gone; the process is about to end.
    Gone,
    /// The path does not exist.
    NotFound,
    /// The path does not have this method.
    MethodNotAllowed {
        /// The methods of the path.
        allowed: &'static str,
    },
}

impl From<RecordsError> for Refusal {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Index(error) => Self::Ingest(error.into()),
            RecordsError::Store(error) => Self::Disk(error),
            RecordsError::Gone => Self::Gone,
        }
    }
}

/// `Retry-After` in seconds if the obstacle passes within seconds.
const SOON_S: u32 = 5;
/// `Retry-After` in seconds if a person has to make room.
const SLOWLY_S: u32 = 60;

impl Refusal {
    /// Returns the answer. `remediation` is added to every refusal about the commit of an episode.
    pub fn response(&self, remediation: &str) -> HttpResponse {
        let mut problem = self.problem();
        if matches!(
            problem.error,
            ErrorCode::CommitMissing | ErrorCode::CommitMalformed | ErrorCode::CommitNotInWindow
        ) {
            problem.remediation = Some(remediation.to_owned());
        }
        // Every status in the table is valid; a test checks all of them.
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Some(seconds) = retry_after(problem.error) {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if let Self::Unauthenticated(_) = self {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
            // Another certificate can only be shown on another connection.
            response.force_close();
        }
        if let Self::MethodNotAllowed { allowed } = self {
            response.insert_header((ALLOW, *allowed));
        }
        response.content_type(PROBLEM_MEDIA_TYPE).json(problem)
    }

    fn problem(&self) -> Problem {
        let problem = |error, detail: String| Problem::new(error, detail);
        match self {
            Self::Unauthenticated(reason) => problem(ErrorCode::Unauthenticated, (*reason).to_owned()),
            Self::NotAllowed(principal) => {
                problem(ErrorCode::HostNotAllowed, format!("{principal} may not do this"))
            }
            Self::HostId(reason) => problem(ErrorCode::BadHostId, format!("the host in the path: {reason}")),
            Self::EpisodeId(reason) => {
                problem(ErrorCode::BadEpisodeId, format!("the episode in the path: {reason}"))
            }
            Self::CommitInPath(reason) => {
                problem(ErrorCode::BadHeader, format!("the commit in the path: {reason}"))
            }
            Self::Header { name, reason } => {
                problem(ErrorCode::BadHeader, format!("header `{name}`: {reason}"))
            }
            Self::Report(refusal) => Problem::new(report_error(*refusal), format!("the report: {refusal}")),
            Self::BrokenReport => problem(ErrorCode::BadHeader, "the report: its body broke off".to_owned()),
            Self::SchemaVersion => problem(
                ErrorCode::SchemaVersion,
                "header `x-schema-version`: only 1 is known here".to_owned(),
            ),
            Self::IdentityMismatch { name } => problem(
                ErrorCode::IdentityMismatch,
                format!("header `{name}` and the path name different things"),
            ),
            Self::LengthRequired => problem(
                ErrorCode::LengthRequired,
                "send the length of the body as `content-length`, not in chunks".to_owned(),
            ),
            Self::TooLarge { length, limit } => Problem {
                limit_bytes: Some(*limit),
                ..problem(ErrorCode::TooLarge, format!("{length} bytes, at most {limit} are taken"))
            },
            Self::Gate(refusal) => gate_problem(refusal),
            Self::Admission(refusal) => admission_problem(refusal),
            Self::Ingest(error) => ingest_problem(error),
            Self::TooSlow(slow) => problem(ErrorCode::Stalled, slow.to_string()),
            Self::Disk(_) => problem(ErrorCode::Storage, "the receiver's log says why".to_owned()),
            Self::Gone => going_down(),
            Self::NotFound => problem(ErrorCode::NotFound, "docs/protocol.md lists the paths".to_owned()),
            Self::MethodNotAllowed { allowed } => {
                problem(ErrorCode::MethodNotAllowed, format!("this path takes {allowed}"))
            }
        }
    }

    /// Returns true if the disk is at fault, which concerns every upload until it is mended.
    pub fn is_disk_trouble(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Ingest(IngestError::DiskFull(_) | IngestError::Storage(_)))
    }

    /// Logs the details that the answer must not contain. Faults of the client are not logged as our errors.
    pub fn log(&self) {
        const HELP: &str = "`df -h` and `dmesg | tail` on the collector; nothing needs a restart";
        match self {
            Self::Ingest(error @ (IngestError::DiskFull(_) | IngestError::Storage(_))) => {
                error!(%error, help = HELP, "an upload could not be stored");
            }
            Self::Disk(error) => error!(%error, help = HELP, "a request failed on a disk error"),
            Self::Ingest(IngestError::Gone) | Self::Gone => error!("an actor is gone, a request was refused"),
            _ => {}
        }
    }
}

fn going_down() -> Problem {
    Problem::new(ErrorCode::ShuttingDown, "try again in a moment")
}

fn gate_problem(refusal: &GateRefusal) -> Problem {
    match refusal {
        GateRefusal::Missing => Problem::new(
            ErrorCode::CommitMissing,
            "send the commit that recorded the episode as `x-cis490-code-commit`",
        ),
        GateRefusal::Malformed => Problem::new(
            ErrorCode::CommitMalformed,
            "`x-cis490-code-commit` must be one full commit id, 40 or 64 hex digits",
        ),
        GateRefusal::NotInWindow { commit, head, window } => Problem {
            your_commit: Some(commit.to_string()),
            head_commit: Some(head.to_string()),
            window: Some(*window),
            ..Problem::new(
                ErrorCode::CommitNotInWindow,
                format!(
                    "the episode was recorded by {}, which is not among the last {window} commits up to {}",
                    commit.short(),
                    head.short()
                ),
            )
        },
        GateRefusal::NotReady => Problem::new(
            ErrorCode::GateNotReady,
            "the maintainer's clone has not been read yet; nothing is wrong with the episode",
        ),
    }
}

fn admission_problem(refusal: &AdmissionRefusal) -> Problem {
    let error = match refusal {
        AdmissionRefusal::ShuttingDown => ErrorCode::ShuttingDown,
        AdmissionRefusal::PairInFlight
        | AdmissionRefusal::TooManyUploads(_)
        | AdmissionRefusal::TooManyOfHost(_) => ErrorCode::Busy,
        AdmissionRefusal::DiskFull { .. } => ErrorCode::DiskFull,
        AdmissionRefusal::Quota { .. } => ErrorCode::Quota,
    };
    Problem::new(error, refusal.to_string())
}

const fn report_error(refusal: ReportRefusal) -> ErrorCode {
    match refusal {
        ReportRefusal::HostInFlight | ReportRefusal::TooMany => ErrorCode::Busy,
        ReportRefusal::TooManyHosts => ErrorCode::Quota,
        ReportRefusal::NoObject => ErrorCode::BadHeader,
    }
}

fn ingest_problem(error: &IngestError) -> Problem {
    match error {
        IngestError::DigestMismatch { .. } => Problem::new(ErrorCode::DigestMismatch, error.to_string()),
        IngestError::LengthMismatch { .. } | IngestError::Aborted { .. } => {
            Problem::new(ErrorCode::LengthMismatch, error.to_string())
        }
        IngestError::Conflict { stored, yours } => Problem {
            stored_sha256: Some(*stored),
            your_sha256: Some(*yours),
            ..Problem::new(ErrorCode::Conflict, error.to_string())
        },
        IngestError::DiskFull(_) => Problem::new(ErrorCode::DiskFull, "the disk filled up during the upload"),
        IngestError::Storage(_) => Problem::new(ErrorCode::Storage, "the receiver's log says why"),
        IngestError::Index(_) => Problem::new(
            ErrorCode::Storage,
            "the episode is stored but could not be indexed; sending it again completes it",
        ),
        IngestError::Gone => going_down(),
    }
}

fn retry_after(error: ErrorCode) -> Option<u32> {
    match error {
        ErrorCode::GateNotReady | ErrorCode::Busy | ErrorCode::ShuttingDown => Some(SOON_S),
        ErrorCode::DiskFull | ErrorCode::Quota => Some(SLOWLY_S),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_has_a_valid_status() {
        for code in ErrorCode::ALL {
            assert!(
                StatusCode::from_u16(code.status()).is_ok_and(|s| s.is_client_error() || s.is_server_error())
            );
        }
    }

    #[test]
    fn no_body_tells_what_the_disk_said() {
        let secret = || std::io::Error::other("/var/lib/cis490 is broken");
        for refusal in [
            Refusal::Disk(secret()),
            Refusal::Ingest(IngestError::Storage(secret())),
            Refusal::Ingest(IngestError::DiskFull(secret())),
        ] {
            let text = serde_json::to_string(&refusal.problem()).unwrap();
            assert!(!text.contains("/var"), "{text}");
        }
    }
}
