//! The TLS handshake of a connection.

use std::io;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_tls::accept::rustls_0_23::TlsStream;
use tokio_rustls::TlsAcceptor;

use super::server_tls::ServerTls;

/// The longest time for a handshake: a few small messages each way.
const LIMIT: Duration = Duration::from_secs(10);

/// Does the handshake under the TLS settings in force.
pub async fn shake(connection: TcpStream, now: &ServerTls) -> io::Result<TlsStream<TcpStream>> {
    let accepting = TlsAcceptor::from(now.config.clone()).accept(connection);
    match tokio::time::timeout(LIMIT, accepting).await {
        Ok(shaken) => Ok(shaken?.into()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")),
    }
}
