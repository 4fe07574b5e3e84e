//! QueueActor: decides which episode is shipped when, and moves it to its place.
//!
//! - owns: the data directory, the order of episodes, the conditions that were logged already
//! - accepts: [`Scan`], [`Noticed`], [`Missed`], [`Observe`], [`ShownAnew`], `Ping`, `Drain`, and timers of its own
//! - sends to: UploadActors, by [`Ship`], one episode at a time each, and by [`Ask`]
//! - runs on: the main arbiter; every read of the disk and every move is in the blocking pool
//! - ends: when an uploader has died, so that the process ends and is restarted
//!
//! [`Backlog`] makes all decisions. `pass.rs` runs a pass, `moves.rs` puts episodes away, and `release.rs` moves
//! refused ones back.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, Recipient,
    ResponseFuture, SpawnHandle, WrapFuture,
};
use cis490_shared::ids::EpisodeId;
use rand::rngs::StdRng;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use self::moves::{Because, Moves};
use self::pass::Pass;
use self::release::Quarantine;
use crate::actors::upload::{Ask, Ship};
use crate::actors::{self, Drain, Ping, rearm};
use crate::answers::outcome::Outcome;
use crate::policy::backlog::{Action, Backlog, Next};
use crate::policy::schedule::Pick;
use crate::report::log::Report;
use crate::store::layout::Dirs;
use crate::upload::slots::UploadSlots;

mod moves;
mod observation;
mod pass;
mod release;

pub use observation::Observation;
pub use pass::{Missed, Noticed, SCAN_LIMIT, ShownAnew};

/// After this many mismatches an archive is packed anew, whatever its hash.
const REBUILD_AFTER_MISMATCHES: u32 = 2;

/// Looks for episodes now. Sent by `--once` and by tests; the daemon looks by itself.
///
/// Answered once nothing is left that can be tried now: the other episodes wait for their time, or for the hold to end.
#[derive(Debug, Message)]
#[rtype(result = "Result<Observation, Ended>")]
pub struct Scan;

/// The queue ended before it could answer; its log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue has ended")]
pub struct Ended;

/// Asks for the state of the queue.
#[derive(Debug, Message)]
#[rtype(result = "Observation")]
pub struct Observe;

/// The next pass is due.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

/// A waiting episode is due.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Wake;

/// Everything that the queue needs.
#[derive(Debug)]
pub struct QueueSettings {
    /// The directories; the caller holds their lock.
    pub dirs: Dirs,
    /// Time between two passes. `None`: only on request.
    pub scan_interval: Option<Duration>,
    /// The upload turns, which show whether a large episode may be handed out.
    pub slots: UploadSlots,
    /// The actor to ask about the commits of refused episodes. `None`: they go back by hand only.
    pub ask: Option<Recipient<Ask>>,
    /// The source of the jitter of waiting times.
    pub rng: StdRng,
}

struct Uploader {
    ship: Recipient<Ship>,
    is_free: bool,
}

/// See the module.
pub struct QueueActor {
    dirs: Dirs,
    scan_interval: Option<Duration>,
    quarantine: Quarantine,
    slots: UploadSlots,
    uploaders: Vec<Uploader>,
    backlog: Backlog,
    report: Report,
    seen: Observation,
    pass: Pass,
    moves: Moves,
    /// Whether the latest scan left episodes out.
    more: bool,
    /// A pass was requested during another one, which may have missed the reason of the request.
    again: bool,
    /// Episodes that were noticed during a pass, to be offered after it.
    noticed: Vec<EpisodeId>,
    /// The timer for the next pass, and the one for the next episode that becomes due.
    tick: Option<SpawnHandle>,
    wake: Option<SpawnHandle>,
    draining: bool,
    /// Requests that wait until nothing can be done now, and those that wait until nothing is under way.
    settled: Vec<oneshot::Sender<Observation>>,
    drained: Vec<oneshot::Sender<()>>,
}

impl QueueActor {
    /// Returns a queue that ships through `uploaders`, of which there is at least one.
    pub fn new(settings: QueueSettings, uploaders: Vec<Recipient<Ship>>) -> Self {
        let QueueSettings { dirs, scan_interval, slots, ask, rng } = settings;
        let uploaders = uploaders.into_iter().map(|ship| Uploader { ship, is_free: true }).collect();
        Self {
            dirs,
            scan_interval,
            quarantine: Quarantine::asking(ask),
            slots,
            uploaders,
            backlog: Backlog::new(rng),
            report: Report::default(),
            seen: Observation::default(),
            pass: Pass::Idle,
            moves: Moves::default(),
            more: false,
            again: false,
            noticed: Vec::new(),
            tick: None,
            wake: None,
            draining: false,
            settled: Vec::new(),
            drained: Vec::new(),
        }
    }

