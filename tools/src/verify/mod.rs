//! A store against its index, both ways, and every archive against the hash in its row.
//!
//! - [`shelf`]: what the store holds, by names and sizes
//! - [`ledger`]: what the index promises, read as a stream
//! - [`custody`]: whose the index is
//! - [`compare`]: where they differ (pure)
//! - [`reread`], [`sample`], [`since`]: which archives are read again
//! - [`rehash`], [`throttle`], [`deep`]: reading them, not faster than allowed, and opening them
//! - [`checksums`]: the hashes of the index, for `sha256sum -c`
//! - [`progress`], [`resume`]: how far that has come, over interruptions
//! - [`findings`], [`advice`]: what is wrong, and the next command, ready to be pasted
//! - [`request`]: what a run is asked for; [`check`]: the run from its first look to its last
//! - [`report`], [`cli`], [`failed`]: what people and programs get to read; flags and exit codes
//!
//! Nothing below the store is ever written, moved or deleted, and the index is opened for reading alone: who looks
//! must not be able to do damage. What is repaired, a person repairs (invariants I2, I3).

pub mod advice;
pub mod check;
pub mod checksums;
pub mod cli;
pub mod compare;
pub mod custody;
pub mod deep;
pub mod failed;
pub mod findings;
pub mod ledger;
pub mod progress;
pub mod rehash;
pub mod report;
pub mod request;
pub mod reread;
pub mod resume;
pub mod sample;
pub mod shelf;
pub mod since;
pub mod throttle;
