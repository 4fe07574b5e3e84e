//! Pings every actor, and feeds the service manager's watchdog only if all of them answer.
//!
//! A stuck daemon must not stay "active" (accident 7). A long pass is no stall, because the actors answer meanwhile. A
//! closed mailbox means that an actor has died; no actor is restarted.

use std::time::Duration;

use actix::{MailboxError, Recipient};
use cis490_shared::service;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::actors::Ping;

/// The longest time between two rounds. With a watchdog, a third of its limit if that is shorter.
const INTERVAL: Duration = Duration::from_secs(10);

/// An actor to ping, with its name for the log.
#[derive(Debug)]
pub struct Watched {
    /// The name, for example `queue`.
    pub name: String,
    /// The actor's mailbox.
    pub ping: Recipient<Ping>,
}

/// Returns the time between two rounds under a watchdog with this limit.
pub fn interval(limit: Option<Duration>) -> Duration {
    limit.map_or(INTERVAL, |limit| INTERVAL.min(limit / 3))
}

/// Pings in rounds until an actor has died. Returns the name of that actor.
pub async fn watch(watched: &[Watched], interval: Duration) -> String {
    let mut all_well = true;
    loop {
        let answers = join_all(watched.iter().map(|one| timeout(interval, one.ping.send(Ping)))).await;
        let mut silent = Vec::new();
        for (one, answer) in watched.iter().zip(answers) {
            match answer {
                Ok(Ok(())) => {}
                Ok(Err(MailboxError::Closed)) => {
                    error!(actor = one.name, "an actor has died, the process ends");
                    return one.name.clone();
                }
                Ok(Err(MailboxError::Timeout)) | Err(_) => silent.push(one.name.as_str()),
            }
        }
        match (silent.is_empty(), all_well) {
            (true, _) => service::watchdog(),
            (false, true) => warn!(?silent, "an actor does not answer, the watchdog is not fed"),
            (false, false) => {}
        }
        if silent.is_empty() && !all_well {
            info!("all actors answer again");
        }
        all_well = silent.is_empty();
        sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_rounds_fit_into_the_limit_of_the_watchdog() {
        assert_eq!(interval(None), INTERVAL);
        assert_eq!(interval(Some(Duration::from_mins(3))), INTERVAL);
        assert_eq!(interval(Some(Duration::from_secs(6))), Duration::from_secs(2));
    }
}
