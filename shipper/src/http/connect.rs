//! The connection beneath HTTP: TCP, and TLS if the URL asks for it.
//!
//! awc is given plain `http` URLs and this connector, so that only this module decides about TLS. The connector does
//! three things that awc's own does not:
//! - It accepts an IPv6 address as the name of the server.
//! - It sets `TCP_NODELAY`, because without it a handshake waits for a delayed acknowledgement.
//! - It keeps the kind of a failure, so that an untrusted certificate does not look like a cut cable.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_service::{Service, fn_service};
use actix_tls::connect::rustls_0_23::TlsConnector;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Host};
use awc::http::Uri;
use cis490_shared::certificate;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout};

use crate::config::ReceiverUrl;
use crate::http::wire::Wire;

/// How long a connection may take, and how long the handshake after it may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The most unsent bytes that the kernel holds. When it takes more, the upload makes progress.
const UNSENT: u32 = 128 * 1024;

/// The "Connection Attempt Delay" of RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Why there is no connection. Nothing was sent in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// The name cannot be resolved, or nothing listens there.
    #[error("cannot connect: {0}")]
    Tcp(#[source] io::Error),
    /// No answer came in time.
    #[error("cannot connect: no answer within {} s", CONNECT_LIMIT.as_secs())]
    TimedOut,
    /// The receiver's certificate was issued by an authority that this host does not trust.
    #[error("the receiver's certificate is not trusted: {0}; name its authority in `receiver.ca_file`")]
    UnknownAuthority(#[source] rustls::Error),
    /// The receiver's certificate is not valid yet or has expired, by this host's clock.
    #[error("the receiver's certificate is not valid at this host's current time: {0}")]
    Dates(#[source] rustls::Error),
    /// The receiver's certificate is not for a server, or not for this one.
    #[error("the receiver's certificate cannot be used: {source}{}", remedy.map(|text| format!("; {text}")).unwrap_or_default())]
    Unusable {
        /// The error of the TLS library.
        source: rustls::Error,
        /// The next step, if it is known.
        remedy: Option<&'static str>,
    },
    /// One side rejected the other in the handshake.
    #[error("the TLS handshake failed: {0}")]
    Refused(#[source] rustls::Error),
    /// The connection broke during the handshake.
    #[error("the TLS handshake broke off: {0}")]
    Tls(#[source] io::Error),
}

/// The time of the latest connection, from which the wait for `100 Continue` counts.
pub type LastConnected = Rc<Cell<Option<Instant>>>;

/// Returns a service that connects to the receiver in the configuration.
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
    let connecting = async { first(lookup_host((&*peer.host, peer.port)).await?, TcpStream::connect).await };
    let stream = match timeout(CONNECT_LIMIT, connecting).await {
        Err(_) => return Err(ConnectFailure::TimedOut),
        Ok(connected) => connected.map_err(ConnectFailure::Tcp)?,
    };
    stream.set_nodelay(true).map_err(ConnectFailure::Tcp)?;
    // Without it the kernel takes megabytes before it asks for more, which looks like a stall on a slow link.
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
        // An authority that was made anew under its old name shows as a bad signature.
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

/// The server to connect to. An IPv6 address has no brackets here, unlike in a URL.
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

/// Returns the first success of `dial` over the addresses, in the manner of RFC 8305, or the first failure if all fail.
///
/// An address that leads nowhere, as an AAAA record often does, must not delay the others. Each address has a head
/// start before the next is tried beside it. When an address fails, the next is tried at once. Address families take
/// turns, beginning with the one that the resolver prefers.
async fn first<T, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    dial: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let (mut waiting, mut tries, mut failure) = (in_turns(addresses), FuturesUnordered::new(), None);
    loop {
        tries.extend(waiting.pop_front().map(&dial));
        let head_start = async {
            match waiting.is_empty() {
                true => pending().await,
                false => sleep(HEAD_START).await,
            }
        };
        tokio::select! {
            () = head_start => {}
            ended = tries.next() => match ended {
                Some(Ok(given)) => return Ok(given),
                Some(Err(error)) => _ = failure.get_or_insert(error),
                None => {
                    let unknown = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                    return Err(failure.unwrap_or_else(unknown));
                }
            },
        }
    }
}

/// Returns the addresses with the two families in turn, and otherwise in the given order.
fn in_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let prefers_v6 = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) =
        addresses.partition(|address| address.is_ipv6() == prefers_v6);
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let before = turns.len();
        turns.extend(preferred.next());
        turns.extend(others.next());
        if turns.len() == before {
            return turns;
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError::{NotValidForName, Other, UnknownIssuer};
    use rustls::{Error, OtherError};

    use super::*;

    /// Errors of the certificate verifier, under the names that it gives them.
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

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn paused<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test)
    }

    /// Returns the address that answers, and after how many milliseconds. Port 1 leads nowhere, port 2 refuses.
    fn dialled(texts: &[&str]) -> (Result<String, String>, u128) {
        paused(async {
            let begin = Instant::now();
            let answered = first(addresses(texts), |address| async move {
                match address.port() {
                    1 => pending().await,
                    2 => Err(io::Error::other(format!("{address} refuses"))),
                    _ => Ok(address.to_string()),
                }
            });
            let answered = tokio::time::timeout(Duration::from_secs(5), answered).await;
            let answered = answered.map_err(|_| "nobody".to_owned());
            let answered = answered.and_then(|ended| ended.map_err(|error| error.to_string()));
            (answered, begin.elapsed().as_millis())
        })
    }

    #[test]
    fn an_address_that_leads_nowhere_costs_a_head_start_and_no_more() {
        assert_eq!(dialled(&["[::1]:1", "127.0.0.1:80"]), (Ok("127.0.0.1:80".to_owned()), 250));
        assert_eq!(dialled(&["[::1]:1", "[::2]:1", "127.0.0.1:80"]), (Ok("127.0.0.1:80".to_owned()), 250));
        assert_eq!(dialled(&["[::1]:80", "127.0.0.1:80"]), (Ok("[::1]:80".to_owned()), 0));
    }

    #[test]
    fn an_address_that_refuses_costs_nothing() {
        assert_eq!(dialled(&["[::1]:2", "127.0.0.1:2", "127.0.0.2:80"]), (Ok("127.0.0.2:80".to_owned()), 0));
        assert_eq!(dialled(&["[::1]:2", "127.0.0.1:2"]), (Err("[::1]:2 refuses".to_owned()), 0));
        assert_eq!(dialled(&["[::1]:1", "127.0.0.1:2"]), (Err("nobody".to_owned()), 5000));
        assert_eq!(dialled(&[]), (Err("the name has no address".to_owned()), 0));
    }

    #[test]
    fn families_take_turns() {
        let turns = in_turns(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]));
        assert_eq!(turns, addresses(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]));
    }
}
