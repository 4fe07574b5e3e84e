//! What is tried when: the order of the backlog, and what an outcome leads to.
//!
//! - [`backlog`]: what to try now; schedule and hold together
//! - [`schedule`]: which episode is next, and when a failed one is tried again; [`backoff`]: how long that is
//! - [`hold`]: when the whole queue waits, because the trouble is not about one episode
//! - [`awaited`]: when the gate is asked about the commits of refused episodes, and when these go back
//!
//! Pure: time and randomness are handed in, nothing here touches a disk or a connection.

pub mod awaited;
pub mod backlog;
pub mod backoff;
pub mod hold;
pub mod schedule;
