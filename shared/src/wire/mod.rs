//! The protocol as both sides see it.
//!
//! - [`headers`]: names and formats of the request and answer headers (protocol 2.1, 2.4)
//! - [`answer`]: JSON bodies of success (protocol 2.2, 2.4)
//! - [`problem`]: error bodies and the `error` members (protocol 2.2)
//! - [`path`]: the request paths (protocol 2)

pub mod answer;
pub mod headers;
pub mod path;
pub mod problem;
