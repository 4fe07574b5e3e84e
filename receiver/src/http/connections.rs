//! Limits the number of connections, in all and from one address, and the time that each may go without a request.
//!
//! Clients that open connections and send nothing must not keep out clients that have something to send. So at a limit,
//! the connection that has waited longest for a request makes room. The new one is closed only if none waits. This
//! module also ends connections that the HTTP library does not end by itself. The library times the first head of a
//! connection and the silence between two requests. It times neither a later head that comes byte by byte nor a body
//! that nobody reads any more.
//!
//! Connections over a Unix socket, from loopback and from a trusted proxy belong to many hosts, so they count in all
//! only.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::notices::{Notices, SAY_EVERY};
use super::timeouts::{self, GIVEN_UP, KEEP_ALIVE, LINGER, WRITTEN};
use crate::auth::proxy::{Origin, Proxies};
use crate::config::limits::Bounds;

/// The kind of pause before the next request, which decides how long it may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Between two requests: silence, and then a head.
    Between,
    /// After a long answer: its last bytes are in the buffers of the server. Then as between two requests.
    Written,
    /// After a refusal whose client may still send the body and reads the answer only then.
    Lingering,
    /// After the server gave up a client that does not send its body.
    GivenUp,
}

impl Rest {
    const fn limit(self) -> Duration {
        match self {
            Self::Between => Duration::from_secs(KEEP_ALIVE.as_secs() + timeouts::HEAD.as_secs()),
            Self::Written => Duration::from_secs(Self::Between.limit().as_secs() + WRITTEN.as_secs()),
            Self::Lingering => LINGER,
            Self::GivenUp => GIVEN_UP,
        }
    }
}

/// The open connections. Clones share one state.
#[derive(Debug, Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
    notices: Notices,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: HashMap<u64, Open>,
    peers: HashMap<IpAddr, Peer>,
    /// True if the log was told that the limit in all is reached.
    is_said: bool,
    ended_for_room: u64,
    turned_away: u64,
}

/// The counters of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConnectionsObservation {
    /// Open connections.
    pub open: usize,
    /// The most connections at the same time.
    pub limit: usize,
    /// Connections ended since the start, while they waited for a request, to make room for another.
    pub ended_for_room: u64,
    /// Connections closed at once since the start, because no other could make room.
    pub turned_away: u64,
}

#[derive(Debug)]
struct Open {
    peer: Option<IpAddr>,
    /// The number of requests that are being served.
    requests: usize,
    /// The time since which the client has taken nothing of the answer that waits for it.
    untaken: Option<Instant>,
    /// The time since which there has been no request.
    since: Instant,
    rest: Rest,
    /// Signalled when the connection must check again whether it is still wanted.
    recheck: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Peer {
    open: usize,
    is_said: bool,
}

/// A limit that was reached, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    InAll(usize),
    OfPeer(IpAddr, usize),
}

impl Connections {
    /// Creates the state without connections.
    pub fn new(bounds: Bounds) -> Self {
        Self { shared: Arc::new(Shared { bounds, state: Mutex::default(), notices: Notices::default() }) }
    }

    /// Adds a connection; returns `None` if there is no room for it.
    pub fn open(&self, peer: Option<IpAddr>) -> Option<Connection> {
        let mut state = self.shared.state();
        let (has_room, reached) = state.make_room(self.shared.bounds, peer);
        state.turned_away += u64::from(!has_room);
        let id = state.next;
        state.next += 1;
        let recheck = Arc::new(Notify::new());
        if has_room {
            if let Some(peer) = peer {
                state.peers.entry(peer).or_default().open += 1;
            }
            let open = Open {
                peer,
                requests: 0,
                untaken: None,
                since: Instant::now(),
                rest: Rest::Between,
                recheck: Arc::clone(&recheck),
            };
            state.open.insert(id, open);
        }
        drop(state);
        // A client can reach a limit as often as it likes, so the log reports each limit once an hour.
        if let Some(reached) = reached
            && self.shared.notices.due(format!("{reached:?}"), SAY_EVERY).is_some()
        {
            reached.log();
        }
        has_room.then(|| Connection { shared: Arc::clone(&self.shared), id, recheck })
    }

    /// Returns the counters.
    pub fn observe(&self) -> ConnectionsObservation {
        let state = self.shared.state();
        let State { ended_for_room, turned_away, .. } = *state;
        let (open, limit) = (state.open.len(), self.shared.bounds.in_all);
        ConnectionsObservation { open, limit, ended_for_room, turned_away }
    }
}

