//! Real programs together, as far as that needs nothing but git: part of `cargo test --workspace`.
//!
//! What needs root, other programs or minutes is in `tests/system`, what measures is in `tests/timing`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod activation;
mod admit;
mod awkward_proxies;
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