    /// Runs blocking work in the pool, then calls `then` with its result.
    fn in_pool<T: Send + 'static>(
        &self,
        ctx: &mut Context<Self>,
        work: impl FnOnce(&Dirs) -> T + Send + 'static,
        then: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) {
        let dirs = self.dirs.clone();
        actors::in_pool(self, ctx, move || work(&dirs), then);
    }

    /// Hands out episodes as long as an uploader is free and an episode is due.
    fn ship_what_is_due(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let mut next_due = None;
        while !self.draining && self.pass != Pass::Sweeping {
            let Some(slot) = self.uploaders.iter().position(|uploader| uploader.is_free) else { break };
            match self.backlog.next(now, self.slots.has_room_for_large()) {
                Next::Ship(pick) => self.hand_out(slot, pick, ctx),
                Next::Wait(until) => {
                    next_due = Some((Wake, until - now));
                    break;
                }
                Next::PutAway => {
                    self.move_again();
                    break;
                }
                Next::Idle => break,
            }
        }
        rearm(&mut self.wake, ctx, next_due);
        self.move_if_it_is_time(ctx);
        let (ready, _) = self.backlog.counts();
        if self.more && ready == 0 {
            self.begin_pass(ctx);
        }
        self.answer_those_who_wait();
    }

    fn hand_out(&mut self, slot: usize, pick: Pick, ctx: &mut Context<Self>) {
        let Pick { episode_id, mismatches } = pick;
        let uploader = &mut self.uploaders[slot];
        uploader.is_free = false;
        let ship = Ship { episode_id: episode_id.clone(), rebuild: mismatches >= REBUILD_AFTER_MISMATCHES };
        let shipped = uploader.ship.send(ship).into_actor(self);
        ctx.spawn(shipped.map(move |outcome, act, ctx| match outcome {
            Ok(outcome) => {
                act.uploaders[slot].is_free = true;
                act.settle(episode_id, outcome, ctx);
            }
            Err(error) => {
                error!(%episode_id, %error, "an uploader has died");
                ctx.stop();
            }
        }));
    }

    fn settle(&mut self, id: EpisodeId, outcome: Outcome, ctx: &mut Context<Self>) {
        debug!(episode_id = %id, ?outcome, "an attempt has ended");
        let already_present = matches!(outcome, Outcome::AlreadyPresent(_));
        let says_nothing = matches!(outcome, Outcome::Gone | Outcome::Stopped | Outcome::Postponed);
        let (deed, news) = self.backlog.settle(&id, outcome, Instant::now());
        if let Some(news) = news {
            self.tell(news);
        }
        match deed {
            Action::Retire(shipped) => self.put_away(id, Because::Shipped { shipped, already_present }, ctx),
            Action::Quarantine(refusal) => self.put_away(id, Because::Refused(refusal), ctx),
            Action::Keep => self.seen.retries += u64::from(!says_nothing),
            Action::KeepWithoutArchive => {
                self.seen.retries += 1;
                self.remove_archive(id, ctx);
            }
        }
        self.ship_what_is_due(ctx);
    }

    fn remove_archive(&mut self, id: EpisodeId, ctx: &mut Context<Self>) {
        self.in_pool(
            ctx,
            move |dirs| dirs.remove_archive(&id),
            |_, removed, _| {
                if let Err(error) = removed {
                    warn!(%error, "an archive could not be removed");
                }
            },
        );
    }

    fn answer_those_who_wait(&mut self) {
        if !self.backlog.in_flight().is_empty() || self.moves.are_under_way() {
            return;
        }
        // The sender of a request may be gone by now, which does not matter.
        for drained in self.drained.drain(..) {
            let _ = drained.send(());
        }
        if (self.pass == Pass::Idle && !self.quarantine.is_busy()) || self.draining {
            let seen = self.observe();
            for settled in self.settled.drain(..) {
                let _ = settled.send(seen.clone());
            }
        }
    }
}

impl Actor for QueueActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if self.scan_interval.is_some() {
            self.begin_pass(ctx);
            self.begin_replay(ctx);
        }
    }
}

impl Handler<Tick> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        self.begin_pass(ctx);
    }
}

impl Handler<Wake> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        self.ship_what_is_due(ctx);
    }
}

impl Handler<Scan> for QueueActor {
    type Result = ResponseFuture<Result<Observation, Ended>>;

    fn handle(&mut self, _: Scan, ctx: &mut Context<Self>) -> Self::Result {
        let (settled, wait) = oneshot::channel();
        self.settled.push(settled);
        self.replay_and_rescan(ctx);
        self.answer_those_who_wait();
        // The other end is dropped only with the actor.
        Box::pin(async move { wait.await.map_err(|_| Ended) })
    }
}

impl Handler<Observe> for QueueActor {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.observe())
    }
}

impl Handler<Ping> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
}

impl Handler<Drain> for QueueActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.draining = true;
        self.quarantine.stop();
        rearm::<Self, Tick>(&mut self.tick, ctx, None);
        rearm::<Self, Wake>(&mut self.wake, ctx, None);
        let (drained, wait) = oneshot::channel();
        self.drained.push(drained);
        self.answer_those_who_wait();
        // A queue that has ended has nothing under way either.
        Box::pin(async move { wait.await.unwrap_or_default() })
    }
}
