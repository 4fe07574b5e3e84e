//! `GET /v1/gate` and `GET /v1/gate/{commit}`: what the version gate would say.

use std::time::SystemTime;

use actix_web::{HttpResponse, web};
use cis490_shared::clock;
use cis490_shared::ids::CommitHash;
use cis490_shared::wire::answer::{CommitAnswer, GateAnswer};

use super::api::Api;
use super::refusal::Refusal;
use crate::gate::window::{ClaimedCommit, GateState, Verdict};

/// The window as a whole.
pub async fn describe(api: web::Data<Api>) -> HttpResponse {
    HttpResponse::Ok().json(gate_answer(&api.gate.now().state()))
}

/// The answer that a state means; also a part of `/v1/health`.
pub fn gate_answer(state: &GateState) -> GateAnswer {
    GateAnswer {
        enabled: state.enabled,
        ready: state.is_ready(),
        window: state.size,
        commits: state.commits,
        head_commit: state.head.clone(),
        polled_s_ago: state.read_at.map(seconds_since),
    }
}

/// Whether an episode of one commit would be taken now.
pub async fn check(commit: web::Path<String>, api: web::Data<Api>) -> HttpResponse {
    match ask(&commit, &api) {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => api.refuse(&refusal),
    }
}

fn ask(commit: &str, api: &Api) -> Result<CommitAnswer, Refusal> {
    let commit = CommitHash::parse(commit).map_err(Refusal::CommitInPath)?;
    let claimed = ClaimedCommit::Named(commit.clone());
    let gate = api.gate.now();
    let (verdict, state) = (gate.check(claimed), gate.state());
    let (admitted, position) = match verdict {
        Verdict::Admitted { position, .. } => (true, position.map(|place| place.position)),
        Verdict::Refused(_) => (false, None),
    };
    // A gate that is not ready condemns nobody, so there is nothing to remedy on the host.
    let remediation = (!admitted && state.is_ready()).then(|| api.rules.remediation.clone());
    Ok(CommitAnswer {
        commit,
        admitted,
        position,
        window: state.size,
        head_commit: state.head,
        polled_s_ago: state.read_at.map(seconds_since),
        remediation,
    })
}

/// Seconds, to a tenth, since a moment of the past; 0 where the clock was set back meanwhile.
fn seconds_since(moment: SystemTime) -> f64 {
    let elapsed = clock::system_time().duration_since(moment).unwrap_or_default();
    (elapsed.as_secs_f64() * 10.0).round() / 10.0
}
