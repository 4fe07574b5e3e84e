//! `GET /v1/gate` and `GET /v1/gate/{commit}`: what the version gate would say.

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

/// The window as a whole, and for readers what is admitted by name: a host learns of its own when it asks for the commit.
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

/// The answer that a state means; also a part of `/v1/health`, which anybody may read.
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

/// Whether an episode of one commit would be taken now, from the host that asks.
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
    // A gate that is not ready condemns nobody, so there is nothing to remedy on the host. One that is off never will.
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

/// Seconds, to a tenth, since a moment of the past; 0 where the clock was set back meanwhile.
fn seconds_since(moment: SystemTime) -> f64 {
    let elapsed = clock::system_time().duration_since(moment).unwrap_or_default();
    (elapsed.as_secs_f64() * 10.0).round() / 10.0
}
