//! The tests of the shipper from outside its modules, in one program. Each file is about one actor or one command.
//!
//! One program links once; `cargo test -p cis490-shipper --test suite queue_trouble` runs one file of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(unreachable_pub, reason = "its files share a module of support")]

mod answers;
mod cli;
mod cli_check;
mod cli_manners;
mod cli_ping;
mod cli_quarantine;
mod cli_status;
mod held;
mod pace;
mod queue;
mod queue_noticed;
mod queue_release;
mod queue_trouble;
mod status;
mod support;
mod upkeep;
mod upload;
mod upload_broken;
