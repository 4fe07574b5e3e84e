//! A store against its index, both ways, and every archive against the hash in its row.
//!
//! - [`shelf`]: the files in the store, by names and sizes
//! - [`ledger`]: the promises of the index, read as a stream
//! - [`custody`]: owner and mode of the index
//! - [`compare`]: the differences (pure)
//! - [`reread`], [`sample`], [`since`]: the choice of archives to read again
//! - [`rehash`], [`throttle`], [`deep`]: reading and decoding them within the rate limit
//! - [`checksums`]: the hashes of the index, for `sha256sum -c`
//! - [`progress`], [`resume`]: the progress of a run, kept over interruptions
//! - [`findings`], [`advice`]: the faults, and the next commands to paste
//! - [`request`]: the scope of a run; [`check`]: the run from its first look to its last
//! - [`report`], [`cli`], [`failed`]: output for people and programs, flags and exit codes
//!
//! Nothing below the store is ever written, moved or deleted, and the index is opened read-only, because a check must
//! not be able to do damage. Repairs are left to a person (invariants I2, I3).

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
