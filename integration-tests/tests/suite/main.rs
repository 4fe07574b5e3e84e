//! Tests of the real programs together that need nothing but git: part of `cargo test --workspace`.
//!
//! Tests that need root, other programs or minutes are in `tests/system`, and tests that measure are in `tests/timing`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod activation;
mod admit;
mod awkward_proxies;
mod completion;
mod descriptors;
mod end_to_end;
mod hostile_archives;
mod incidents;
mod log_floods;
mod mtls;
mod notice;
mod planted_links;
mod rate_limit;
mod shutdown;
mod status;
mod tokens;
mod version_gate;
