//! The data directory of a lab host, whose places are the state of its episodes.
//!
//! - [`layout`]: every path, the lock that keeps a second shipper away; [`probe`] tries the moves at the start
//! - [`scan`]: which names in `episodes/` are episodes, and which of them are ready; [`inotify`]: what the kernel tells of
//!   them between two scans
//! - [`moves`]: every move between `episodes/`, `outbox/`, `shipped/` and `quarantine/`; [`shared_sync`]: one sync of a
//!   directory for all who wait for one
//! - [`outbox`]: the archive of an episode, packed or taken as it lies there; [`sweep`]: what a crash left there
//! - [`quarantine`]: the note beside a refused episode, what lies there, and how it goes back
//! - [`shipped`]: which shipped episodes are deleted; [`disk`] says how full the disk is, [`doomed`] deletes,
//!   [`lived`] says how old something is by what the shipper has lived through
//!
//! Everything here blocks. A crash at any point loses nothing but waiting times (invariants I4, I6, I7).

pub mod disk;
pub mod doomed;
pub mod inotify;
pub mod layout;
pub mod lived;
pub mod moves;
pub mod outbox;
pub mod probe;
pub mod quarantine;
pub mod scan;
pub mod shared_sync;
pub mod shipped;
pub mod sweep;

#[cfg(test)]
mod tests;
