//! The connection beneath HTTP: TCP, and TLS where the URL asks for it.
//!
//! awc is given plain `http` URLs and this connector, so that whether TLS runs beneath is decided here alone.
//! That is for three things that its own connector does not do: a server name may be an IPv6 address,
//! `TCP_NODELAY` is set (without it a handshake waits for a delayed acknowledgement), and a failure keeps
//! its kind, so that "who vouches for this certificate?" does not look like a cut cable.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::{ActixStream, Ready};
use actix_service::{Service, fn_service};
use actix_tls::connect::rustls_0_23::TlsConnector;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Host};
use awc::http::Uri;
use cis490_shared::certificate;
use rustls::ClientConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::config::ReceiverUrl;
use crate::http::dial;
use crate::http::interim::Answers;

/// How long a connection may take, and how long the handshake after it.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// So many bytes wait in the kernel to be sent before it takes more, which is the sign that an upload goes on.
const UNSENT: u32 = 128 * 1024;

/// Why there is no connection. Nothing was sent in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// The name cannot be resolved, or nobody listens there.
    #[error("cannot connect: {0}")]
    Tcp(#[source] io::Error),
    /// Nobody answered in time.
    #[error("cannot connect: no answer within {} s", CONNECT_LIMIT.as_secs())]
    TimedOut,
    /// The receiver's certificate was issued by somebody whom this host does not trust.
    #[error("the receiver's certificate is not trusted: {0}; name its authority in `receiver.ca_file`")]
    UnknownAuthority(#[source] rustls::Error),
    /// The receiver's certificate begins later or has ended, as this host's clock has it.
    #[error("the receiver's certificate does not count by the clock of this host: {0}")]
    Dates(#[source] rustls::Error),
    /// The receiver's certificate is none for a server, or not for this one.
    #[error("the receiver's certificate cannot be used: {source}{}", remedy.map(|text| format!("; {text}")).unwrap_or_default())]
    Unusable {
        /// What the TLS library says.
        source: rustls::Error,
        /// What to do, where that is known.
        remedy: Option<&'static str>,
    },
    /// Either side does not like what the other has shown.
    #[error("the TLS handshake failed: {0}")]
    Refused(#[source] rustls::Error),
    /// The connection broke while the two were at it.
    #[error("the TLS handshake broke off: {0}")]
    Tls(#[source] io::Error),
}

/// When a connection was last made: the wait for `100 Continue` counts from there.
pub type LastConnected = Rc<Cell<Option<Instant>>>;

/// Makes connections to the one receiver that the configuration names.
pub fn connector(
    url: &ReceiverUrl,
    tls: Option<Arc<ClientConfig>>,
    connected: LastConnected,
) -> impl Service<ConnectInfo<Uri>, Response = Connection<Uri, Wire>, Error = ConnectError> + Clone + 'static
{
    let peer = Peer { host: url.host().into(), port: url.port() };
    fn_service(move |info: ConnectInfo<Uri>| {
        let (peer, tls, connected) = (peer.clone(), tls.clone(), Rc::clone(&connected));
        async move {
            let wire =
                connect(peer, tls).await.map_err(|failure| ConnectError::Io(io::Error::other(failure)))?;
            connected.set(Some(Instant::now()));
            Ok(Connection::new(info.request().clone(), wire))
        }
    })
}

async fn connect(peer: Peer, tls: Option<Arc<ClientConfig>>) -> Result<Wire, ConnectFailure> {
    let connecting =
        async { dial::first(lookup_host((&*peer.host, peer.port)).await?, TcpStream::connect).await };
    let stream = match timeout(CONNECT_LIMIT, connecting).await {
        Err(_) => return Err(ConnectFailure::TimedOut),
        Ok(connected) => connected.map_err(ConnectFailure::Tcp)?,
    };
    stream.set_nodelay(true).map_err(ConnectFailure::Tcp)?;
    // Without it the kernel takes megabytes before it asks for more, which on a slow link looks like a stall.
    SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT).map_err(ConnectFailure::Tcp)?;
    let Some(config) = tls else { return Ok(Wire::over(stream)) };
    let handshake = TlsConnector::service(config).call(Connection::new(peer, stream));
    match timeout(CONNECT_LIMIT, handshake).await {
        Err(_) => Err(ConnectFailure::TimedOut),
        Ok(shaken) => Ok(Wire::over(shaken.map_err(tls_failure)?.into_parts().0)),
    }
}

fn tls_failure(error: io::Error) -> ConnectFailure {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    use rustls::Error::InvalidCertificate;
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return ConnectFailure::Tls(error);
    };
    match tls.clone() {
        // A bad signature is what an authority looks like that was made anew under its old name.
        tls @ InvalidCertificate(UnknownIssuer | BadSignature) => ConnectFailure::UnknownAuthority(tls),
        tls @ InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => ConnectFailure::Dates(tls),
        source @ InvalidCertificate(_) => {
            let remedy = certificate::remedy(&source.to_string());
            ConnectFailure::Unusable { source, remedy }
        }
        tls => ConnectFailure::Refused(tls),
    }
}

/// Whom to connect to. An IPv6 address stands here without the brackets that it has in a URL.
#[derive(Debug, Clone)]
struct Peer {
    host: Rc<str>,
    port: u16,
}

impl Host for Peer {
    fn hostname(&self) -> &str {
        &self.host
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// How much of a head is read at a time, in bytes: all of it, as a rule.
const HEAD_BYTES: usize = 4096;

/// A connection, with or without TLS.
pub struct Wire {
    stream: Box<dyn Duplex>,
    answers: Answers,
    /// Bytes that came with a head and were not asked for yet.
    shown: VecDeque<u8>,
}

impl Wire {
    fn over(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), answers: Answers::default(), shown: VecDeque::new() }
    }

    fn hand_over(&mut self, into: &mut ReadBuf<'_>) {
        let length = into.remaining().min(self.shown.len());
        let bytes: Vec<u8> = self.shown.drain(..length).collect();
        into.put_slice(&bytes);
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.shown.is_empty() {
            if self.answers.are_passed_on() {
                return Pin::new(&mut self.stream).poll_read(cx, into);
            }
            let mut bytes = [0; HEAD_BYTES];
            let mut head = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut head))?;
            let has_ended = head.filled().is_empty();
            let shown = if has_ended { self.answers.ended() } else { self.answers.came(head.filled()) };
            self.shown.extend(shown);
            if has_ended {
                break;
            }
        }
        self.hand_over(into);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.sent();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Asked for by awc's bounds and never called by it: a read or write of its own finds out as well.
impl ActixStream for Wire {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::READABLE))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::WRITABLE))
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError::{NotValidForName, Other, UnknownIssuer};
    use rustls::{Error, OtherError};

    use super::*;

    /// What the verifier of certificates says, under the name that it has there.
    #[derive(Debug, thiserror::Error)]
    #[error("{self:?}")]
    enum Says {
        UnsupportedCertVersion,
        CaUsedAsEndEntity,
    }

    #[test]
    fn a_failed_handshake_names_the_end_whose_certificate_it_is_about_and_what_to_do() {
        let other = |says: Says| Other(OtherError(Arc::new(says)));
        for (error, told, remedy) in [
            (
                other(Says::UnsupportedCertVersion),
                "the receiver's certificate cannot be used: ",
                "version 1: make it anew",
            ),
            (other(Says::CaUsedAsEndEntity), "the receiver's certificate cannot be used: ", "signed by it"),
            (NotValidForName, "the receiver's certificate cannot be used: ", ""),
            (UnknownIssuer, "the receiver's certificate is not trusted: ", "receiver.ca_file"),
        ] {
            let failure = tls_failure(io::Error::other(Error::InvalidCertificate(error)));
            let failure = failure.to_string();
            assert!(failure.starts_with(told) && failure.contains(remedy), "{failure}");
        }
    }
}
