//! `PUT /v1/host-health/{host}` and `GET /v1/host-health`. Never gated, because a sick host must be able to report it.

use actix_web::http::header::ContentType;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use cis490_shared::clock::WallTime;
use cis490_shared::ids::HostId;
use cis490_shared::wire::answer::HostHealthAnswer;
use cis490_shared::wire::path::HOST_HEALTH;
use futures_util::{StreamExt, stream};

use super::api::{Api, blocking};
use super::body::{Interrupted, PacedBody};
use super::headers::ends_where_declared;
use super::identity::Authorized;
use super::refusal::Refusal;
use crate::config::limits::Pace;
use crate::store::host_reports::MAX_REPORT_BYTES;

/// The lowest rate of a report, in bytes a second. The longest report takes about a minute, so no host holds a place
/// for long.
const LEAST_RATE: u64 = 4096;

/// Stores one host's report in place of its last.
pub async fn put(request: HttpRequest, body: web::Payload, api: web::Data<Api>) -> HttpResponse {
    match store(&request, body, &api).await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => api.refuse(&refusal),
    }
}

async fn store(request: &HttpRequest, body: web::Payload, api: &Api) -> Result<HostHealthAnswer, Refusal> {
    let raw_host = request.uri().path().strip_prefix(HOST_HEALTH).and_then(|tail| tail.strip_prefix('/'));
    let host_id = HostId::parse(raw_host.unwrap_or_default()).map_err(Refusal::HostId)?;
    let is_proven = request.extensions().get::<Authorized>().is_some_and(Authorized::is_proven);
    let place = api.reports.admit(&host_id, is_proven).map_err(Refusal::Report)?;
    let report = read(request, body, api).await?;
    let reports = api.reports.clone();
    // The place moves into the closure, so that a client that hangs up does not end the writing.
    blocking(move || reports.store(&place, &WallTime::now(), &report)).await?.map_err(Refusal::Report)?;
    Ok(HostHealthAnswer { status: "stored".to_owned(), host_id })
}

async fn read(request: &HttpRequest, body: web::Payload, api: &Api) -> Result<Vec<u8>, Refusal> {
    let limit = MAX_REPORT_BYTES as u64;
    let declared =
        request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    if let Some(length) = declared.filter(|length: &u64| *length > limit) {
        return Err(Refusal::TooLarge { length, limit });
    }
    ends_where_declared(request.headers())?;
    let pace = api.rules.pace;
    let mut body = PacedBody::new(body, Pace { bytes_per_s: pace.bytes_per_s.max(LEAST_RATE), ..pace });
    let mut text = Vec::new();
    loop {
        let bytes = match body.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(text),
            Err(Interrupted::TooSlow(slow)) => return Err(Refusal::TooSlow(slow)),
            Err(Interrupted::Broken(_)) => return Err(Refusal::BrokenReport),
        };
        text.extend_from_slice(&bytes);
        if text.len() > MAX_REPORT_BYTES {
            return Err(Refusal::TooLarge { length: text.len() as u64, limit });
        }
    }
}

/// Returns the newest report of each host, read one file after the other as the client takes them. A report that cannot
/// be read is left out, so that it does not hide the rest.
pub async fn list(api: web::Data<Api>) -> HttpResponse {
    let reports = api.reports.clone();
    let hosts = match blocking(move || reports.hosts()).await {
        Ok(hosts) => hosts,
        Err(refusal) => return api.refuse(&refusal),
    };
    let mut is_first = true;
    let members = stream::iter(hosts).then(move |host| member(api.clone(), host)).filter_map(move |member| {
        let comma = if member.is_some() && !std::mem::take(&mut is_first) { "," } else { "" };
        std::future::ready(member.map(|member| Bytes::from([comma.as_bytes(), &member].concat())))
    });
    let (begin, end) = (stream::iter(["{\"hosts\":{"]), stream::iter(["}}"]));
    let body = begin.map(Bytes::from).chain(members).chain(end.map(Bytes::from));
    HttpResponse::Ok().content_type(ContentType::json()).streaming(body.map(Ok::<_, std::io::Error>))
}

/// Returns a member of the list; `None` if its report cannot be read. Names of hosts need no escapes.
async fn member(api: web::Data<Api>, host: HostId) -> Option<Vec<u8>> {
    let (reports, of) = (api.reports.clone(), host.clone());
    let read = move || Ok([format!("\"{of}\":").as_bytes(), &reports.read(&of)?].concat());
    match blocking(read).await {
        Ok(member) => Some(member),
        Err(Refusal::Disk(error)) => {
            api.notices.unreadable_report(&host, &error);
            None
        }
        Err(_) => None,
    }
}
