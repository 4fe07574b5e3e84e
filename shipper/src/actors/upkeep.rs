//! UpkeepActor: deletes old episodes from the quarantine and `shipped/`, and warns of a full disk long before recording
//! fails.
//!
//! - owns: the times of the last walks, and the running time
//! - accepts: `Ping`, `Drain`, and a timer of its own
//! - publishes: [`Disk`]
//! - sends to: nobody
//! - runs on: the main arbiter; every read of the disk and every deletion is in the blocking pool
//! - ends: when work in the pool has panicked, so that the process ends and is restarted
//!
//! Neither a scan interval of hours nor a hold on the queue delays it. There is one round at a time, and a Drain ends
//! it after the present deletion. A single pass has no UpkeepActor.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, SpawnHandle};
use cis490_shared::clock::system_time;
use cis490_shared::latest::Latest;
use tokio::time::Instant;
use tracing::{debug, error, info};

use crate::actors::{Drain, Ping, in_pool, rearm};
use crate::report::log::RoomReport;
use crate::report::status::Disk;
use crate::store::age::Lived;
use crate::store::disk::{DEFAULT_FREE_PERCENT, Fullness, Holdings};
use crate::store::layout::Dirs;
use crate::store::quarantine::{self, Keep};
use crate::store::shipped::{self, Round, Rules};

/// The time between two walks of the quarantine, and between two walks of `shipped/` for age.
const WALK_INTERVAL: Duration = Duration::from_hours(1);
/// The time between two measurements of the disk.
const ROUND_INTERVAL: Duration = Duration::from_secs(30);
/// The time after a round that left something to delete, because other programs need the disk too.
const PAUSE: Duration = Duration::from_secs(1);

/// Everything that upkeep needs.
#[derive(Debug)]
pub struct UpkeepSettings {
    /// The directories; the caller holds their lock.
    pub dirs: Dirs,
    /// How long refused episodes are kept.
    pub quarantine_keep: Keep,
    /// The rules for `shipped/`.
    pub retention: Rules,
    /// Where the free room is published. `None` before the first round, and after one that failed.
    pub disk: Latest<Option<Disk>>,
}

/// The next round is due.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct KeepUp;

/// See the module.
pub struct UpkeepActor {
    settings: UpkeepSettings,
    /// The running time, read at the first walk.
    lived: Arc<Mutex<Option<Lived>>>,
    /// The times of the last walk of the quarantine, and of the last walk of `shipped/` for age.
    quarantine_walk: Option<Instant>,
    shipped_walk: Option<Instant>,
    fullness: Fullness,
    report: RoomReport,
    /// Tells the round under way to end; set by a Drain.
    stop: Arc<AtomicBool>,
    timer: Option<SpawnHandle>,
}

/// Returns true if a walk is due. The walk then counts as begun.
fn is_time(walk: &mut Option<Instant>) -> bool {
    let is_time = walk.is_none_or(|last| last.elapsed() >= WALK_INTERVAL);
    if is_time {
        *walk = Some(Instant::now());
    }
    is_time
}

/// Returns the running time until now, and writes it for the next run if possible. Blocks.
fn until(lived: &Mutex<Option<Lived>>, data_root: &Path, now: Instant) -> Lived {
    let mut lived = lived.lock().unwrap_or_else(PoisonError::into_inner);
    let lived = lived.get_or_insert_with(|| Lived::of(data_root));
    lived.go_on(now, system_time());
    if let Err(error) = lived.write() {
        debug!(%error, "cannot save the accumulated running time");
    }
    lived.clone()
}

impl UpkeepActor {
    /// Returns an actor with these settings.
    pub fn new(settings: UpkeepSettings) -> Self {
        let percent = match settings.retention.free_percent {
            0 => DEFAULT_FREE_PERCENT,
            percent => percent,
        };
        Self {
            settings,
            lived: Arc::default(),
            quarantine_walk: None,
            shipped_walk: None,
            fullness: Fullness::new(percent),
            report: RoomReport::default(),
            stop: Arc::default(),
            timer: None,
        }
    }

    fn is_draining(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn keep_up(&mut self, ctx: &mut Context<Self>) {
        if self.is_draining() {
            return;
        }
        if self.settings.quarantine_keep != Keep::default() && is_time(&mut self.quarantine_walk) {
            self.prune_quarantine(ctx);
        }
        let (dirs, rules) = (self.settings.dirs.clone(), self.settings.retention);
        let by_age = rules.keep.is_some() && is_time(&mut self.shipped_walk);
        let (lived, stop, now) = (Arc::clone(&self.lived), Arc::clone(&self.stop), Instant::now());
        let round = move || {
            let age = by_age.then(|| until(&lived, dirs.root(), now));
            shipped::round(dirs.root(), rules, age, &stop)
        };
        in_pool(self, ctx, round, Self::kept_up);
    }

    fn kept_up(&mut self, round: io::Result<Round>, ctx: &mut Context<Self>) {
        self.report.round_ended(self.settings.dirs.root(), &round);
        let disk = round.as_ref().ok().map(|round| round.disk);
        let mut wait = ROUND_INTERVAL;
        if let Ok(round) = round {
            if round.more {
                wait = PAUSE;
                // The rest of a walk for age must not wait for an hour.
                self.shipped_walk = None;
            }
            self.judge_room(&round, ctx);
        }
        self.settings.disk.publish(disk.map(|disk| Disk {
            free_bytes: disk.free_bytes,
            total_bytes: disk.total_bytes,
            is_nearly_full: self.fullness.is_low(),
        }));
        if !self.is_draining() {
            rearm(&mut self.timer, ctx, Some((KeepUp, wait)));
        }
    }

    fn judge_room(&mut self, round: &Round, ctx: &mut Context<Self>) {
        let (disk, dirs) = (round.disk, self.settings.dirs.clone());
        let Some(change) = self.fullness.change(&disk, round.room_is_made) else { return };
        in_pool(
            self,
            ctx,
            move || Holdings::of(dirs.root()),
            move |act, held, _| {
                let is_pruned = act.settings.retention.free_percent > 0;
                act.report.room(act.settings.dirs.root(), change, &disk, &held, is_pruned);
            },
        );
    }

    fn prune_quarantine(&self, ctx: &mut Context<Self>) {
        let (dirs, keep) = (self.settings.dirs.clone(), self.settings.quarantine_keep);
        let (lived, now) = (Arc::clone(&self.lived), Instant::now());
        let prune =
            move || quarantine::prune(&dirs.quarantine_root(), keep, &until(&lived, dirs.root(), now));
        in_pool(self, ctx, prune, |_, pruned, _| match pruned {
            Ok(pruned) if pruned.deleted > 0 => {
                info!(deleted = pruned.deleted, kept = pruned.kept, "old episodes deleted from quarantine");
            }
            Ok(pruned) => debug!(kept = pruned.kept, "quarantine scanned"),
            Err(error) => error!(%error, "cannot scan the quarantine"),
        });
    }
}

impl Actor for UpkeepActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.keep_up(ctx);
    }
}

impl Handler<KeepUp> for UpkeepActor {
    type Result = ();

    fn handle(&mut self, _: KeepUp, ctx: &mut Context<Self>) {
        self.keep_up(ctx);
    }
}

impl Handler<Ping> for UpkeepActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
}

impl Handler<Drain> for UpkeepActor {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.stop.store(true, Ordering::Relaxed);
        rearm::<Self, KeepUp>(&mut self.timer, ctx, None);
    }
}
