//! Asks every actor whether it is still there, and feeds the service manager's watchdog only if all are.
//!
//! A daemon that is stuck must not stay "active" (accident 7); a long pass is no stall, since the actors
//! answer all the while. A closed mailbox means that an actor has died; it does not come back.

use std::time::Duration;

use actix::{MailboxError, Recipient};
use cis490_shared::service;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::actors::Ping;

/// The longest time between two rounds; with a watchdog it is a third of its limit, if that is shorter.
const INTERVAL: Duration = Duration::from_secs(10);

/// Somebody to ask, with a name for the log.
#[derive(Debug)]
pub struct Watched {
    /// For example `queue`.
    pub name: String,
    /// Its mailbox.
    pub ping: Recipient<Ping>,
}

/// The time between two rounds under a watchdog with this limit.
pub fn interval(limit: Option<Duration>) -> Duration {
    limit.map_or(INTERVAL, |limit| INTERVAL.min(limit / 3))
}

/// Asks in rounds, for ever. Returns the name of an actor that has died.
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
