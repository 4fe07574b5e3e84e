//! A lab host in a temporary directory, and a receiver that follows a script on a raw listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![allow(unreachable_pub, reason = "it is a module of every test binary")]
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod host;
pub mod log;
pub mod program;
pub mod queues;
pub mod receiver;
pub mod scripted;
pub mod tls;
pub mod uploads;
