//! TLS: as whom the receiver introduces itself, and whose certificates it believes.
//!
//! - [`files`]: what the configuration names, read again when it changed
//! - [`server_tls`]: what was read, as rustls needs it
//! - [`handshake`]: a connection becomes an encrypted one
//! - [`peer`]: the certificate at the other end of a connection, and whether it still counts

pub mod files;
pub mod handshake;
pub mod peer;
pub mod server_tls;
