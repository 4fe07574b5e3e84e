//! Who sends a request, and what that principal may do. No request is answered here, and only [`mod@file`] and
//! [`last_use`] touch the disk.
//!
//! - [`principal`]: the names that a request can carry
//! - [`rights`]: which principal may do what on which path: the only such table
//! - [`tokens`]: bearer tokens, of which only hashes are at rest
//! - [`proxy`]: which proxies are trusted to name a client
//! - [`mod@file`]: the token file
//! - [`last_use`]: when each token was last used

pub mod file;
pub mod last_use;
pub mod principal;
pub mod proxy;
pub mod rights;
pub mod tokens;
