//! Rows for stored archives that have none: the index is rebuilt from the archives, never the other way.
//!
//! - [`apply`]: sends the rows to IndexWriterActor
//! - [`cli`]: flags, printing, exit codes
//!
//! An archive is never touched, and an index only grows. A second run changes nothing. A run beside a live receiver, or
//! beside another run, adds no second row (invariants I3, I4).

pub mod apply;
pub mod cli;
