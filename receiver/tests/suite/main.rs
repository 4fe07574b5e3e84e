//! The tests of the receiver from outside its modules, in one program. Each file is about one actor, one endpoint or
//! one command.
//!
//! One program has to be linked only once; `cargo test -p cis490-receiver --test suite http_put` runs one file of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(unreachable_pub, reason = "its files share a module of support")]

mod admit_command;
mod amnesty;
mod auth;
mod check_config;
mod config;
mod git_poll;
mod git_surroundings;
mod healing;
mod http_hostile;
mod http_limits;
mod http_put;
mod http_read;
mod index_writer;
mod ingest;
mod openapi;
mod startup;
mod status_command;
mod support;
mod tls;
mod token_command;
mod voice;
mod watchdog;
