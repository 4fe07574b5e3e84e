//! What becomes of an episode on the lab host: policy, and the directories that hold its state.
//!
//! - [`episode`]: which names in `episodes/` are episodes, and which of them are ready
//! - [`dirs`]: every path and every move between `episodes/`, `outbox/`, `shipped/` and `quarantine/`
//! - [`shared_sync`]: one sync of a directory for all who wait for one
//! - [`answer`]: an answer as it came in; [`judge`]: what it means, protocol 2.2 as one table; [`outcome`]: what that can be
//! - [`schedule`]: which episode is next, and when a failed one is tried again
//! - [`backoff`]: how long to wait after the n-th failure
//! - [`hold`]: when the whole queue waits, because the trouble is not about one episode
//! - [`backlog`]: these three together: what to try now, and what an outcome leads to
//! - [`quarantine`]: the note beside a refused episode, and how long such an episode is kept
//! - [`lived`]: how old something is, by what the shipper has lived through
//! - [`retention`]: which shipped episodes are deleted; [`disk`] says how full the disk is, [`doomed`] deletes
//! - [`notice`]: finished episodes as the kernel tells of them, between two scans
//! - [`sweep`]: what a crash left in the outbox
//! - [`report`], [`room_report`], [`said`]: what a person reads, and what was said already
//!
//! Policy is pure: time and randomness are handed in, nothing here knows actix or HTTP. The state of an
//! episode is the directory that it is in, so a crash at any point loses nothing but waiting times
//! (invariants I4, I6, I7).

pub mod answer;
pub mod backlog;
pub mod backoff;
pub mod dirs;
pub mod disk;
pub mod doomed;
pub mod episode;
pub mod hold;
pub mod judge;
pub mod lived;
pub mod notice;
pub mod outcome;
pub mod quarantine;
pub mod report;
pub mod retention;
pub mod room_report;
pub mod said;
pub mod schedule;
pub mod shared_sync;
pub mod sweep;
