//! A pass of the QueueActor: sweep the outbox, then scan for episodes; and what other actors notice between two passes.
//!
//! The sweep must know every upload in flight, so nothing is handed out while it runs; it is short. The scan
//! after it may take as long as it likes: episodes found before go on being shipped meanwhile.
//!
//! A notice is a shortcut and never the only way: the next scan finds whatever was not noticed. It leaves the order as
//! it is; where a scan left episodes out, these are older, and the notice waits for the scan that finds it.

use actix::{Context, Handler, Message};
use cis490_shared::ids::EpisodeId;
use tokio::time::Instant;
use tracing::info;

use super::{QueueActor, Tick};
use crate::actors::rearm;
use crate::store::layout::{Dirs, DirsError};
use crate::store::outbox;
use crate::store::scan::{Oldest, Scan};

/// So many episodes are known at a time; the next ones are looked for when these are through.
pub const SCAN_LIMIT: usize = 1024;

/// An episode has its marker. From WatchActor; nothing is lost where it is not told.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Noticed {
    /// The episode.
    pub episode_id: EpisodeId,
}

/// Something may have escaped notice: a look at `episodes/` is due. From WatchActor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Missed;

/// There is a new certificate or token, or another authority is trusted. From CredentialsActor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ShownAnew;

/// What a pass is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Idle,
    Sweeping,
    /// Looking for episodes, after a sweep that went well or did not.
    Scanning {
        swept: bool,
    },
}

impl QueueActor {
    pub(super) fn begin_pass(&mut self, ctx: &mut Context<Self>) {
        if self.pass != Pass::Idle || self.draining {
            return;
        }
        self.pass = Pass::Sweeping;
        let in_flight = self.backlog.in_flight();
        self.in_pool(ctx, move |dirs| outbox::sweep(dirs, &in_flight), Self::swept);
    }

    /// A pass now, or one more behind the one that is under way, which may have missed what is meant.
    pub(super) fn rescan(&mut self, ctx: &mut Context<Self>) {
        self.again = self.pass != Pass::Idle;
        self.begin_pass(ctx);
    }

    fn swept(&mut self, swept: Result<usize, DirsError>, ctx: &mut Context<Self>) {
        self.pass = Pass::Scanning { swept: swept.is_ok() };
        match swept {
            Ok(0) => {}
            Ok(count) => {
                self.seen.swept += count as u64;
                info!(count, "archives without an episode removed from the outbox");
            }
            Err(error) => self.pass_failed(&error),
        }
        let known = self.backlog.known();
        // Only a daemon has a status, and nobody else needs to look once more.
        let has_status = self.scan_interval.is_some();
        let scan = move |dirs: &Dirs| {
            let scan = dirs.scan(&known, SCAN_LIMIT)?;
            let oldest = if has_status { dirs.oldest_of(&scan) } else { None };
            Ok((scan, oldest))
        };
        self.in_pool(ctx, scan, Self::scanned);
        self.ship_what_is_due(ctx);
    }

    fn scanned(&mut self, scan: Result<(Scan, Option<Oldest>), DirsError>, ctx: &mut Context<Self>) {
        let swept = std::mem::replace(&mut self.pass, Pass::Idle) == Pass::Scanning { swept: true };
        match scan {
            Ok((scan, oldest)) => {
                if swept {
                    self.report.scanned(None);
                    self.seen.status.scan_failure = None;
                }
                self.more = scan.more;
                self.seen.scanned(&scan, oldest);
                self.report.ignored(scan.ignored);
                self.backlog.offer(scan.ready);
            }
            Err(error) => {
                self.more = false;
                self.pass_failed(&error);
            }
        }
        self.offer_noticed();
        if let Some(interval) = self.scan_interval {
            rearm(&mut self.tick, ctx, Some((Tick, interval)));
        }
        if std::mem::take(&mut self.again) {
            self.begin_pass(ctx);
        }
        self.ship_what_is_due(ctx);
    }

    fn pass_failed(&mut self, error: &DirsError) {
        self.seen.scan_failed(error);
        self.report.scanned(Some(error));
    }

    /// Offers what was noticed during a scan, which may have passed by that place before.
    pub(super) fn offer_noticed(&mut self) {
        for id in std::mem::take(&mut self.noticed) {
            self.offer_one(id);
        }
    }

    fn offer_one(&mut self, id: EpisodeId) {
        let (ready, _) = self.backlog.counts();
        // As many as a scan finds, and no more: memory does not depend on the backlog (invariant I8).
        self.more |= ready >= SCAN_LIMIT;
        if !self.more {
            self.backlog.notice(id);
        }
    }
}

impl Handler<Noticed> for QueueActor {
    type Result = ();

    fn handle(&mut self, Noticed { episode_id }: Noticed, ctx: &mut Context<Self>) {
        if self.pass == Pass::Idle {
            self.offer_one(episode_id);
            self.ship_what_is_due(ctx);
        } else if self.noticed.len() < SCAN_LIMIT {
            self.noticed.push(episode_id);
        } else {
            self.again = true;
        }
    }
}

impl Handler<Missed> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: Missed, ctx: &mut Context<Self>) {
        self.rescan(ctx);
    }
}

impl Handler<ShownAnew> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: ShownAnew, ctx: &mut Context<Self>) {
        self.backlog.shown_anew(Instant::now());
        self.ship_what_is_due(ctx);
    }
}
