//! The programs for maintainers, run as a person would run them; one folder for each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod demo;
mod index_backfill;
mod verify;
