//! Moves refused episodes back for the QueueActor, once the gate admits their commit.
//!
//! While any waits, the gate is asked about each distinct commit at least once a minute. Nothing is packed or moved
//! until the gate admits the commit. The notes in quarantine are read once at the start and hourly, not at every replay
//! (accident 8).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{
    ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, Message, Recipient,
    SpawnHandle, WrapFuture,
};
use tokio::time::Instant;
use tracing::error;

use super::QueueActor;
use crate::actors::rearm;
use crate::actors::upload::Ask;
use crate::answers::outcome::Outcome;
use crate::policy::awaited::{Awaited, Release, Tally};
use crate::store::quarantine::{Released, count, release_commit, survey};
use crate::upload::gate::Verdict;

/// The time between two replays. With the memory of a verdict, it makes less than a minute between two questions.
const INTERVAL: Duration = Duration::from_secs(20);

/// A replay is due: can refused episodes go back?
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Replay;

/// The actor's view of the quarantine.
#[derive(Default)]
pub(super) struct Quarantine {
    /// The actor to ask. `None`: nothing goes back by itself.
    ask: Option<Recipient<Ask>>,
    pub(super) awaited: Awaited,
    /// The commits that are still to be asked about in this replay. `None` between replays.
    to_ask: Option<Vec<String>>,
    /// Whether a scan of `episodes/` must follow, which finds the episodes that went back.
    then_rescan: bool,
    timer: Option<SpawnHandle>,
    stop: Arc<AtomicBool>,
    /// Whether the last replay failed, and the log said so.
    fails: bool,
}

impl Quarantine {
    pub(super) fn asking(ask: Option<Recipient<Ask>>) -> Self {
        Self { ask, ..Self::default() }
    }

    /// Returns true if a replay is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.to_ask.is_some()
    }

    /// Makes work in the pool end soon.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl QueueActor {
    /// Finds out whether refused episodes can go back.
    pub(super) fn begin_replay(&mut self, ctx: &mut Context<Self>) {
        if self.quarantine.ask.is_none() || self.quarantine.is_busy() || self.draining {
            return;
        }
        self.quarantine.to_ask = Some(Vec::new());
        let stop = Arc::clone(&self.quarantine.stop);
        self.in_pool(
            ctx,
            |dirs| count(&dirs.quarantine_root()),
            move |act, count, ctx| match count {
                Ok(count) if act.quarantine.awaited.needs_survey(count, Instant::now()) => {
                    act.in_pool(ctx, move |dirs| survey(&dirs.quarantine_root(), &stop), Self::surveyed);
                }
                Ok(_) => act.ask_all(ctx),
                Err(error) => act.replay_failed(&error, ctx),
            },
        );
    }

    /// Does the same, then scans for episodes.
    pub(super) fn replay_and_rescan(&mut self, ctx: &mut Context<Self>) {
        self.begin_replay(ctx);
        if self.quarantine.is_busy() {
            self.quarantine.then_rescan = true;
        } else {
            self.rescan(ctx);
        }
    }

    fn surveyed(&mut self, tally: io::Result<Tally>, ctx: &mut Context<Self>) {
        match tally {
            Ok(tally) => {
                self.quarantine.awaited.surveyed(tally, Instant::now());
                self.ask_all(ctx);
            }
            Err(error) => self.replay_failed(&error, ctx),
        }
    }

    fn ask_all(&mut self, ctx: &mut Context<Self>) {
        self.quarantine.fails = false;
        let now = Instant::now();
        // While the queue waits for the receiver, episodes go first, because one step allows one attempt.
        let commits =
            if self.backlog.may_ask(now) { self.quarantine.awaited.to_ask(now) } else { Vec::new() };
        self.quarantine.to_ask = Some(commits);
        self.ask_next(ctx);
    }

    fn ask_next(&mut self, ctx: &mut Context<Self>) {
        let next = self.quarantine.to_ask.as_mut().and_then(Vec::pop).filter(|_| !self.draining);
        let (Some(commit), Some(ask)) = (next, &self.quarantine.ask) else { return self.end_replay(ctx) };
        let answered = ask.send(Ask { commit: commit.clone() }).into_actor(self);
        ctx.spawn(answered.map(move |answer, act, ctx| act.answered(commit, answer, ctx)));
    }

    fn answered(
        &mut self,
        commit: String,
        answer: Result<Result<Verdict, Outcome>, MailboxError>,
        ctx: &mut Context<Self>,
    ) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                error!(%error, "an uploader has died");
                return ctx.stop();
            }
        };
        let now = Instant::now();
        let (verdict, news) = match answer {
            Ok(verdict) => (Some(verdict), self.backlog.answered()),
            Err(outcome) => (None, self.backlog.unanswered(outcome, now)),
        };
        if let Some(news) = news {
            self.tell(news);
        }
        match verdict {
            Some(Verdict::Admitted { .. }) => self.release(commit, ctx),
            Some(Verdict::Refused(_) | Verdict::Unknown) => self.ask_next(ctx),
            // Questions about the other commits would get no answer either.
            None => self.end_replay(ctx),
        }
    }

    fn release(&mut self, commit: String, ctx: &mut Context<Self>) {
        let at_most = match self.quarantine.awaited.release(&commit) {
            Release::All => usize::MAX,
            Release::One => 1,
        };
        let (stop, of) = (Arc::clone(&self.quarantine.stop), commit.clone());
        self.in_pool(
            ctx,
            move |dirs| release_commit(dirs, &of, at_most, &stop),
            move |act, released, ctx| match released {
                Ok(released) => act.released(&commit, &released, ctx),
                Err(error) => act.replay_failed(&error, ctx),
            },
        );
    }

    fn released(&mut self, commit: &str, released: &Released, ctx: &mut Context<Self>) {
        self.quarantine.awaited.released(commit, released.count);
        self.seen.released += released.count as u64;
        self.report.released(commit, released);
        if released.count > 0 && !self.quarantine.then_rescan {
            self.rescan(ctx);
        }
        self.ask_next(ctx);
    }

    fn replay_failed(&mut self, error: &io::Error, ctx: &mut Context<Self>) {
        let is_stopped = self.draining && error.kind() == io::ErrorKind::Interrupted;
        if !is_stopped && !std::mem::replace(&mut self.quarantine.fails, true) {
            self.report.quarantine_unreadable(error);
        }
        self.end_replay(ctx);
    }

    fn end_replay(&mut self, ctx: &mut Context<Self>) {
        self.quarantine.to_ask = None;
        if self.scan_interval.is_some() && !self.draining {
            rearm(&mut self.quarantine.timer, ctx, Some((Replay, INTERVAL)));
        }
        if std::mem::take(&mut self.quarantine.then_rescan) {
            self.rescan(ctx);
        }
        self.ship_what_is_due(ctx);
    }
}

impl Handler<Replay> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: Replay, ctx: &mut Context<Self>) {
        self.begin_replay(ctx);
    }
}
