//! UploadActor: ships one episode at a time and reports the outcome.
//!
//! - owns: an HTTP client with its connections
//! - accepts: [`Ship`] and [`Ask`] from QueueActor, `Ping`, `Drain`
//! - sends to: nobody
//! - runs on: an arbiter of its own, because awc's client is bound to one thread; files are read elsewhere
//! - ends: with its arbiter. `Drain` drops an upload in flight; its archive stays
//!
//! The queue decides whether, when and how often an episode is shipped.

use std::rc::Rc;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use cis490_shared::ids::EpisodeId;
use tokio::sync::watch;

use crate::actors::{Drain, Ping};
use crate::answers::outcome::Outcome;
use crate::upload::gate::Verdict;
use crate::upload::ship::{Settings, Shipper};

/// Ships one episode. Sent by QueueActor, which sends the next one only after the answer.
///
/// The outcome states the facts about the episode. On disk, only its archive has changed.
#[derive(Debug, Message)]
#[rtype(result = "Outcome")]
pub struct Ship {
    /// The id of the episode.
    pub episode_id: EpisodeId,
    /// Whether to pack it anew even if its archive is there.
    pub rebuild: bool,
}

/// Asks for the gate's verdict on a commit whose episodes wait in quarantine. Sent by QueueActor.
///
/// Answered from memory if the verdict is fresh. An error if the gate gives no verdict now.
#[derive(Debug, Message)]
#[rtype(result = "Result<Verdict, Outcome>")]
pub struct Ask {
    /// The commit as in meta.json.
    pub commit: String,
}

/// See the module.
pub struct UploadActor {
    shipper: Rc<Shipper>,
    /// Every upload, and each of its blocking jobs, holds a receiver of this, so that a drain can wait for them.
    stop: Rc<watch::Sender<bool>>,
}

impl UploadActor {
    /// Makes the actor. Call it on the thread that the actor runs on.
    pub fn new(settings: Settings) -> Self {
        Self { shipper: Rc::new(Shipper::new(settings)), stop: Rc::new(watch::Sender::new(false)) }
    }
}

impl Actor for UploadActor {
    type Context = Context<Self>;
}

/// Does not use the actor's state, so that pings are answered while an upload is under way.
impl Handler<Ship> for UploadActor {
    type Result = ResponseFuture<Outcome>;

    fn handle(&mut self, ship: Ship, _: &mut Context<Self>) -> Self::Result {
        let (shipper, stop) = (Rc::clone(&self.shipper), self.stop.subscribe());
        Box::pin(async move { shipper.ship(&ship.episode_id, ship.rebuild, &stop).await })
    }
}

/// Runs beside an upload too, because it takes one round trip.
impl Handler<Ask> for UploadActor {
    type Result = ResponseFuture<Result<Verdict, Outcome>>;

    fn handle(&mut self, ask: Ask, _: &mut Context<Self>) -> Self::Result {
        let shipper = Rc::clone(&self.shipper);
        Box::pin(async move { shipper.ask(&ask.commit).await })
    }
}

impl Handler<Ping> for UploadActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
}

impl Handler<Drain> for UploadActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        let stop = Rc::clone(&self.stop);
        Box::pin(async move {
            stop.send_replace(true);
            stop.closed().await;
        })
    }
}
