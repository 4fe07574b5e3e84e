//! Rate-limited warnings about clients: each at most once an hour, and a limited number of them.
//!
//! A refused host retries again and again, and a stranger sends as many requests as it likes. The log must stay
//! readable.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cis490_shared::certificate::{self, Remaining};
use cis490_shared::excerpt::excerpt;
use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};
use tracing::warn;

/// The shortest time between two warnings about the same thing.
pub(super) const SAY_EVERY: Duration = Duration::from_hours(1);
/// The shortest time between two warnings about a certificate that expires soon.
const REMIND_EVERY: Duration = Duration::from_hours(24);
/// The number of different warnings that are remembered. Beyond it, new warnings are not logged.
const REMEMBERED: usize = 1000;

/// The warnings that were logged, and when each may be logged again.
#[derive(Debug, Default)]
pub struct Notices(Mutex<HashMap<String, Muted>>);

#[derive(Debug)]
struct Muted {
    until: Instant,
    /// How often it happened since then without being logged.
    unsaid: u64,
}

impl Notices {
    /// Logs that a sender was refused because of its identity, or because it proved none. Other paths make no other
    /// warning, because a sender can ask for anything.
    pub fn refused(&self, from: Option<SocketAddr>, reason: &str, path: &str) {
        const HELP: &str = "if it is a lab host, run `cis490-shipper --ping` on it; `[auth]` in receiver.toml says \
                            who is allowed";
        let from = from.map_or_else(|| "the Unix socket".to_owned(), |address| address.ip().to_string());
        if let Some(unsaid) = self.due(format!("{from} {reason}"), SAY_EVERY) {
            warn!(%from, reason, unsaid, path = excerpt(path), help = HELP, "a request was refused");
        }
    }

    /// Logs that a TLS handshake failed.
    pub fn handshake_failed(&self, from: Option<SocketAddr>, error: &std::io::Error) {
        const HELP: &str = "if it is a lab host, run `cis490-shipper --ping` on it; an authority in \
                            `auth.client_ca_file` must have issued its certificate";
        let from = from.map_or_else(String::new, |address| address.ip().to_string());
        if let Some(unsaid) = self.due(format!("{from} handshake {error}"), SAY_EVERY) {
            let help = certificate::remedy(&error.to_string()).unwrap_or(HELP);
            warn!(%from, %error, unsaid, help, "a TLS handshake failed");
        }
    }

    /// Logs that the certificate of a client expires soon.
    pub fn expires(&self, name: &HostId, remaining: Remaining) {
        if self.due(format!("{name} expires"), REMIND_EVERY).is_some() {
            warn!(host_id = %name, %remaining, help = "put a new one in place of the files in [receiver] of its lab-host.toml", "a client needs a new certificate");
        }
    }

    /// Logs that the report of a host cannot be read while all are listed.
    pub fn unreadable_report(&self, host_id: &HostId, error: &std::io::Error) {
        if let Some(unsaid) = self.due(format!("{host_id} report"), SAY_EVERY) {
            warn!(%host_id, %error, unsaid, help = "look at its file in host-health/; the host's next report replaces it", "a host report cannot be read");
        }
    }

    /// Logs that other bytes are stored under an id. One warning for each host, because a host that made all its ids
    /// again has a conflict for each episode.
    pub fn conflict(
        &self,
        host_id: &HostId,
        episode_id: &EpisodeId,
        stored: &Sha256Digest,
        sent: &Sha256Digest,
    ) {
        const HELP: &str = "compare the copies in the host's quarantine with the stored archives";
        if let Some(unsaid) = self.due(format!("{host_id} conflict"), SAY_EVERY) {
            warn!(
                %host_id,
                %episode_id,
                stored_sha256 = %stored,
                sent_sha256 = %sent,
                unsaid,
                help = HELP,
                "other bytes are stored under this id, the upload is refused"
            );
        }
    }

    /// Returns `None` if this warning may not be logged now; otherwise how often it was suppressed since it was last
    /// logged.
    pub(super) fn due(&self, what: String, again_after: Duration) -> Option<u64> {
        // Nothing can panic while the lock is held.
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(known) = said.get_mut(&what) {
            if known.until > now {
                known.unsaid += 1;
                return None;
            }
            known.until = now + again_after;
            return Some(std::mem::take(&mut known.unsaid));
        }
        if said.len() >= REMEMBERED {
            said.retain(|_, known| known.until > now);
        }
        let has_room = said.len() < REMEMBERED;
        has_room.then(|| {
            said.insert(what, Muted { until: now + again_after, unsaid: 0 });
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_and_a_flood_of_news_ends() {
        let notices = Notices::default();
        assert_eq!(notices.due("a".to_owned(), SAY_EVERY), Some(0));
        assert_eq!(notices.due("a".to_owned(), SAY_EVERY), None);
        let is_due = |notices: &Notices, n: i32, after| notices.due(n.to_string(), after).is_some();
        let flood = 0..10 * i32::try_from(REMEMBERED).unwrap();
        let said = flood.clone().filter(|n| is_due(&notices, *n, SAY_EVERY)).count();
        assert_eq!(said, REMEMBERED - 1);
        assert_eq!(notices.due("b".to_owned(), Duration::ZERO), None);
        // Warnings that may be logged again make room.
        let short = Notices::default();
        let said = flood.clone().filter(|n| is_due(&short, *n, Duration::ZERO)).count();
        assert_eq!(said, flood.len());
    }

    #[test]
    fn what_was_not_said_is_counted() {
        let notices = Notices::default();
        let host = HostId::parse("lab-1").unwrap();
        for n in 0..5 {
            assert_eq!(notices.due(format!("{host} conflict"), SAY_EVERY).is_some(), n == 0);
        }
        notices.0.lock().unwrap().values_mut().for_each(|said| said.until = Instant::now());
        assert_eq!(notices.due(format!("{host} conflict"), SAY_EVERY), Some(4));
    }
}
