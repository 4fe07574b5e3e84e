//! Puts episodes away for the QueueActor. Episodes that settle within a moment are moved together.
//!
//! A move takes two syncs, and any number of moves together takes at most three. Only the end of the queue waits for
//! moves: an episode is in flight until it is put away, and the uploaders go on meanwhile.

use std::time::Duration;

use actix::{AsyncContext, Context, SpawnHandle};
use cis490_shared::clock::WallTime;
use cis490_shared::ids::EpisodeId;
use tokio::time::Instant;

use super::QueueActor;
use crate::answers::outcome::{Refusal, Shipped};
use crate::store::layout::DirsError;
use crate::store::moves::MoveOut;
use crate::store::quarantine::Reason;

/// How long a settled episode waits for others. After a crash in this time it is sent again, and answered with 200.
const PATIENCE: Duration = Duration::from_millis(50);
/// With this many episodes, none waits any longer.
const MANY: usize = 32;

/// Why an episode is put away.
pub(super) enum Because {
    /// The receiver has it.
    Shipped { shipped: Shipped, already_present: bool },
    /// The episode is refused.
    Refused(Refusal),
}

/// The episodes to put away.
#[derive(Default)]
pub(super) struct Moves {
    waiting: Vec<(EpisodeId, Because)>,
    /// Episodes that could not be moved, with their outcome, so that they are never sent again.
    stuck: Vec<(EpisodeId, Because)>,
    /// Whether some are being moved.
    under_way: bool,
    /// The timer that ends the wait.
    patience: Option<SpawnHandle>,
}

impl Moves {
    /// Returns true if some are being moved.
    pub(super) fn are_under_way(&self) -> bool {
        self.under_way
    }
}

impl QueueActor {
    /// Lets a settled episode wait, so that others are moved together with it.
    pub(super) fn put_away(&mut self, id: EpisodeId, because: Because, ctx: &mut Context<Self>) {
        self.moves.waiting.push((id, because));
        if self.moves.patience.is_none() {
            self.moves.patience = Some(ctx.run_later(PATIENCE, |act, ctx| {
                act.moves.patience = None;
                act.move_those_that_wait(ctx);
            }));
        }
    }

    /// Moves the waiting episodes if a longer wait is useless: there are many, or no upload is under way.
    pub(super) fn move_if_it_is_time(&mut self, ctx: &mut Context<Self>) {
        let is_idle = self.uploaders.iter().all(|uploader| uploader.is_free);
        if is_idle || self.moves.waiting.len() >= MANY {
            self.move_those_that_wait(ctx);
        }
    }

    /// Queues the episodes again that could not be moved.
    pub(super) fn move_again(&mut self) {
        let stuck = std::mem::take(&mut self.moves.stuck);
        self.moves.waiting.extend(stuck);
    }

    fn move_those_that_wait(&mut self, ctx: &mut Context<Self>) {
        if self.moves.under_way || self.moves.waiting.is_empty() {
            return;
        }
        if let Some(patience) = self.moves.patience.take() {
            ctx.cancel_future(patience);
        }
        self.moves.under_way = true;
        let moves = std::mem::take(&mut self.moves.waiting);
        let now = WallTime::now();
        let leaving: Vec<MoveOut> = moves.iter().map(|(id, because)| because.leaving(id, &now)).collect();
        self.in_pool(
            ctx,
            move |dirs| dirs.put_away(&leaving),
            move |act, done, ctx| {
                act.moves.under_way = false;
                act.moved(moves, done);
                if act.moves.patience.is_none() {
                    // They have waited long enough.
                    act.move_those_that_wait(ctx);
                }
                act.ship_what_is_due(ctx);
            },
        );
    }

    fn moved(&mut self, moves: Vec<(EpisodeId, Because)>, done: Vec<Result<(), DirsError>>) {
        let (mut stuck, mut failure) = (Vec::new(), None);
        for ((id, because), done) in moves.into_iter().zip(done) {
            match done {
                Ok(()) => self.is_put_away(&id, because),
                Err(DirsError::Gone(_)) => self.backlog.finish(&id),
                Err(error) => {
                    failure.get_or_insert(error);
                    stuck.push((id, because));
                }
            }
        }
        let ids = stuck.iter().map(|(id, _)| id);
        let news = match failure {
            Some(error) => self.backlog.stuck(ids, error.to_string(), error.remedy(), Instant::now()),
            None => self.backlog.moved(),
        };
        self.moves.stuck.append(&mut stuck);
        if let Some(news) = news {
            self.tell(news);
        }
    }

    fn is_put_away(&mut self, id: &EpisodeId, because: Because) {
        self.backlog.finish(id);
        match because {
            Because::Shipped { shipped, already_present } => {
                self.seen.already_present += u64::from(already_present);
                if let Some(position) = shipped.position {
                    self.seen.status.commit_position = Some(position.to_string());
                }
                if let Some(commit) = &shipped.commit {
                    self.quarantine.awaited.stored(&commit.to_ascii_lowercase());
                }
                self.seen.shipped(id);
                self.report.shipped(id, &shipped);
            }
            Because::Refused(refusal) => {
                self.quarantine.awaited.refused(&refusal, Instant::now());
                self.seen.refused(id, &refusal);
                self.report.refused(id, &refusal);
            }
        }
    }
}

impl Because {
    fn leaving(&self, id: &EpisodeId, now: &WallTime) -> MoveOut {
        let refused = match self {
            Self::Shipped { .. } => None,
            Self::Refused(refusal) => Some(Reason {
                episode_id: id.clone(),
                refusal: refusal.clone(),
                refused_at_wall: now.clone(),
            }),
        };
        MoveOut { id: id.clone(), refused }
    }
}
