//! Starts the gate, the poll of the clone, and the amnesties.

use std::path::Path;

use actix::{Actor, Addr, Recipient};
use cis490_shared::latest::Latest;
use cis490_shared::step::Step;
use tracing::warn;

use crate::actors::file_watch::{FileWatchActor, Reload};
use crate::actors::gate::{GateActor, ReplaceWindow};
use crate::actors::git_poll::{GitPollActor, Poll};
use crate::config::GateConfig;
use crate::gate::amnesty::Amnesties;
use crate::gate::amnesty_file::{self, AmnestyFile};
use crate::gate::rev_list::RevList;
use crate::gate::window::Gate;
use crate::gate::window_file::{Source, WindowFile};
use crate::io_thread::IoThread;

/// The gate and the actors that keep it current.
pub(super) struct GateActors {
    pub(super) view: Latest<Gate>,
    pub(super) gate: Addr<GateActor>,
    pub(super) polls: Addr<GitPollActor>,
    /// The amnesties; `None` if the gate is off, because then every commit is admitted.
    pub(super) amnesties: Option<Addr<FileWatchActor<AmnestyFile>>>,
}

/// Starts the gate with the window of the last run, and reads the clone and the amnesties once.
pub(super) async fn start(config: &GateConfig, state_dir: &Path) -> GateActors {
    let mut gate = Gate::new(config.enabled, config.window);
    let mut amnesties = None;
    if config.enabled {
        let (admitted, actor) = start_amnesties(state_dir).await;
        gate = gate.with_amnesties(admitted);
        amnesties = Some(actor);
    }
    let source = Source {
        repo_path: config.repo_path.clone(),
        reference: config.reference.clone(),
        window: config.window,
    };
    let window_file = WindowFile { path: state_dir.join("gate.json"), source };
    let kept = window_file.load().unwrap_or_else(|error| {
        warn!(%error, path = %window_file.path.display(), "cannot read the saved commit window, ignoring it");
        None
    });
    if let Some(reading) = kept.clone()
        && Step::KeepWindow.is_taken()
    {
        gate = gate.with_window(reading);
    }
    let view = Latest::new(gate);
    let gate = GateActor::new(view.clone()).start();
    let rev_list = RevList::new(config, IoThread::start("git-poll"));
    let replace: Recipient<ReplaceWindow> = gate.clone().recipient();
    let kept = kept.map(|reading| reading.window);
    let names_a_clone = rev_list.names_a_clone();
    let polls = GitPollActor::new(rev_list, config.poll_interval(), window_file, kept, replace).start();
    if names_a_clone {
        // The actor logs a failure, and requests get 503 while there is no window.
        let _ = polls.send(Poll).await;
    }
    GateActors { view, gate, polls, amnesties }
}

/// Reads the amnesties before the first request.
async fn start_amnesties(state_dir: &Path) -> (Latest<Amnesties>, Addr<FileWatchActor<AmnestyFile>>) {
    let file = AmnestyFile::at(amnesty_file::path_in(state_dir));
    let actor = FileWatchActor::new(file, Amnesties::default(), IoThread::start("amnesties"));
    let (amnesties, actor) = (actor.latest(), actor.start());
    // The actor logs a failure; then no commit is admitted by name.
    let _ = actor.send(Reload).await;
    (amnesties, actor)
}
