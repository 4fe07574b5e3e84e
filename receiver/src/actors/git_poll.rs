//! GitPollActor: reads the maintainer's clone on a timer.
//!
//! - owns: the poll, the state of its last attempt, gate.json
//! - accepts: [`Poll`], [`Observe`], Ping
//! - sends to: GateActor ([`ReplaceWindow`]), only after a successful poll: a failing git changes nothing
//! - runs on: the system's arbiter; git is a child process, a separate thread reads and writes the files
//! - ends: with its System

use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, Recipient,
    ResponseActFuture, WrapFuture, fut,
};
use cis490_shared::clock;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::Ping;
use super::gate::ReplaceWindow;
use crate::gate::advice::remedy;
use crate::gate::rev_list::{PollError, RevList};
use crate::gate::window::{Window, WindowReading};
use crate::gate::window_file::WindowFile;
use crate::io_thread::IoThread;

/// Asks for a poll now. The reply comes when the poll has ended and GateActor has its window, or when the poll hangs.
/// It is true if the clone was read. If a poll is already under way, no other starts, and the reply is true if polling
/// has no problem.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Poll;

/// Asks for the state of polling.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "PollObservation")]
pub struct Observe;

/// The state of polling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollObservation {
    /// The number of polls that read the clone.
    pub succeeded: u64,
    /// The number of polls that failed.
    pub failed: u64,
    /// The kind of the last failure; `None` unless the last poll failed.
    pub problem: Option<&'static str>,
}

/// The timer: polls, then arms itself again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

/// A window that was read, and whether it still has to be written to gate.json.
struct Read {
    reading: WindowReading,
    unkept: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct GitPollActor {
    rev_list: RevList,
    interval: Duration,
    window_file: WindowFile,
    gate: Recipient<ReplaceWindow>,
    /// The window of the last successful read.
    last: Option<Window>,
    /// The window in gate.json, so that an unchanged window is not written again.
    kept: Option<Window>,
    /// The start of the poll that is under way.
    began: Option<Instant>,
    /// The kinds of failure logged since the clone was last read. A list, because a slow disk may alternate between two
    /// kinds.
    told: Vec<&'static str>,
    seen: PollObservation,
}

impl GitPollActor {
    /// Creates an actor that polls every `interval`. `kept` is the window that gate.json already holds.
    pub fn new(
        rev_list: RevList,
        interval: Duration,
        window_file: WindowFile,
        kept: Option<Window>,
        gate: Recipient<ReplaceWindow>,
    ) -> Self {
        Self {
            rev_list,
            interval,
            window_file,
            gate,
            last: kept.clone(),
            kept,
            began: None,
            told: Vec::new(),
            seen: PollObservation::default(),
        }
    }

    /// Counts a failed poll. Logs it unless a failure of this kind was logged since the clone was last read.
    fn note_failure(&mut self, failure: &PollError) {
        self.seen.failed += 1;
        self.seen.problem = Some(failure.kind());
        if !self.told.contains(&failure.kind()) {
            self.told.push(failure.kind());
            warn!(error = %failure, help = remedy(failure, &self.rev_list), "the maintainer's clone cannot be read, the last window stays in force");
        }
    }

    /// Records that the poll under way hangs, if it does. Returns true if polling has no problem.
    fn note_if_it_hangs(&mut self) -> bool {
        let limit = self.rev_list.patience();
        if self.began.is_some_and(|began| began.elapsed() >= limit) {
            self.note_failure(&PollError::Hangs { repo: self.rev_list.repo.clone(), limit });
        }
        self.seen.problem.is_none()
    }

    /// Starts a poll; `tell` receives true if the clone was read and GateActor has the window.
    fn begin(&mut self, tell: oneshot::Sender<bool>, ctx: &mut Context<Self>) {
        self.began = Some(Instant::now());
        let (rev_list, last) = (self.rev_list.clone(), self.last.clone());
        let read = fut::wrap_future::<_, Self>(async move { rev_list.read(last.as_ref()).await });
        let poll = read.then(|outcome, act, ctx: &mut Context<Self>| {
            if matches!(outcome, Err(PollError::Gone(_))) {
                // The watchdog finds the mailbox closed and ends the process.
                ctx.stop();
            }
            let read = act.conclude(outcome);
            let (gate, window_file) = (act.gate.clone(), act.window_file.clone());
            let thread = act.rev_list.thread.clone();
            fut::wrap_future(async move {
                let Some(Read { reading, unkept }) = read else { return (false, None) };
                let taken = gate.send(ReplaceWindow(reading.clone())).await.is_ok();
                let window = reading.window.clone();
                let is_kept = unkept && store(&thread, window_file, reading).await;
                (taken, is_kept.then_some(window))
            })
        });
        ctx.spawn(poll.map(|(taken, kept), act, _| {
            act.kept = kept.or(act.kept.take());
            act.began = None;
            // The requester may be gone.
            let _ = tell.send(taken);
        }));
    }

    /// Records the result of a poll; returns the window for GateActor if the clone was read.
    fn conclude(&mut self, outcome: Result<Window, PollError>) -> Option<Read> {
        let window = match outcome {
            Ok(window) => window,
            Err(failure) => {
                self.note_failure(&failure);
                return None;
            }
        };
        self.seen.succeeded += 1;
        self.told.clear();
        if self.seen.problem.take().is_some() {
            info!("the maintainer's clone can be read again");
        }
        if self.last.as_ref() != Some(&window) {
            info!(head = %window.head(), commits = window.commits().len(), "the commit window moved");
        }
        self.last = Some(window.clone());
        let unkept = self.kept.as_ref() != Some(&window);
        Some(Read { reading: WindowReading { window, read_at: clock::system_time() }, unkept })
    }
}

impl Actor for GitPollActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if !self.rev_list.names_a_clone() {
            return;
        }
        ctx.run_later(self.interval, |_, ctx| ctx.notify(Tick));
    }
}

impl Handler<Tick> for GitPollActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        let began = Instant::now();
        let rearm = self.handle(Poll, ctx).map(move |_, act, ctx| {
            // A commit must count within one interval, so the pause is shorter by the time of the poll.
            let pause = (act.interval * 9 / 10).saturating_sub(began.elapsed());
            ctx.run_later(pause, |_, ctx| ctx.notify(Tick));
        });
        ctx.spawn(rearm);
    }
}

impl Handler<Poll> for GitPollActor {
    // Runs beside other messages, so that a hung git does not block Ping.
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Poll, ctx: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        if self.began.is_none() {
            self.begin(tell, ctx);
        }
        let told = tokio::time::timeout(self.rev_list.patience(), told);
        Box::pin(told.into_actor(self).map(|told, act, _| match told {
            Ok(Ok(taken)) => taken,
            _ => act.note_if_it_hangs(),
        }))
    }
}

/// Writes the window to gate.json. If that fails, a restart during a git outage has no window.
async fn store(thread: &IoThread, window_file: WindowFile, reading: WindowReading) -> bool {
    let path = window_file.path.display().to_string();
    let written = thread.run(move || window_file.store(&reading)).await;
    match written.map_err(std::io::Error::other).and_then(|result| result) {
        Ok(()) => true,
        Err(failure) => {
            error!(error = %failure, %path, "cannot save the commit window");
            false
        }
    }
}

impl Handler<Observe> for GitPollActor {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.seen.clone())
    }
}

impl Handler<Ping> for GitPollActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}
