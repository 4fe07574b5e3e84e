//! `GET /v1/health` for machines and people, `POST /v1/ping` for hosts.

use std::time::{Duration, SystemTime};

use actix_web::{HttpResponse, web};
use cis490_shared::certificate::Remaining;
use cis490_shared::clock::{WallTime, system_time};
use cis490_shared::wire::answer::{GateAnswer, PingAnswer};
use serde::Serialize;

use super::api::Api;
use super::connections::ConnectionsObservation;
use super::gate::gate_answer;
use super::refusal::Refusal;
use crate::actors::git_poll;
use crate::ingest::admission::AdmissionObservation;
use crate::ingest::upload::DiskTurns;
use crate::store::condition::Condition;

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
pub(super) struct Health {
    /// `ok`; `degraded`: uploads are taken but somebody should look; `unavailable`: they are not.
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
    gate: GateHealth,
    index: IndexHealth,
    store: StoreHealth,
    /// Only where there is a report of cis490-verify.
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<VerifyHealth>,
    uploads: UploadHealth,
    connections: ConnectionsObservation,
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
struct StoreHealth {
    /// Why uploads cannot be taken, or soon not.
    problem: Option<&'static str>,
    last_stored: Option<WallTime>,
    last_failure: Option<WallTime>,
    free_bytes: Option<u64>,
    /// None on a file system that does not count them.
    free_files: Option<u64>,
    /// Archives that the start found without a row, and that are still to be read.
    without_row: usize,
    /// Those of them that cannot be read; the log says why.
    unreadable: usize,
}

#[derive(Debug, Serialize)]
struct VerifyHealth {
    /// When the last run ended.
    ended: Option<WallTime>,
    /// Errors and warnings that it found.
    findings: u64,
    /// Archives that it called damaged.
    damaged: usize,
    /// No run has ended for more than eight days.
    overdue: bool,
}

#[derive(Debug, Serialize)]
struct UploadHealth {
    #[serde(flatten)]
    admission: AdmissionObservation,
    #[serde(flatten)]
    turns: DiskTurns,
}

/// Liveness and readiness: 200 while uploads can be taken, else 503.
pub async fn health(api: web::Data<Api>) -> HttpResponse {
    match observe(&api).await {
        Ok(health) if health.status == "unavailable" => HttpResponse::ServiceUnavailable().json(health),
        Ok(health) => HttpResponse::Ok().json(health),
        Err(refusal) => api.refuse(&refusal),
    }
}

/// Gathers the health of every part from the values that the actors publish.
pub(super) async fn observe(api: &Api) -> Result<Health, Refusal> {
    let gate = api.gate.now().state();
    let polls = api.observe_polls.send(git_poll::Observe).await.map_err(|_| Refusal::Gone)?;
    let (index, condition) = (api.appending.now(), api.records.condition.now());
    let tls = api.tls.as_ref().map(|tls| tls_health(tls.now().expires));
    let (store, verify) = (store_health(api, &condition), verify_health(&condition));
    let needs_somebody = polls.problem.is_some()
        || store.unreadable > 0
        || verify.as_ref().is_some_and(|verify| verify.overdue || verify.findings > 0)
        || tls.as_ref().is_some_and(|tls| tls.expires_soon);
    let takes_uploads = gate.is_ready() && !index.failing && store.problem.is_none();
    let status = match (takes_uploads, needs_somebody) {
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
        index: IndexHealth { rows: api.records.len(), appended: index.appended, failing: index.failing },
        store,
        verify,
        uploads: UploadHealth { admission: api.admission.observe(), turns: api.ingest.turns() },
        connections: api.connections.observe(),
        tls,
    })
}

/// Describes the disk from the last inspection. Asking a disk that hangs would make health hang too.
fn store_health(api: &Api, condition: &Condition) -> StoreHealth {
    let told = api.storing.told();
    let free_files = condition.room.and_then(|room| room.files);
    let free_bytes = condition.room.map(|room| room.bytes);
    let problems = [
        (condition.hangs(), "the disk does not answer"),
        (told.fails, "the disk failed, and nothing was stored since"),
        (free_files == Some(0), "no file can be created any more"),
        (free_bytes.is_some_and(|free| free <= api.rules.min_free_bytes), "the disk is full"),
    ];
    let problem = problems.into_iter().find_map(|(is_so, problem)| is_so.then_some(problem));
    StoreHealth {
        problem,
        last_stored: told.last_success.map(WallTime::from),
        last_failure: told.last_failure.map(WallTime::from),
        free_bytes,
        free_files,
        without_row: api.repairing.waiting(),
        unreadable: api.repairing.failed(),
    }
}

/// A week, and a day for a store that takes long to read.
const VERIFY_DUE: Duration = Duration::from_hours(8 * 24);

fn verify_health(condition: &Condition) -> Option<VerifyHealth> {
    let verified = condition.verified.as_ref()?;
    let age = verified.ended.map(|ended| ended.age(system_time()));
    Some(VerifyHealth {
        ended: verified.ended.map(WallTime::from),
        findings: verified.findings,
        damaged: verified.damaged.len(),
        overdue: age.is_none_or(|age| age > VERIFY_DUE),
    })
}

fn tls_health(expires: SystemTime) -> TlsHealth {
    let remaining = Remaining::of(expires, system_time());
    TlsHealth { certificate_expires: expires.into(), expires_soon: remaining.is_short() }
}
