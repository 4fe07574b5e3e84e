//! `PUT` and `HEAD /v1/episodes/{host}/{episode}.tar.zst`.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use cis490_shared::wire::answer::{StoreAnswer, StoreStatus};
use cis490_shared::wire::headers::{COMMIT_POSITION, CONTENT_SHA256, CommitPosition, EPISODE_MEDIA_TYPE};

use super::api::Api;
use super::body::{Interrupted, PacedBody};
use super::headers;
use super::preflight::{self, Preflight};
use super::refusal::Refusal;
use crate::actors::ingest::Upload;
use crate::ingest::{DeclaredUpload, Done, IngestError, Part};
use crate::store::stored::Stored;

/// Stores one episode.
pub async fn put(request: HttpRequest, body: web::Payload, api: web::Data<Api>) -> HttpResponse {
    match store(&request, body, &api).await {
        Ok(response) => response,
        Err(refusal) => {
            api.turn_away(request.head(), &refusal);
            api.refuse(&refusal)
        }
    }
}

async fn store(request: &HttpRequest, body: web::Payload, api: &Api) -> Result<HttpResponse, Refusal> {
    // If the client sent Expect, the expect service has already checked the request.
    let cleared = request.extensions_mut().remove::<Preflight>();
    let cleared = match cleared {
        Some(cleared) => cleared,
        None => preflight::check_upload(api, request.head()).await?,
    };
    let (declared, permit, position) = match cleared {
        Preflight::AlreadyStored { answer, position } => return Ok(stored_answer(answer, position)),
        Preflight::Upload { declared, permit, position } => (declared, permit, position),
    };
    let upload = api.ingest.begin(declared.clone(), permit);
    let Done { status } = pump(body, upload, api).await?;
    api.disk_works();
    let DeclaredUpload { host_id, episode_id, sha256, length, .. } = declared;
    let answer = StoreAnswer { status, host_id, episode_id, sha256, size_bytes: length };
    Ok(stored_answer(answer, position))
}

/// Hands the body to the upload part by part, at the pace of the disk, and waits for the end of the upload.
async fn pump(body: web::Payload, upload: Upload, api: &Api) -> Result<Done, Refusal> {
    let Upload { parts, outcome } = upload;
    let mut body = PacedBody::new(body, api.rules.pace);
    let mut interrupted = None;
    loop {
        let part = match body.next().await {
            Ok(Some(bytes)) => Part::Data(bytes),
            Ok(None) => Part::Finish,
            Err(Interrupted::TooSlow(slow)) => {
                interrupted = Some(Refusal::TooSlow(slow));
                break;
            }
            Err(Interrupted::Broken(error)) => {
                interrupted = body_error(&error);
                break;
            }
        };
        let is_last = matches!(part, Part::Finish);
        // A closed channel means that the upload has failed; its outcome says why.
        if parts.send(part).await.is_err() || is_last {
            break;
        }
    }
    // If no `Finish` was sent, this cancels the upload.
    drop(parts);
    let outcome = outcome.await.unwrap_or(Err(IngestError::Gone));
    match interrupted {
        Some(refusal) => Err(refusal),
        None => outcome.map_err(Refusal::Ingest),
    }
}

/// Returns the refusal for a broken body. `None` for a body that broke off, because the upload reports it and knows how
/// much came.
fn body_error(error: &PayloadError) -> Option<Refusal> {
    match error {
        PayloadError::Incomplete(_) | PayloadError::Io(_) => None,
        other => Some(Refusal::Header { name: "content-length", reason: other.to_string() }),
    }
}

/// Returns the answer to an upload whose bytes are stored.
pub fn stored_answer(answer: StoreAnswer, position: Option<CommitPosition>) -> HttpResponse {
    let status = match answer.status {
        StoreStatus::Stored => StatusCode::CREATED,
        StoreStatus::AlreadyPresent => StatusCode::OK,
    };
    let mut response = HttpResponse::build(status);
    if let Some(position) = position {
        response.insert_header((COMMIT_POSITION, position.to_string()));
    }
    response.json(answer)
}

/// Answers whether an episode is stored.
pub async fn head(request: HttpRequest, api: web::Data<Api>) -> HttpResponse {
    match find(&request, &api).await {
        Ok(Some(found)) => HttpResponse::Ok()
            .content_type(EPISODE_MEDIA_TYPE)
            .insert_header((CONTENT_SHA256, found.sha256.to_string()))
            .body(NoBytes { length: found.size_bytes }),
        Ok(None) => api.refuse(&Refusal::NotFound),
        Err(refusal) => api.refuse(&refusal),
    }
}

/// Returns the stored archive. Only an archive with its row counts, because the client retires the episode after this
/// answer.
async fn find(request: &HttpRequest, api: &Api) -> Result<Option<Stored>, Refusal> {
    let (host, episode) = headers::pair(request.uri().path())?;
    Ok(api.records.find(&host, &episode).await?)
}

/// The body of an answer to HEAD: it has a length and no bytes.
struct NoBytes {
    length: u64,
}

impl MessageBody for NoBytes {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Bytes, Self::Error>>> {
        std::task::Poll::Ready(None)
    }

    fn boxed(self) -> BoxBody {
        BoxBody::new(self)
    }
}
