//! Starts what decides about commits: the gate, the poll of the clone, the amnesties.

use std::path::Path;

use actix::{Actor, Addr, Recipient};
use cis490_shared::latest::Latest;
use cis490_shared::step::Step;
use tracing::warn;

use crate::actors::amnesty::{AmnestyActor, Look};
use crate::actors::gate::{GateActor, Replace, ReplaceAmnesties};
use crate::actors::git_poll::{GitPollActor, Poll};
use crate::config::GateConfig;
use crate::gate::amnesty_file::{self, AmnestyFile};
use crate::gate::rev_list::RevList;
use crate::gate::snapshot::{SnapshotFile, Source};
use crate::gate::window::Gate;
use crate::looker::Looker;

/// Starts the gate with the window of the last run, and reads the clone once.
pub(super) async fn start(
    config: &GateConfig,
    state_dir: &Path,
) -> (Latest<Gate>, Addr<GateActor>, Addr<GitPollActor>) {
    let mut gate = Gate::new(config.enabled, config.window);
    let source = Source {
        repo_path: config.repo_path.clone(),
        reference: config.reference.clone(),
        window: config.window,
    };
    let snapshot = SnapshotFile { path: state_dir.join("gate.json"), source };
    let kept = snapshot.load().unwrap_or_else(|error| {
        warn!(%error, path = %snapshot.path.display(), "the kept commit window cannot be read, it is ignored");
        None
    });
    if let Some(current) = kept.clone()
        && Step::KeepWindow.is_taken()
    {
        gate = gate.with_window(current);
    }
    let view = Latest::new(gate);
    let gate = GateActor::new(view.clone()).start();
    let rev_list = RevList {
        git: "git".into(),
        repo: config.repo_path.clone(),
        reference: config.reference.clone(),
        window: config.window,
        timeout: config.git_timeout(),
        looker: Looker::start("git-poll"),
    };
    let replace: Recipient<Replace> = gate.clone().recipient();
    let kept = kept.map(|current| current.window);
    let names_a_clone = rev_list.names_a_clone();
    let polls = GitPollActor::new(rev_list, config.poll_interval(), snapshot, kept, replace).start();
    if names_a_clone {
        // Its failure is logged by the actor and answered with 503 as long as there is no window.
        let _ = polls.send(Poll).await;
    }
    (view, gate, polls)
}

/// Reads what is admitted by name before anybody can ask. A gate that is off refuses nobody, and needs no such list.
pub(super) async fn start_amnesties(
    config: &GateConfig,
    state_dir: &Path,
    gate: &Addr<GateActor>,
) -> Option<Addr<AmnestyActor>> {
    if !config.enabled {
        return None;
    }
    let file = AmnestyFile::at(amnesty_file::path_in(state_dir));
    let replace: Recipient<ReplaceAmnesties> = gate.clone().recipient();
    let amnesties = AmnestyActor::new(file, Looker::start("amnesties"), replace).start();
    // Its failure is logged by the actor: then nothing is admitted by name.
    let _ = amnesties.send(Look).await;
    Some(amnesties)
}
