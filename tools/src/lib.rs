//! The work of the maintainers' programs; the programs themselves, in `src/bin`, only start it.
//!
//! - [`defaults`]: defaults of flags
//! - [`place`]: the paths of store and index, from flags or from the receiver's configuration
//! - [`shell`]: paths quoted for a shell and safe on a terminal
//! - [`usage`]: wrong flags
//! - [`voice`]: messages on a terminal and in the journal
//! - [`gather`]: batches of a thread's results
//! - [`backfill`]: rows for stored archives that have none
//! - [`verify`]: a store against its index, and every archive against the hash in its row
//!
//! No module here writes into a store by itself: rows go through the same IndexWriterActor as the receiver's.

pub mod backfill;
pub mod defaults;
pub mod gather;
pub mod place;
pub mod shell;
pub mod usage;
pub mod verify;
pub mod voice;
