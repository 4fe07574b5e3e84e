//! What people are told: in the log, in `status.json`, by `cis490-shipper status` and by `systemctl status`.
//!
//! - [`log`]: one entry per shipped episode, per commit that is refused, per change of a hold; [`room`]: about room on the
//!   disk; [`seen_once`]: what the log was told already
//! - [`status`]: what the daemon says about itself in `status.json`; [`rate`]: how fast episodes are shipped
//! - [`mod@file`]: reads it, or looks for itself where it is old
//! - [`problem`]: the one thing that a person should read first; [`text`] and [`words`]: how it is said

pub mod file;
pub mod log;
pub mod problem;
pub mod rate;
pub mod room;
pub mod seen_once;
pub mod status;
pub mod text;
pub mod words;
