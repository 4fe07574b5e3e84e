//! Feeds the service manager's watchdog while all actors answer, and ends the process when one is gone.
//!
//! A panicked actor is not restarted: its mailbox is closed, and every request that needs it would fail for ever. A
//! stuck actor answers nobody, so the watchdog is not fed and the service manager acts (incident 7). The same holds for
//! the HTTP workers, because each has an actor that answers as long as the worker does.

use std::time::Duration;

use actix::Recipient;

use crate::actors::Ping;
use crate::actors::worker::Workers;

/// The interval between two rounds of pings, unless the service manager's watchdog needs a shorter one.
const PACE: Duration = Duration::from_secs(2);

/// An actor and its name.
#[derive(Debug)]
pub struct Watched {
    /// The actor's name in the log.
    pub name: &'static str,
    /// The address for pings.
    pub ping: Recipient<Ping>,
}

/// The error for an actor that is gone.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} is gone, it must have panicked; the log above says why")]
pub struct ActorGone(pub &'static str);

/// Returns the interval between rounds of pings, for a service manager that expects a sign of life within `limit`.
pub fn pace(limit: Option<Duration>) -> Duration {
    limit.map_or(PACE, |limit| (limit / 3).min(PACE))
}

/// Pings every actor and every worker in rounds. Calls `feed` after each round that all of them answered. Returns when
/// one is gone.
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
