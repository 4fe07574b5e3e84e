//! Tests that measure time or processor time. Each runs alone, because it would measure its neighbours.
//!
//! docs/testing.md has the command; cargo-nextest keeps them apart (`.config/nextest.toml`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(clippy::print_stdout, reason = "counts, figures and seeds are what a reader wants")]

mod big_backlog;
mod flood;
mod precedence;
mod slowloris;
