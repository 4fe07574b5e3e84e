//! What the queue knows about itself, in one struct for tests, health and whoever else asks.

use serde::Serialize;

use crate::queue::quarantine::entries::Tally;

/// The queue's counters since its start, and its state at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// Episodes that are known and may be tried.
    pub ready: usize,
    /// Episodes that wait after a failure.
    pub waiting: usize,
    /// Episodes that are shipped or moved at the moment.
    pub in_flight: usize,
    /// Looks at `episodes/` that came to an end.
    pub passes: u64,
    /// Looks at `episodes/` or at the outbox that failed.
    pub failed_passes: u64,
    /// Episodes moved to `shipped/`.
    pub shipped: u64,
    /// Of these: those that the receiver had already.
    pub already_present: u64,
    /// Episodes moved to `quarantine/`.
    pub refused: u64,
    /// Of these: those whose id is taken by other bytes.
    pub conflicts: u64,
    /// Attempts that ended without a verdict.
    pub retries: u64,
    /// Orphans removed from the outbox.
    pub swept: u64,
    /// Refused episodes that went back to `episodes/` because the gate admits their commit.
    pub released: u64,
    /// What lies in quarantine; none before it was looked through for the first time.
    pub quarantine: Option<Tally>,
    /// Whether the whole queue waits.
    pub on_hold: bool,
    /// `X-Cis490-Commit-Position` of the latest answer that had one.
    pub commit_position: Option<String>,
}
