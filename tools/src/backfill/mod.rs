//! Rows for stored archives that have none: the index is rebuilt from the archives, never the other way.
//!
//! - [`scan`]: which archives there are
//! - [`plan`]: which of them lack a row
//! - [`examine`]: what an archive says about itself, from one read
//! - [`apply`]: the rows on their way through IndexWriterActor
//! - [`cli`]: flags, printing, exit codes
//!
//! An archive is never touched, and an index only grows. Running it twice changes nothing, running it beside
//! a live receiver or beside itself adds no second row (invariants I3, I4).

pub mod apply;
pub mod cli;
pub mod examine;
pub mod plan;
pub mod scan;
