//! Limits on clients, as the configuration gives them to the HTTP server.

use std::time::Duration;

/// The slowest pace that a body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest time without a byte.
    pub idle: Duration,
    /// The lowest average rate over that time, in bytes a second; 0 allows any rate.
    pub bytes_per_s: u64,
}

/// The limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most connections in all.
    pub in_all: usize,
    /// The most connections from one address.
    pub per_peer: usize,
    /// The longest time in which a client may take nothing of its answer.
    pub stall: Duration,
}
