//! Feeds the service manager's watchdog from the actors themselves, and ends the process when one is gone.
//!
//! An actor that panicked does not come back: its mailbox is closed and every request that needs it would fail
//! for ever. An actor that is stuck answers nobody, so the watchdog is not fed and the manager acts (incident 7). So it is
//! with the HTTP workers, each of which has an actor that answers as long as it does.

use std::time::Duration;

use actix::Recipient;

use crate::actors::Ping;
use crate::actors::worker::Workers;

/// How often the actors are asked where no watchdog sets the pace.
const PACE: Duration = Duration::from_secs(2);

/// An actor and its name.
#[derive(Debug)]
pub struct Watched {
    /// For the log.
    pub name: &'static str,
    /// Where to ask.
    pub ping: Recipient<Ping>,
}

/// An actor is gone.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} is gone, it must have panicked; the log above says why")]
pub struct ActorGone(pub &'static str);

/// How often to ask, where the manager waits `limit` for a sign of life.
pub fn pace(limit: Option<Duration>) -> Duration {
    limit.map_or(PACE, |limit| (limit / 3).min(PACE))
}

/// Asks every actor and every worker again and again; calls `feed` when all of them answered; ends when one is gone.
pub async fn watch(actors: &[Watched], workers: &Workers, pace: Duration, feed: impl Fn()) -> ActorGone {
    loop {
        for worker in workers.all() {
            if worker.send(Ping).await.is_err() {
                return ActorGone("an HTTP worker");
            }
        }
        for actor in actors {
            if actor.ping.send(Ping).await.is_err() {
                return ActorGone(actor.name);
            }
        }
        feed();
        tokio::time::sleep(pace).await;
    }
}
