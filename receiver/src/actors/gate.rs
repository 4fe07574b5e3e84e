//! GateActor: keeps the version gate current.
//!
//! - owns: the published [`Gate`] with its commit window; no other code publishes a gate
//! - accepts: [`ReplaceWindow`], Ping
//! - sends to: nobody; requests read the published gate without waiting for the actor
//! - runs on: the system's arbiter; it does no I/O, so it always answers at once
//! - ends: with its System

use actix::{Actor, Context, Handler, Message};
use cis490_shared::clock::system_time;
use cis490_shared::ids::CommitHash;
use cis490_shared::latest::Latest;
use tracing::warn;

use super::Ping;
use crate::gate::window::{Gate, WindowReading};

/// The most commits in one warning, so that its shell command stays readable.
const NAMED: usize = 20;

/// A new window. Sent by GitPollActor after each successful poll; the next verdict uses it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceWindow(pub WindowReading);

/// See the module's documentation.
#[derive(Debug)]
pub struct GateActor {
    view: Latest<Gate>,
}

impl GateActor {
    /// Creates an actor that publishes to this view, which may already hold a window of the last run.
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

/// Warns about commits in use that left the window, before their hosts are refused. A merge of a long side branch can
/// remove many at once.
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