/// Returns the address whose connections are counted together; `None` if they belong to many hosts.
pub fn counted_peer(peer: Option<SocketAddr>, proxies: Option<&Proxies>) -> Option<IpAddr> {
    let address = peer?.ip().to_canonical();
    let is_proxy = proxies.is_some_and(|proxies| proxies.trust(Origin::Tcp(peer)));
    (!address.is_loopback() && !is_proxy).then_some(address)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes room for one more connection, if necessary by ending another. Returns whether there is room, and the limit
    /// if it has been newly reached.
    fn make_room(&mut self, bounds: Bounds, peer: Option<IpAddr>) -> (bool, Option<Reached>) {
        let mut reached = None;
        if let Some((address, known)) = peer.and_then(|peer| Some((peer, self.peers.get_mut(&peer)?)))
            && known.open >= bounds.per_peer
        {
            if !std::mem::replace(&mut known.is_said, true) {
                reached = Some(Reached::OfPeer(address, bounds.per_peer));
            }
            return (self.end_longest_waiting(|open| open.peer == peer), reached);
        }
        if self.open.len() < bounds.in_all {
            // Reported again only after the number was down to half the limit, however often it goes up and down.
            self.is_said &= self.open.len() > bounds.in_all / 2;
            return (true, None);
        }
        if !std::mem::replace(&mut self.is_said, true) {
            reached = Some(Reached::InAll(bounds.in_all));
        }
        (self.end_longest_waiting(|_| true), reached)
    }

    /// Ends the matching connection that has waited longest for a request. Returns false if none waits.
    fn end_longest_waiting(&mut self, concerns: impl Fn(&Open) -> bool) -> bool {
        let waiting = self.open.iter().filter(|(_, open)| open.requests == 0 && concerns(open));
        let Some(id) = waiting.min_by_key(|(_, open)| open.since).map(|(id, _)| *id) else { return false };
        self.close(id);
        self.ended_for_room += 1;
        true
    }

    fn close(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        open.recheck.notify_one();
        if let Some(peer) = open.peer
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.open -= 1;
            if known.open == 0 {
                self.peers.remove(&peer);
            }
        }
    }
}

impl Reached {
    fn log(self) {
        match self {
            Self::InAll(connections) => warn!(
                connections,
                help = "`ss -tn` shows from where; `server.max_connections` is the bound",
                "connection limit reached, closing the longest-idle ones"
            ),
            Self::OfPeer(peer, connections) => warn!(
                %peer,
                connections,
                help = "`server.max_connections_per_peer` is the bound",
                "per-address connection limit reached, closing the longest-idle ones"
            ),
        }
    }
}

/// An admitted connection; dropping it frees its place.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    id: u64,
    recheck: Arc<Notify>,
}

impl Connection {
    /// Waits until the connection is no longer wanted. It had to make room, went without a request for too long, or its
    /// client took nothing of an answer for too long.
    pub async fn unwanted(&self) {
        while let Some(until) = self.wanted_until() {
            // It is time to check again in both cases: after a signal and after the timeout.
            let _ = timeout_at(until, self.recheck.notified()).await;
        }
    }

    /// Returns the time of the next check; `None` if the connection must end.
    fn wanted_until(&self) -> Option<Instant> {
        let (state, now) = (self.shared.state(), Instant::now());
        let open = state.open.get(&self.id)?;
        let until = match (open.requests, open.untaken) {
            (0, _) => open.since + open.rest.limit(),
            (_, Some(untaken)) => untaken + self.shared.bounds.stall,
            (_, None) => now + open.rest.limit(),
        };
        Some(until).filter(|until| *until > now)
    }

    /// Records that a request is being served, so that the connection does not count as waiting.
    pub fn begin_request(&self) {
        if let Some(open) = self.shared.state().open.get_mut(&self.id) {
            open.requests += 1;
            open.rest = Rest::Between;
        }
    }

    /// Records whether the client must take a part of an answer now. Called again with every part.
    pub fn waits_for_client(&self, waits: bool) {
        if let Some(open) = self.shared.state().open.get_mut(&self.id) {
            open.untaken = waits.then(Instant::now);
        }
    }

    /// Records that the request was answered; `rest` is the kind of pause that follows.
    pub fn end_request(&self, rest: Rest) {
        if let Some(open) = self.shared.state().open.get_mut(&self.id) {
            open.requests -= 1;
            (open.since, open.rest, open.untaken) = (Instant::now(), rest, None);
            if rest == Rest::GivenUp {
                // The task in `unwanted` waits for a later time, so it must check again.
                open.recheck.notify_one();
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.state().close(self.id);
    }
}

#[cfg(test)]
mod tests;
