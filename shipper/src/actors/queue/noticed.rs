//! What other actors notice between two passes: an episode that is finished counts at once, and a hold that is about
//! what this host shows to the receiver ends when that changes.
//!
//! A notice is a shortcut and never the only way: the next scan finds whatever was not noticed. It leaves the order as
//! it is; where a scan left episodes out, these are older, and the notice waits for the scan that finds it.

use actix::{Context, Handler, Message};
use cis490_shared::ids::EpisodeId;
use tokio::time::Instant;

use super::QueueActor;
use super::pass::{Pass, SCAN_LIMIT};

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

impl QueueActor {
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
        self.look_again(ctx);
    }
}

impl Handler<ShownAnew> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: ShownAnew, ctx: &mut Context<Self>) {
        self.backlog.shown_anew(Instant::now());
        self.ship_what_is_due(ctx);
    }
}
