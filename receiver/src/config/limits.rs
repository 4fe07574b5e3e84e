//! What is asked of clients, as the configuration says it.

use std::time::Duration;

/// What is asked of the sender of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// A byte at least in this time.
    pub idle: Duration,
    /// So many bytes a second at least, on the average of such a time; 0: any number.
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
