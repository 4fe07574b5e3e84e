//! Tests of faults, lost power, full disks, proxies and other clients, which need root, strace, FUSE, curl or
//! gigabytes.
//!
//! A test that cannot run fails. The tests mostly wait and run in parallel; docs/testing.md has the command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(clippy::print_stdout, reason = "counts, figures and seeds are what a reader wants")]

mod crash_points;
mod crash_points_backfill;
mod crash_points_shipper;
mod disk_full;
mod failed_sync;
mod index_trouble;
mod memory;
mod moves;
mod odd_certificates;
mod panicked_actor;
mod power_loss;
mod proxies;
mod read_only_disk;
mod shipped_room;
mod soak;
mod sparse;
mod wire_compat;
