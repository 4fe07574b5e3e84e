//! `GET /v1/gate` and `GET /v1/gate/{commit}`: the window, and the gate's verdict on a commit.

use std::time::SystemTime;

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use cis490_shared::clock;
use cis490_shared::ids::{CommitHash, HostId};
use cis490_shared::wire::answer::{AdmittedBy, AmnestyAnswer, CommitAnswer, GateAnswer};
use cis490_shared::wire::headers::CommitPosition;

use super::api::Api;
use super::identity::Authorized;
use super::refusal::Refusal;
use crate::gate::amnesty::Amnesty;
use crate::gate::window::{ClaimedCommit, GateState, Verdict};

/// Returns the window and, for readers, the amnesties. A host learns of its own amnesties when it asks for a commit.
pub async fn describe(request: HttpRequest, api: web::Data<Api>) -> HttpResponse {
    let gate = api.gate.now();
    let reads_all = request.extensions().get::<Authorized>().is_some_and(Authorized::reads_all);
    let amnesties =
        reads_all.then(|| gate.amnesties().in_force(clock::system_time()).map(amnesty_answer).collect());
    HttpResponse::Ok().json(GateAnswer { amnesties, ..gate_answer(&gate.state()) })
}

fn amnesty_answer(amnesty: &Amnesty) -> AmnestyAnswer {
    AmnestyAnswer {
        commit: amnesty.commit.clone(),
        host: amnesty.host.clone(),
        until: amnesty.until.map(Into::into),
        reason: amnesty.reason.to_string(),
        by: amnesty.by.to_string(),
        at: amnesty.at.into(),
    }
}

/// Returns the answer for a state; also a part of `/v1/health`, which anybody may read.
pub fn gate_answer(state: &GateState) -> GateAnswer {
    GateAnswer {
        enabled: state.enabled,
        ready: state.is_ready(),
        window: state.size,
        commits: state.commits,
        head_commit: state.head.clone(),
        polled_s_ago: state.read_at.map(seconds_since),
        amnesties: None,
    }
}

/// Answers whether an episode of one commit would be admitted now, from the host that asks.
pub async fn check(request: HttpRequest, commit: web::Path<String>, api: web::Data<Api>) -> HttpResponse {
    let host = request.extensions().get::<Authorized>().and_then(|asking| asking.host(request.headers()));
    match ask(&commit, host.as_ref(), &api) {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => api.refuse(&refusal),
    }
}

fn ask(commit: &str, host: Option<&HostId>, api: &Api) -> Result<CommitAnswer, Refusal> {
    let commit = CommitHash::parse(commit).map_err(Refusal::CommitInPath)?;
    let claimed = ClaimedCommit::Named(commit.clone());
    let gate = api.gate.now();
    let (verdict, state) = (gate.check(claimed, host, clock::system_time()), gate.state());
    let (admitted, place, amnesty) = match verdict {
        Verdict::Admitted { position, .. } => (true, position, None),
        Verdict::UnderAmnesty { amnesty, .. } => (true, None, Some(amnesty)),
        Verdict::Refused(_) => (false, None, None),
    };
    // A gate that is not ready condemns no episode, so the host has nothing to fix. A gate that is off never condemns
    // any.
    let is_ageing = state.enabled && place.is_some_and(CommitPosition::is_ageing);
    let needs_remedy = is_ageing || (!admitted && state.is_ready());
    Ok(CommitAnswer {
        commit,
        admitted,
        position: place.map(|place| place.position),
        window: state.size,
        head_commit: state.head,
        polled_s_ago: state.read_at.map(seconds_since),
        remediation: needs_remedy.then(|| api.rules.remediation.clone()),
        admitted_by: amnesty.map(|amnesty| AdmittedBy {
            reason: amnesty.reason.into(),
            until: amnesty.until.map(Into::into),
            host: amnesty.host,
        }),
    })
}

/// Returns the seconds since a past moment, to a tenth; 0 if the clock was set back meanwhile.
fn seconds_since(moment: SystemTime) -> f64 {
    let elapsed = clock::system_time().duration_since(moment).unwrap_or_default();
    (elapsed.as_secs_f64() * 10.0).round() / 10.0
}
