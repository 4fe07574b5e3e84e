//! HTTP to the one receiver, and the connection beneath it.
//!
//! - [`requests`]: small requests: HEAD, the gate, ping
//! - [`client`], [`connect`], `dial`, [`interim`]: HTTP/1.1, the connection, the first address that answers, and heads that
//!   are no answers yet
//! - [`target`], [`tls`], [`token`]: where to, who is trusted, and as whom, from files that may change
//! - [`clock_skew`]: how far the receiver's clock is ahead of this host's
//!
//! HTTP types appear nowhere else in the crate but in the upload itself. Everything is bound to one thread, since awc's client is.

pub mod client;
pub mod clock_skew;
pub mod connect;
mod dial;
pub mod interim;
pub mod requests;
pub mod target;
pub mod tls;
pub mod token;
