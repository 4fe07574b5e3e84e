//! `PUT /v1/host-health/{host}` and `GET /v1/host-health`. Never gated: a sick host must be able to say so.

use actix_web::{HttpRequest, HttpResponse, web};
use cis490_shared::clock::WallTime;
use cis490_shared::ids::HostId;
use cis490_shared::wire::answer::HostHealthAnswer;
use cis490_shared::wire::path::HOST_HEALTH;
use serde_json::{Map, Value, json};

use super::api::{Api, blocking};
use super::body::{Interrupted, PacedBody, ends_where_declared};
use super::refusal::Refusal;
use crate::store::host_reports::HostReport;

/// The longest report, in bytes (protocol section 2).
const MAX_REPORT_BYTES: usize = 256 * 1024;

/// Keeps one host's report in place of its last.
pub async fn put(request: HttpRequest, body: web::Payload, api: web::Data<Api>) -> HttpResponse {
    match store(&request, body, &api).await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => api.refuse(&refusal),
    }
}

async fn store(request: &HttpRequest, body: web::Payload, api: &Api) -> Result<HostHealthAnswer, Refusal> {
    let raw_host = request.uri().path().strip_prefix(HOST_HEALTH).and_then(|tail| tail.strip_prefix('/'));
    let host_id = HostId::parse(raw_host.unwrap_or_default()).map_err(Refusal::HostId)?;
    let report = read(request, body, api).await?;
    let report = HostReport { received_at_wall: WallTime::now(), report };
    let (reports, host) = (api.reports.clone(), host_id.clone());
    blocking(move || reports.store(&host, &report)).await?;
    Ok(HostHealthAnswer { status: "stored".to_owned(), host_id })
}

async fn read(request: &HttpRequest, body: web::Payload, api: &Api) -> Result<Map<String, Value>, Refusal> {
    let limit = MAX_REPORT_BYTES as u64;
    let declared =
        request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    if let Some(length) = declared.filter(|length: &u64| *length > limit) {
        return Err(Refusal::TooLarge { length, limit });
    }
    ends_where_declared(request.headers())?;
    let mut body = PacedBody::new(body, api.rules.pace);
    let mut text = Vec::new();
    loop {
        let bytes = match body.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            Err(Interrupted::TooSlow(refusal)) => return Err(refusal),
            Err(Interrupted::Broken(_)) => return Err(Refusal::Report("its body broke off")),
        };
        text.extend_from_slice(&bytes);
        if text.len() > MAX_REPORT_BYTES {
            return Err(Refusal::TooLarge { length: text.len() as u64, limit });
        }
    }
    serde_json::from_slice(&text).map_err(|_| Refusal::Report("it is not a JSON object"))
}

/// All reports, the newest of each host.
pub async fn list(api: web::Data<Api>) -> HttpResponse {
    let reports = api.reports.clone();
    match blocking(move || reports.load_all()).await {
        Ok(hosts) => HttpResponse::Ok().json(json!({ "hosts": hosts })),
        Err(refusal) => api.refuse(&refusal),
    }
}
