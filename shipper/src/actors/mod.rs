//! The actors, each a thin shell around plain structs of [`crate::policy`], [`crate::store`] and [`crate::upload`].
//!
//! | actor | owns | accepts | sends to | runs on |
//! |---|---|---|---|---|
//! | [`queue::QueueActor`] | the directories and the order of episodes | `Scan`, `Noticed`, `Missed`, `ShownAnew`, `Observe`, `Ping`, `Drain` | UploadActor: `Ship`, `Ask` | the main arbiter |
//! | [`upkeep::UpkeepActor`] | the times of the last walks, and the running time | `Ping`, `Drain` | nobody; StatusActor reads what it publishes | the main arbiter |
//! | [`watch::WatchActor`] | the watches on `episodes/` | `Ping`, `Drain` | QueueActor: `Noticed`, `Missed` | the main arbiter |
//! | [`credentials::CredentialsActor`] | the files of certificates and token | `Reload`, `Ping` | QueueActor: `ShownAnew`; uploaders read what it publishes | the main arbiter |
//! | [`status::StatusActor`] | `status.json` | `Ping`, `Drain` | QueueActor: `Observe` | the main arbiter |
//! | [`upload::UploadActor`] | an HTTP client | `Ship`, `Ask`, `Ping`, `Drain` | nobody | an arbiter of its own |
//!
//! Actors know each other as `Recipient`; only [`crate::run`] knows the concrete actors. A panic ends an actor for
//! good: its mailbox is closed from then on, and [`crate::watchdog`] ends the process.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture,
};
use tokio::task::{JoinError, spawn_blocking};
use tracing::error;

pub mod credentials;
pub mod queue;
pub mod status;
pub mod upkeep;
pub mod upload;
pub mod watch;

/// Asks whether an actor still handles messages. Sent by the watchdog.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Asks an actor to begin nothing new. QueueActor and UploadActor answer once nothing is under way, StatusActor after
/// its last write, the others at once. Sent at shutdown.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

/// Runs blocking work in the pool, then calls `then` with its result. Stops the actor if the work panics.
fn in_pool<A: Actor<Context = Context<A>>, T: Send + 'static>(
    actor: &A,
    ctx: &mut Context<A>,
    work: impl FnOnce() -> T + Send + 'static,
    then: impl FnOnce(&mut A, T, &mut Context<A>) + 'static,
) {
    let done = spawn_blocking(work).into_actor(actor);
    ctx.spawn(done.map(move |done: Result<T, JoinError>, act, ctx| match done {
        Ok(done) => then(act, done, ctx),
        Err(error) => {
            error!(%error, "work on the data directory ended in a panic");
            ctx.stop();
        }
    }));
}

/// Restarts a timer with `next`, or only cancels it.
fn rearm<A, M>(timer: &mut Option<SpawnHandle>, ctx: &mut Context<A>, next: Option<(M, Duration)>)
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result = ()> + 'static,
{
    if let Some(old) = timer.take() {
        ctx.cancel_future(old);
    }
    *timer = next.map(|(message, wait)| ctx.notify_later(message, wait));
}
