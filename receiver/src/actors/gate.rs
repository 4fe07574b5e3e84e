//! GateActor: keeps the version gate current.
//!
//! - owns: the published [`Gate`], that is the commit window: it alone publishes others
//! - accepts: [`ReplaceWindow`], Ping
//! - sends to: nobody; whoever needs a verdict reads what it has published, without waiting for it
//! - runs on: the system's arbiter; it never does I/O, so it always answers at once
//! - ends: with its System

use actix::{Actor, Context, Handler, Message};
use cis490_shared::clock::system_time;
use cis490_shared::ids::CommitHash;
use cis490_shared::latest::Latest;
use tracing::warn;

use super::Ping;
use crate::gate::window::{Gate, WindowReading};

/// The most commits that one warning names, as many as a shell takes in a line that a person can still read.
const NAMED: usize = 20;

/// Sent by GitPollActor with every window that it read; the next verdict is given by it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceWindow(pub WindowReading);

/// See the module's documentation.
#[derive(Debug)]
pub struct GateActor {
    view: Latest<Gate>,
}

impl GateActor {
    /// An actor that publishes to this view, which may show a window of the last run.
    pub fn new(view: Latest<Gate>) -> Self {
        Self { view }
    }
}

impl Actor for GateActor {
    type Context = Context<Self>;
}

impl Handler<ReplaceWindow> for GateActor {
    type Result = ();

    fn handle(&mut self, ReplaceWindow(reading): ReplaceWindow, _: &mut Self::Context) {
        let gate = self.view.now();
        let taken_away = gate.taken_away(&reading.window, system_time());
        self.view.publish(gate.with_window(reading));
        if !taken_away.is_empty() {
            warn_of(&taken_away);
        }
    }
}

/// Says which commits hosts will be refused for, before they are: a merge of a long side branch can take them all at once.
fn warn_of(commits: &[CommitHash]) {
    const HELP: &str =
        "if their episodes are to be taken, run `command`, or raise version_gate.window in receiver.toml";
    let named: Vec<_> = commits.iter().take(NAMED).map(CommitHash::as_str).collect();
    let command = format!(
        "for commit in {}; do sudo cis490-receiver admit $commit --until 7d --reason 'used when it left the window'; done",
        named.join(" ")
    );
    warn!(
        commits = commits.len(),
        named = named.len(),
        command,
        help = HELP,
        "commits in use have left the window"
    );
}

impl Handler<Ping> for GateActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}
