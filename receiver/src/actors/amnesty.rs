//! AmnestyActor: keeps the list of commits that are admitted by name current.
//!
//! - owns: what it last saw of admitted.json, which `cis490-receiver admit` rewrites
//! - accepts: [`Look`], Ping, Drain
//! - sends to: GateActor ([`ReplaceAmnesties`]), only where the list is another than it was
//! - runs on: the system's arbiter; the file is touched in the blocking pool
//! - ends: with its System
//!
//! A list that cannot be used changes nothing: the last good one stays in force, and the log says so once. There is none
//! while the gate is off: then nothing has to be admitted by name.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient,
    ResponseActFuture, WrapFuture, fut,
};
use tokio::task::spawn_blocking;
use tracing::{error, info};

use super::gate::ReplaceAmnesties;
use super::{Drain, Ping};
use crate::gate::amnesty::Amnesties;
use crate::gate::amnesty_file::{AmnestyFile, AmnestyFileError};

/// How often the file is looked at. `admit` says that a change counts within five seconds.
const LOOK: Duration = Duration::from_secs(2);

/// Looks at the file now; the reply comes when GateActor knows what it says. True where it can be used.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Look;

/// The timer: looks, then arms itself again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

/// See the module's documentation.
#[derive(Debug)]
pub struct AmnestyActor {
    /// None while it is being looked at.
    file: Option<AmnestyFile>,
    gate: Recipient<ReplaceAmnesties>,
    /// How many entries the list that counts has.
    entries: usize,
    /// What was last said to be wrong with the file, while it is.
    problem: Option<String>,
}

impl AmnestyActor {
    /// An actor that looks at this file; the first look is asked for by whoever starts it.
    pub fn new(file: AmnestyFile, gate: Recipient<ReplaceAmnesties>) -> Self {
        Self { file: Some(file), gate, entries: 0, problem: None }
    }

    /// Takes in what a look has found: what GateActor is to know, if anything.
    fn conclude(&mut self, looked: Result<Option<Amnesties>, AmnestyFileError>) -> Option<Amnesties> {
        match looked {
            Ok(changed) => {
                if self.problem.take().is_some() {
                    info!("the list of admitted commits can be used again");
                }
                let list = changed?;
                let entries = list.all().len();
                // No file, as nearly always, is nothing to tell at every start.
                if entries > 0 || self.entries > 0 {
                    info!(entries, "the list of admitted commits has changed and is in force");
                }
                self.entries = entries;
                Some(list)
            }
            Err(failure) => {
                let problem = failure.to_string();
                if self.problem.as_ref() != Some(&problem) {
                    error!(error = %problem, entries = self.entries, help = failure.remedy(), "the list of admitted commits cannot be used, the last good one stays in force");
                }
                self.problem = Some(problem);
                None
            }
        }
    }
}

impl Actor for AmnestyActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(LOOK, |_, ctx| ctx.notify(Tick));
    }
}

impl Handler<Tick> for AmnestyActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        let rearm = self.handle(Look, ctx).map(|_, _, ctx| {
            ctx.run_later(LOOK, |_, ctx| ctx.notify(Tick));
        });
        ctx.spawn(rearm);
    }
}

impl Handler<Look> for AmnestyActor {
    // Runs beside other messages: a file system that hangs must not keep Ping from being answered.
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Look, _: &mut Self::Context) -> Self::Result {
        // Somebody is looking already; what he finds is as new as what we would.
        let Some(mut file) = self.file.take() else {
            let is_good = self.problem.is_none();
            return Box::pin(async move { is_good }.into_actor(self));
        };
        let looked = spawn_blocking(move || {
            let looked = file.read_if_changed();
            (file, looked)
        });
        Box::pin(looked.into_actor(self).then(|looked, act, ctx| {
            let (is_good, changed) = match looked {
                Ok((file, looked)) => {
                    act.file = Some(file);
                    (looked.is_ok(), act.conclude(looked))
                }
                // A panic is printed where it happens; the watchdog finds the mailbox closed and ends the process.
                Err(_) => {
                    ctx.stop();
                    (false, None)
                }
            };
            let gate = act.gate.clone();
            fut::wrap_future(async move {
                match changed {
                    Some(list) => gate.send(ReplaceAmnesties(list)).await.is_ok(),
                    None => is_good,
                }
            })
        }))
    }
}

impl Handler<Ping> for AmnestyActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Drain> for AmnestyActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
