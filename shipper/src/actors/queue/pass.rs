//! A pass of the QueueActor: sweep the outbox, then look for episodes.
//!
//! The sweep must know every upload in flight, so nothing is handed out while it runs; it is short. The scan
//! after it may take as long as it likes: episodes found before go on being shipped meanwhile.

use actix::Context;
use tracing::info;

use super::{QueueActor, Tick};
use crate::actors::rearm;
use crate::store::layout::{Dirs, DirsError};
use crate::store::scan::{Oldest, Scan};
use crate::store::sweep;

/// So many episodes are known at a time; the next ones are looked for when these are through.
pub(super) const SCAN_LIMIT: usize = 1024;

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
        self.in_pool(ctx, move |dirs| sweep::sweep(dirs, &in_flight), Self::swept);
    }

    /// A pass now, or one more behind the one that is under way, which may have missed what is meant.
    pub(super) fn look_again(&mut self, ctx: &mut Context<Self>) {
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
        let look = move |dirs: &Dirs| {
            let scan = dirs.scan(&known, SCAN_LIMIT)?;
            let oldest = if has_status { dirs.oldest_of(&scan) } else { None };
            Ok((scan, oldest))
        };
        self.in_pool(ctx, look, Self::scanned);
        self.ship_what_is_due(ctx);
    }

    fn scanned(&mut self, scan: Result<(Scan, Option<Oldest>), DirsError>, ctx: &mut Context<Self>) {
        let swept = std::mem::replace(&mut self.pass, Pass::Idle) == Pass::Scanning { swept: true };
        match scan {
            Ok((scan, oldest)) => {
                self.seen.passes += 1;
                if swept {
                    self.report.looked(None);
                }
                self.more = scan.more;
                self.seen.details.looked(scan.in_episodes, oldest);
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
        self.seen.failed_passes += 1;
        self.report.looked(Some(error));
    }
}
