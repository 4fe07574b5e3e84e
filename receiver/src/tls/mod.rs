//! TLS: the receiver's own certificate, and the check of client certificates.
//!
//! - [`files`]: the files that the configuration names, read again when they change
//! - [`server_tls`]: their contents as rustls needs them
//! - [`handshake`]: the TLS handshake of a connection
//! - [`peer`]: the client's certificate on a connection, and whether it is still valid

pub mod files;
pub mod handshake;
pub mod peer;
pub mod server_tls;
