//! `GET /v1/health` for machines and people, `POST /v1/ping` for hosts.

use std::time::SystemTime;

use actix_web::{HttpResponse, web};
use cis490_shared::certificate::Remaining;
use cis490_shared::clock::{WallTime, system_time};
use cis490_shared::wire::answer::{GateAnswer, PingAnswer};
use serde::Serialize;

use super::api::Api;
use super::gate::gate_answer;
use super::refusal::Refusal;
use crate::actors::{git_poll, index_writer};

/// Proves the whole path and writes nothing.
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().json(PingAnswer {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server_time: WallTime::now(),
    })
}

/// The body of `GET /v1/health`. It is public, so it names kinds of problems and no paths.
#[derive(Debug, Serialize)]
struct Health {
    /// `ok`; `degraded`: uploads are taken but somebody should look; `unavailable`: they are not.
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
    gate: GateHealth,
    index: IndexHealth,
    uploads: UploadHealth,
    /// Only where the receiver speaks TLS itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsHealth>,
}

#[derive(Debug, Serialize)]
struct TlsHealth {
    /// When the receiver's own certificate ends.
    certificate_expires: WallTime,
    /// Within two weeks.
    expires_soon: bool,
}

#[derive(Debug, Serialize)]
struct GateHealth {
    #[serde(flatten)]
    window: GateAnswer,
    /// Why the clone cannot be read now; the last window stays in force.
    problem: Option<&'static str>,
    polls_succeeded: u64,
    polls_failed: u64,
}

#[derive(Debug, Serialize)]
struct IndexHealth {
    rows: usize,
    appended: u64,
    failing: bool,
}

#[derive(Debug, Serialize)]
struct UploadHealth {
    in_flight: usize,
}

/// Liveness and readiness: 200 while uploads can be taken, else 503.
pub async fn health(api: web::Data<Api>) -> HttpResponse {
    match look(&api).await {
        Ok(health) if health.status == "unavailable" => HttpResponse::ServiceUnavailable().json(health),
        Ok(health) => HttpResponse::Ok().json(health),
        Err(refusal) => api.refuse(&refusal),
    }
}

async fn look(api: &Api) -> Result<Health, Refusal> {
    let gate = api.gate.now().state();
    let polls = api.observe_polls.send(git_poll::Observe).await.map_err(|_| Refusal::Gone)?;
    let index = api.observe_index.send(index_writer::Observe).await.map_err(|_| Refusal::Gone)?;
    let tls = api.tls.as_ref().map(|tls| tls_health(tls.now().expires));
    let needs_somebody = polls.problem.is_some() || tls.as_ref().is_some_and(|tls| tls.expires_soon);
    let status = match (gate.is_ready() && !index.failing, needs_somebody) {
        (false, _) => "unavailable",
        (true, true) => "degraded",
        (true, false) => "ok",
    };
    Ok(Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: api.started.elapsed().as_secs(),
        gate: GateHealth {
            window: gate_answer(&gate),
            problem: polls.problem,
            polls_succeeded: polls.succeeded,
            polls_failed: polls.failed,
        },
        index: IndexHealth { rows: index.rows, appended: index.appended, failing: index.failing },
        uploads: UploadHealth { in_flight: api.admission.in_flight() },
        tls,
    })
}

fn tls_health(expires: SystemTime) -> TlsHealth {
    let remaining = Remaining::of(expires, system_time());
    TlsHealth { certificate_expires: expires.into(), expires_soon: remaining.is_short() }
}
