//! A pass of the QueueActor: sweep the outbox, then scan for episodes. Also the notices of other actors between two
//! passes.
//!
//! The sweep must know every upload in flight, so nothing is handed out while it runs; it is short. The scan after it
//! may take long, because episodes that were found before are shipped meanwhile.
//!
//! A notice is only a shortcut, because the next scan finds every episode that was not noticed. It does not change the
//! order. If a scan left episodes out, these are older, and the noticed episode waits for the scan that finds it.

use actix::{Context, Handler, Message};
use cis490_shared::ids::EpisodeId;
use tokio::time::Instant;
use tracing::info;

use super::{QueueActor, Tick};
use crate::actors::rearm;
use crate::store::layout::{Dirs, DirsError};
use crate::store::outbox;
use crate::store::scan::{Oldest, Scan};

/// The most episodes in the backlog. A scan finds the next ones when these are settled.
pub const SCAN_LIMIT: usize = 1024;

/// An episode has its marker. Sent by WatchActor; without it the next scan finds the episode.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Noticed {
    /// The id of the episode.
    pub episode_id: EpisodeId,
}

/// An episode may have gone unnoticed, so a scan of `episodes/` is due. Sent by WatchActor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Missed;

/// The certificate, the token or the trusted authorities have changed. Sent by CredentialsActor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ShownAnew;

/// The present step of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Idle,
    Sweeping,
    /// Scanning for episodes; `swept` is true if the sweep succeeded.
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

    /// Begins a pass, or one more after the present one, which may have missed something.
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
        // Only a daemon has a status, so only a daemon needs the oldest episode.
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

    /// Offers episodes that were noticed during a scan, because the scan may have passed their place before.
    pub(super) fn offer_noticed(&mut self) {
        for id in std::mem::take(&mut self.noticed) {
            self.offer_one(id);
        }
    }

    fn offer_one(&mut self, id: EpisodeId) {
        let (ready, _) = self.backlog.counts();
        // As many as a scan finds, and no more, because memory must not depend on the backlog (invariant I8).
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
