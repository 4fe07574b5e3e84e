//! What clients bring about, in the log: each thing once in a while, and a bounded number of them.
//!
//! A host that is refused tries again and again, and a stranger as often as he likes; the log must stay readable.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cis490_shared::certificate::Remaining;
use cis490_shared::excerpt::excerpt;
use cis490_shared::ids::HostId;
use tracing::warn;

/// The same thing is said again after this time.
const SAY_EVERY: Duration = Duration::from_hours(1);
/// A certificate that ends soon is spoken of once a day.
const REMIND_EVERY: Duration = Duration::from_hours(24);
/// So many different things are remembered; while there are more, new ones are not said.
const REMEMBERED: usize = 1000;

/// What was said, and when it may be said again.
#[derive(Debug, Default)]
pub struct Notices(Mutex<HashMap<String, Instant>>);

impl Notices {
    /// Somebody was refused for who he is, or is not. What he asked for is not told apart: he can ask for anything.
    pub fn refused(&self, from: Option<SocketAddr>, reason: &str, path: &str) {
        const HELP: &str = "if it is a lab host: `cis490-shipper --ping` on it says what it lacks; `[auth]` in receiver.toml says who may";
        let from = from.map_or_else(|| "the Unix socket".to_owned(), |address| address.ip().to_string());
        if self.is_due(format!("{from} {reason}"), SAY_EVERY) {
            warn!(%from, reason, path = excerpt(path), help = HELP, "a request was refused");
        }
    }

    /// A TLS handshake failed.
    pub fn handshake_failed(&self, from: Option<SocketAddr>, error: &std::io::Error) {
        const HELP: &str = "if it is a lab host: `cis490-shipper --ping` on it says what it lacks; its certificate must be of an authority in `auth.client_ca_file`";
        let from = from.map_or_else(String::new, |address| address.ip().to_string());
        if self.is_due(format!("{from} handshake {error}"), SAY_EVERY) {
            warn!(%from, %error, help = HELP, "a TLS handshake failed");
        }
    }

    /// The certificate of a client ends soon.
    pub fn expires(&self, name: &HostId, remaining: Remaining) {
        if self.is_due(format!("{name} expires"), REMIND_EVERY) {
            warn!(host_id = %name, %remaining, help = "put a new one in place of the files in [receiver] of its lab-host.toml", "a client needs a new certificate");
        }
    }

    /// The report of a host cannot be read when all are listed.
    pub fn unreadable_report(&self, host_id: &HostId, error: &std::io::Error) {
        if self.is_due(format!("{host_id} report"), SAY_EVERY) {
            warn!(%host_id, %error, help = "look at its file in host-health/; the host's next report replaces it", "a host report cannot be read");
        }
    }

    fn is_due(&self, what: String, again_after: Duration) -> bool {
        // Nothing can panic while the lock is held.
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.get(&what).is_some_and(|until| *until > now) {
            return false;
        }
        if said.len() >= REMEMBERED {
            said.retain(|_, until| *until > now);
        }
        let is_due = said.len() < REMEMBERED;
        if is_due {
            said.insert(what, now + again_after);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_and_a_flood_of_news_ends() {
        let notices = Notices::default();
        assert!(notices.is_due("a".to_owned(), SAY_EVERY));
        assert!(!notices.is_due("a".to_owned(), SAY_EVERY));
        let said = (0..10 * REMEMBERED).filter(|n| notices.is_due(n.to_string(), SAY_EVERY)).count();
        assert_eq!(said, REMEMBERED - 1);
        // What may be said again makes room.
        assert!(!notices.is_due("b".to_owned(), Duration::ZERO));
        let short = Notices::default();
        let said = (0..10 * REMEMBERED).filter(|n| short.is_due(n.to_string(), Duration::ZERO)).count();
        assert_eq!(said, 10 * REMEMBERED);
    }
}
