//! How many connections there may be, in all and from one address, and how long one may go without a request.
//!
//! Whoever opens connections and says nothing on them must not keep those out who have something to send. So at a bound
//! the connection makes room that has waited longest for a request, and only where none waits the new one is closed.
//! What the HTTP library does not end by itself ends here: it times the first head of a connection and the silence
//! between two requests, but no later head that comes byte by byte, and no body that nobody reads any more.
//!
//! Over a Unix socket, from loopback and from a proxy that is believed come the connections of many hosts: these count
//! in all only.

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

/// How long a connection may go without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Between two requests: silence, and then a head.
    Between,
    /// After a long answer: its last bytes are in the buffers of the server, and then as between two requests.
    Written,
    /// After a refusal whose client may still send the body, and reads the answer only then.
    Lingering,
    /// After a client was given up that does not send its body.
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

/// The connections that there are. Clones share one state.
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
    /// Whether it was said that the bound is reached.
    is_said: bool,
    ended_for_room: u64,
    turned_away: u64,
}

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConnectionsObservation {
    /// Connections.
    pub open: usize,
    /// How many there may be.
    pub limit: usize,
    /// How many were ended since the start, waiting for a request, to make room for another.
    pub ended_for_room: u64,
    /// How many were closed at once since the start, because none could make room.
    pub turned_away: u64,
}

#[derive(Debug)]
struct Open {
    peer: Option<IpAddr>,
    /// Requests that are being served.
    requests: usize,
    /// Since when its client has taken nothing of the answer that waits for it.
    untaken: Option<Instant>,
    /// Without a request since.
    since: Instant,
    rest: Rest,
    /// Told when it is to check again whether it is still wanted.
    recheck: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Peer {
    open: usize,
    is_said: bool,
}

/// What is logged when a bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    InAll(usize),
    OfPeer(IpAddr, usize),
}

impl Connections {
    /// No connections yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { shared: Arc::new(Shared { bounds, state: Mutex::default(), notices: Notices::default() }) }
    }

    /// Takes in a connection; none where there is no room for it.
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
        // A client can reach a bound as often as it likes; the log tells each bound once an hour.
        if let Some(reached) = reached
            && self.shared.notices.due(format!("{reached:?}"), SAY_EVERY).is_some()
        {
            reached.log();
        }
        has_room.then(|| Connection { shared: Arc::clone(&self.shared), id, recheck })
    }

    /// How full it is.
    pub fn observe(&self) -> ConnectionsObservation {
        let state = self.shared.state();
        let State { ended_for_room, turned_away, .. } = *state;
        let (open, limit) = (state.open.len(), self.shared.bounds.in_all);
        ConnectionsObservation { open, limit, ended_for_room, turned_away }
    }
}

/// The address whose connections are counted together; none where they are those of many hosts.
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
    /// Whether one more fits, if need be in the place of another; and what is to be said about it, once.
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
            // Said again only after the trouble was clearly over, however often the number goes up and down.
            self.is_said &= self.open.len() > bounds.in_all / 2;
            return (true, None);
        }
        if !std::mem::replace(&mut self.is_said, true) {
            reached = Some(Reached::InAll(bounds.in_all));
        }
        (self.end_longest_waiting(|_| true), reached)
    }

    /// Ends the one of these that has waited longest for a request, if any waits.
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
                "no more connections are taken, those that wait longest for a request make room"
            ),
            Self::OfPeer(peer, connections) => warn!(
                %peer,
                connections,
                help = "`server.max_connections_per_peer` is the bound",
                "no more connections from this address are taken, those that wait longest for a request make room"
            ),
        }
    }
}

/// A connection that was taken in; dropping it gives its place back.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    id: u64,
    recheck: Arc<Notify>,
}

impl Connection {
    /// Waits until it is no longer wanted: it had to make room, or went without a request for too long.
    pub async fn unwanted(&self) {
        while let Some(until) = self.wanted_until() {
            // Either it was told to check again, or it is time to.
            let _ = timeout_at(until, self.recheck.notified()).await;
        }
    }

    /// When it is to be asked again; none if it is to end.
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

    /// A request is being served on it: it does not wait for one meanwhile.
    pub fn begin_request(&self) {
        if let Some(open) = self.shared.state().open.get_mut(&self.id) {
            open.requests += 1;
            open.rest = Rest::Between;
        }
    }

    /// Says whether its client has to take a part of an answer now; told again with every part.
    pub fn waits_for_client(&self, waits: bool) {
        if let Some(open) = self.shared.state().open.get_mut(&self.id) {
            open.untaken = waits.then(Instant::now);
        }
    }

    /// The request was answered; says what may follow.
    pub fn end_request(&self, rest: Rest) {
        if let Some(open) = self.shared.state().open.get_mut(&self.id) {
            open.requests -= 1;
            (open.since, open.rest, open.untaken) = (Instant::now(), rest, None);
            if rest == Rest::GivenUp {
                // It has set out to wait for longer.
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
