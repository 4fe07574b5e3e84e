//! Rows for stored archives that have none: the index is rebuilt from the archives, never the other way.
//!
//! - [`apply`]: the rows on their way through IndexWriterActor
//! - [`cli`]: flags, printing, exit codes
//!
//! An archive is never touched, and an index only grows. Running it twice changes nothing, running it beside
//! a live receiver or beside itself adds no second row (invariants I3, I4).

pub mod apply;
pub mod cli;
