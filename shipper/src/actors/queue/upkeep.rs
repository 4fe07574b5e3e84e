//! Upkeep of the QueueActor, beside its passes: old episodes leave the quarantine and `shipped/`, and a full disk is
//! seen long before recording fails.
//!
//! It runs in the blocking pool on a timer of its own, so that neither an interval of hours nor a hold on the queue
//! puts it off; one round at a time, and a Drain ends it behind the deletion that is under way. A queue that looks only
//! when it is asked to keeps nothing up.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Context, Handler, Message, SpawnHandle};
use cis490_shared::clock::system_time;
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::{QueueActor, rearm};
use crate::queue::disk::{DEFAULT_FREE_PERCENT, Fullness, Holdings};
use crate::queue::lived::Lived;
use crate::queue::quarantine::{self, Keep};
use crate::queue::retention::{self, Look, Round, Rules};
use crate::queue::room_report::RoomReport;

/// The quarantine is walked at most this often, and `shipped/` for the age of what is in it.
const WALK_INTERVAL: Duration = Duration::from_hours(1);
/// The disk is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// A round that left something to delete is followed by the next one after this time: others want the disk too.
const PAUSE: Duration = Duration::from_secs(1);

/// Time for the next round.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct KeepUp;

/// What upkeep remembers.
pub(super) struct Upkeep {
    rules: Rules,
    /// What was lived through; read at the first walk.
    lived: Arc<Mutex<Option<Lived>>>,
    /// When the quarantine was walked, and `shipped/` for age.
    quarantine_walk: Option<Instant>,
    shipped_walk: Option<Instant>,
    fullness: Fullness,
    report: RoomReport,
    /// Tells the round under way to end.
    stop: Arc<AtomicBool>,
    timer: Option<SpawnHandle>,
}

impl Upkeep {
    pub(super) fn new(rules: Rules) -> Self {
        let percent = if rules.free_percent == 0 { DEFAULT_FREE_PERCENT } else { rules.free_percent };
        Self {
            rules,
            lived: Arc::default(),
            quarantine_walk: None,
            shipped_walk: None,
            fullness: Fullness::new(percent),
            report: RoomReport::default(),
            stop: Arc::default(),
            timer: None,
        }
    }
}

/// Whether it is time for a walk again; then it counts as begun.
fn is_time(walk: &mut Option<Instant>) -> bool {
    let is_time = walk.is_none_or(|last| last.elapsed() >= WALK_INTERVAL);
    if is_time {
        *walk = Some(Instant::now());
    }
    is_time
}

/// What was lived through until now; kept for the next run as far as that is possible. Blocks.
fn until(lived: &Mutex<Option<Lived>>, data_root: &Path, now: Instant) -> Lived {
    let mut lived = lived.lock().unwrap_or_else(PoisonError::into_inner);
    let lived = lived.get_or_insert_with(|| Lived::of(data_root));
    lived.go_on(now, system_time());
    if let Err(error) = lived.write() {
        debug!(%error, "the time lived through cannot be kept for the next run");
    }
    lived.clone()
}

impl QueueActor {
    pub(super) fn keep_up(&mut self, ctx: &mut Context<Self>) {
        if self.draining {
            return;
        }
        if self.quarantine_keep != Keep::default() && is_time(&mut self.upkeep.quarantine_walk) {
            self.prune_quarantine(ctx);
        }
        let (rules, stop) = (self.upkeep.rules, Arc::clone(&self.upkeep.stop));
        let by_age = rules.keep.is_some() && is_time(&mut self.upkeep.shipped_walk);
        let (lived, now) = (Arc::clone(&self.upkeep.lived), Instant::now());
        self.in_pool(
            ctx,
            move |dirs| {
                let look = Look { by_age: by_age.then(|| until(&lived, dirs.root(), now)) };
                retention::round(dirs.root(), rules, look, &stop)
            },
            Self::kept_up,
        );
    }

    pub(super) fn end_upkeep(&mut self, ctx: &mut Context<Self>) {
        self.upkeep.stop.store(true, Ordering::Relaxed);
        rearm::<KeepUp>(&mut self.upkeep.timer, ctx, None);
    }

    fn kept_up(&mut self, round: io::Result<Round>, ctx: &mut Context<Self>) {
        self.upkeep.report.looked(self.dirs.root(), &round);
        self.seen.disk = round.as_ref().ok().map(|round| round.disk);
        let mut wait = LOOK_INTERVAL;
        if let Ok(round) = round {
            if round.more {
                wait = PAUSE;
                // What is left of a walk for age is not put off for an hour.
                self.upkeep.shipped_walk = None;
            }
            self.judge_room(&round, ctx);
        }
        self.seen.is_nearly_full = self.upkeep.fullness.is_low();
        if !self.draining {
            rearm(&mut self.upkeep.timer, ctx, Some((KeepUp, wait)));
        }
    }

    fn judge_room(&mut self, round: &Round, ctx: &mut Context<Self>) {
        let disk = round.disk;
        if let Some(change) = self.upkeep.fullness.change(&disk, round.room_is_made) {
            self.in_pool(
                ctx,
                |dirs| Holdings::of(dirs.root()),
                move |act, held, _| {
                    let is_pruned = act.upkeep.rules.free_percent > 0;
                    act.upkeep.report.room(act.dirs.root(), change, &disk, &held, is_pruned);
                },
            );
        }
    }

    fn prune_quarantine(&self, ctx: &mut Context<Self>) {
        let keep = self.quarantine_keep;
        let (lived, now) = (Arc::clone(&self.upkeep.lived), Instant::now());
        self.in_pool(
            ctx,
            move |dirs| quarantine::prune(&dirs.quarantine_root(), keep, &until(&lived, dirs.root(), now)),
            |_, pruned, _| match pruned {
                Ok(pruned) if pruned.deleted > 0 => {
                    info!(
                        deleted = pruned.deleted,
                        kept = pruned.kept,
                        "old episodes deleted from quarantine"
                    );
                }
                Ok(pruned) => debug!(kept = pruned.kept, "quarantine looked through"),
                Err(error) => error!(%error, "the quarantine cannot be looked through"),
            },
        );
    }
}

impl Handler<KeepUp> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: KeepUp, ctx: &mut Context<Self>) {
        self.keep_up(ctx);
    }
}
