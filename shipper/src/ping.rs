//! `--ping`: proves the whole path to the receiver, and says in one line what it found.
//!
//! It needs no actor and writes nothing, on either side. A receiver of the earlier generation answers
//! without its clock; then the skew stays unknown.

use std::fmt;
use std::time::{Duration, SystemTime};

use actix::System;
use cis490_shared::clock::{WallTime, system_time};
use cis490_shared::latest::Latest;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::time::Instant;

use crate::config::Config;
use crate::queue::outcome::{Outcome, about_the_receiver};
use crate::upload::ask;
use crate::upload::client::{Client, Silence};
use crate::upload::clock_skew::ClockSkew;
use crate::upload::progress::Deadlines;
use crate::upload::target::{TargetError, TargetFiles};

/// A receiver that answered.
#[derive(Debug)]
pub struct Pong {
    url: String,
    status: u16,
    round_trip: Duration,
    skew: Option<SignedDuration>,
}

impl fmt::Display for Pong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} in {:.1} ms", self.url, self.status, self.round_trip.as_secs_f64() * 1000.0)?;
        match self.skew {
            Some(skew) => write!(f, ", clock skew {:+.3} s", skew.as_secs_f64()),
            None => f.write_str(", clock skew unknown"),
        }
    }
}

/// Why the path to the receiver is not proven.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// A certificate, key or token that the configuration names cannot be used.
    #[error(transparent)]
    Target(TargetError),
    /// No answer.
    #[error("`{url}`: {silence}")]
    Silent {
        /// The receiver.
        url: String,
        /// Why.
        silence: Silence,
    },
    /// An answer, but not the right one.
    #[error("`{url}`: answered {status}{}", detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Refused {
        /// The receiver.
        url: String,
        /// The status code.
        status: u16,
        /// What it says about it.
        detail: Option<String>,
        /// What a person should look at.
        help: &'static str,
    },
}

impl PingError {
    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Refused { help, .. } => help,
            Self::Target(_) => "mend the file that it names, then: cis490-shipper --check-config",
            Self::Silent { silence, .. } => silence.help().unwrap_or(
                "check `receiver.url` and the network; on the collector: systemctl status cis490-receiver",
            ),
        }
    }
}

/// Asks once.
pub fn ping(config: &Config) -> Result<Pong, PingError> {
    let url = config.receiver.url.to_string();
    let (target, _) = TargetFiles::read(&config.receiver).map_err(PingError::Target)?;
    System::new().block_on(async move {
        let client = Client::new(Latest::new(target), ClockSkew::default());
        let (begin, asked_at) = (Instant::now(), system_time());
        let answer = match ask::ping(&client, &config.host_id, Deadlines::default().small).await {
            Ok(answer) => answer,
            Err(silence) => return Err(PingError::Silent { url, silence }),
        };
        let round_trip = begin.elapsed();
        match (answer.status, about_the_receiver(&answer)) {
            (200, _) => {
                Ok(Pong { url, status: 200, round_trip, skew: skew(&answer.body, asked_at + round_trip / 2) })
            }
            (status, Outcome::HostBlocked(blocked)) => {
                Err(PingError::Refused { url, status, detail: blocked.detail, help: blocked.help })
            }
            (status, _) => Err(PingError::Refused {
                url,
                status,
                detail: None,
                help: "the receiver is in trouble: look at its log",
            }),
        }
    })
}

/// How far the receiver's clock is ahead of ours, if its answer says what it shows.
fn skew(body: &[u8], ours: SystemTime) -> Option<SignedDuration> {
    #[derive(Deserialize)]
    struct AnyPong {
        server_time: WallTime,
    }
    let theirs: AnyPong = serde_json::from_slice(body).ok()?;
    let theirs: Timestamp = theirs.server_time.as_str().parse().ok()?;
    Some(theirs.duration_since(Timestamp::try_from(ours).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skew_is_known_only_where_the_receiver_says_what_its_clock_shows() {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        let body = br#"{"status": "ok", "server_time": "2025-10-09T08:53:21.500000+00:00"}"#;
        assert_eq!(skew(body, ours), Some(SignedDuration::from_millis(1500)));
        assert_eq!(skew(br#"{"ok": true}"#, ours), None);
        assert_eq!(skew(br#"{"server_time": "yesterday"}"#, ours), None);
    }
}
