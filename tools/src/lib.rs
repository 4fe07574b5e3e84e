//! What the maintainers' programs do; the programs themselves, in `src/bin`, only start it.
//!
//! - [`defaults`]: what they assume where a flag does not say
//! - [`place`]: where store and index are, by flags or by the receiver's configuration
//! - [`shell`]: paths as they can be pasted, and shown on a terminal
//! - [`usage`]: flags that mean nothing
//! - [`voice`]: how they talk, on a terminal and in the journal
//! - [`gather`]: what their threads have done, handed on together
//! - [`backfill`]: rows for stored archives that have none
//! - [`verify`]: a store against its index, and every archive against the hash in its row
//!
//! Nothing here writes into a store by itself: rows go through the same IndexWriterActor as the receiver's.

pub mod backfill;
pub mod defaults;
pub mod gather;
pub mod place;
pub mod shell;
pub mod usage;
pub mod verify;
pub mod voice;
