//! Limits on clients, in the form in which the configuration gives them to the HTTP server.

use std::time::Duration;

/// The pace that the sender of a body must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest time without a byte.
    pub idle: Duration,
    /// The lowest average rate over that time, in bytes a second; 0 allows any rate.
    pub bytes_per_s: u64,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// From everywhere.
    pub in_all: usize,
    /// From one address.
    pub per_peer: usize,
    /// How long a client may take nothing of its answer.
    pub stall: Duration,
}
