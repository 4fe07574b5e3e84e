//! What the maintainers' programs do; the programs themselves, in `src/bin`, only start it.
//!
//! - [`backfill`]: rows for stored archives that have none
//!
//! Nothing here writes into a store by itself: rows go through the same IndexWriterActor as the receiver's.

pub mod backfill;
