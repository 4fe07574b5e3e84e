//! AmnestyActor: keeps the list of commits that are admitted by name current.
//!
//! - owns: what it last saw of admitted.json, which `cis490-receiver admit` rewrites
//! - accepts: [`Look`], Ping
//! - sends to: GateActor ([`ReplaceAmnesties`]), only where the list is another than it was
//! - runs on: the system's arbiter; the file is touched on a thread of its own
//! - ends: with its System
//!
//! A list that cannot be used changes nothing: the last good one stays in force, and the log says so once. It also says
//! when an entry ends by itself. There is none while the gate is off: then nothing has to be admitted by name.

use std::time::{Duration, SystemTime};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient,
    ResponseActFuture, WrapFuture, fut,
};
use cis490_shared::clock::system_time;
use tokio::time::Instant;
use tracing::{error, info};

use super::Ping;
use super::gate::ReplaceAmnesties;
use crate::gate::amnesty::Amnesties;
use crate::gate::amnesty_file::{AmnestyFile, AmnestyFileError};
use crate::looker::{Looker, PATIENCE};

/// How often the file is looked at. `admit` says that a change counts within five seconds.
const LOOK: Duration = Duration::from_secs(2);

/// What to do about a file system that does not answer.
const HANGS: &str =
    "the file system of the state directory does not answer: `findmnt --target DIR`, `dmesg | tail`";

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
    /// When that began.
    began: Instant,
    looker: Looker,
    gate: Recipient<ReplaceAmnesties>,
    /// The list that counts.
    list: Amnesties,
    /// Up to here it was said which entries have ended.
    told: SystemTime,
    /// What was last said to be wrong with the file, while it is.
    problem: Option<String>,
}

impl AmnestyActor {
    /// An actor that looks at this file; the first look is asked for by whoever starts it.
    pub fn new(file: AmnestyFile, looker: Looker, gate: Recipient<ReplaceAmnesties>) -> Self {
        let (began, told) = (Instant::now(), system_time());
        Self { file: Some(file), began, looker, gate, list: Amnesties::default(), told, problem: None }
    }

    /// Logs a problem when it begins.
    fn note(&mut self, problem: String, help: &str) {
        if self.problem.as_ref() != Some(&problem) {
            error!(error = %problem, entries = self.list.all().len(), help, "the list of admitted commits cannot be used, the last good one stays in force");
        }
        self.problem = Some(problem);
    }

    /// Takes in what a look has found: what GateActor is to know, if anything.
    fn conclude(&mut self, looked: Result<Option<Amnesties>, AmnestyFileError>) -> Option<Amnesties> {
        match looked {
            Ok(changed) => {
                if self.problem.take().is_some() {
                    info!("the list of admitted commits can be used again");
                }
                let list = changed?;
                // No file, as nearly always, is nothing to tell at every start.
                if list != self.list {
                    let entries = list.all().len();
                    info!(entries, "the list of admitted commits has changed and is in force");
                }
                self.list.clone_from(&list);
                Some(list)
            }
            Err(failure) => {
                self.note(failure.to_string(), failure.remedy());
                None
            }
        }
    }

    /// Says which entries have ended since the last look: from now on their episodes are refused.
    fn tell_of_ends(&mut self, now: SystemTime) {
        for ended in self.list.in_force(self.told).filter(|amnesty| amnesty.is_over(now)) {
            let host_id = ended.host.as_ref().map(tracing::field::display);
            info!(commit = %ended.commit, host_id, reason = %ended.reason, "an amnesty has ended");
        }
        self.told = now;
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
        if self.file.is_some() {
            let look = self.handle(Look, ctx).map(|_, _, _| ());
            ctx.spawn(look);
        } else if self.began.elapsed() > PATIENCE {
            self.note(format!("a look at the file has taken more than {PATIENCE:?} and goes on"), HANGS);
        }
        ctx.run_later(LOOK, |_, ctx| ctx.notify(Tick));
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
        self.began = Instant::now();
        let looked = self.looker.look(move || {
            let looked = file.read_if_changed();
            (file, looked)
        });
        Box::pin(looked.into_actor(self).then(|looked, act, ctx| {
            let (mut is_good, mut changed) = (false, None);
            if let Ok((file, looked)) = looked {
                act.file = Some(file);
                act.tell_of_ends(system_time());
                is_good = looked.is_ok();
                changed = act.conclude(looked);
            } else {
                // A panic is printed where it happens; the watchdog finds the mailbox closed and ends the process.
                ctx.stop();
            }
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
