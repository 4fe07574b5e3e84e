//! The sender of a request, and its rights. No request is answered here, and only [`mod@file`] and [`last_use`] touch
//! the disk.
//!
//! - [`principal`]: the kinds of senders
//! - [`rights`]: the rights of each principal on each path, in the only table of rights
//! - [`tokens`]: bearer tokens, of which only hashes are stored
//! - [`proxy`]: the proxies that are trusted to name a client
//! - [`mod@file`]: the token file
//! - [`last_use`]: the last use of each token

pub mod file;
pub mod last_use;
pub mod principal;
pub mod proxy;
pub mod rights;
pub mod tokens;
