//! A lab host in a temporary directory, and a receiver that follows a script on a raw listener.

pub mod host;
pub mod log;
pub mod program;
pub mod queues;
pub mod receiver;
pub mod scripted;
pub mod tls;
pub mod uploads;
