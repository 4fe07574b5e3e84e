//! awc's client for one receiver: HTTP/1.1, no redirects, no deadline of its own.
//!
//! There is one client per thread, used for one episode at a time. awc's only deadline would cover a whole upload, so
//! callers set their own. The client retries nothing.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::http::Method;
use awc::http::header::{self, HeaderMap, HttpDate};
use awc::{ClientRequest, ClientResponse};
use cis490_shared::clock::system_time;
use cis490_shared::latest::Latest;
use cis490_shared::wire::headers::COMMIT_POSITION;
use rustls::AlertDescription;
use tokio::time::{Instant, timeout};

use crate::answers::answer::{Answer, Body, MAX_BODY_BYTES};
use crate::answers::outcome::{Outcome, Scope};
use crate::http::clock_skew::ClockSkew;
use crate::http::connect::{self, ConnectFailure, LastConnected};
use crate::http::target::Target;

const USER_AGENT: &str = concat!("cis490-shipper/", env!("CARGO_PKG_VERSION"));

/// Longer than any connection may take, so that [`connect`] gives up first and says why.
const NEVER: Duration = Duration::from_hours(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There was no connection, so nothing was sent.
    #[error(transparent)]
    Unreachable(ConnectFailure),
    /// The receiver does not accept this host. With TLS 1.3 that shows only after the handshake, at the first request.
    #[error(
        "the receiver rejected this host's certificate, or requires one ({0:?}); see `receiver.client_cert_file`"
    )]
    ClientCertRejected(AlertDescription),
    /// The connection broke, or the answer is not HTTP. Whether anything arrived is unknown.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer came in time. Whether anything arrived is unknown.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl RequestError {
    /// Returns the next step for a person, if waiting will not help.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(ConnectFailure::UnknownAuthority(_)) => Some(
                "set `receiver.ca_file` to the PEM file of the authority that issued the receiver's certificate",
            ),
            Self::Unreachable(ConnectFailure::Dates(_)) => Some(
                "look at this host's clock: `timedatectl`; if it is right, the receiver needs a new certificate",
            ),
            Self::Unreachable(ConnectFailure::Unusable { .. }) => Some(
                "set a server certificate for the name in `receiver.url`: `server.tls` in the receiver's receiver.toml",
            ),
            Self::Unreachable(ConnectFailure::Refused(_)) => {
                Some("check `receiver.url` and the certificates in [receiver]")
            }
            Self::ClientCertRejected(_) => Some(
                "ask the maintainer for a certificate of the authority in `auth.client_ca_file` of receiver.toml",
            ),
            Self::Unreachable(ConnectFailure::Tcp(_) | ConnectFailure::TimedOut | ConnectFailure::Tls(_))
            | Self::Broken(_)
            | Self::TimedOut(_) => None,
        }
    }
}

/// Returns the outcome of a request without an answer: the queue waits, because nothing was said about any episode.
pub fn out_of_reach(silence: &RequestError) -> Outcome {
    let reason = silence.to_string();
    match silence.help() {
        Some(help) => Outcome::TlsRejected { reason, help },
        None => Outcome::Transient { scope: Scope::Network, reason, retry_after: None, help: None },
    }
}

/// A client with its connections.
pub struct Client {
    latest: Latest<Target>,
    target: RefCell<Arc<Target>>,
    awc: RefCell<awc::Client>,
    connected: LastConnected,
    clock_skew: ClockSkew,
}

impl Client {
    /// Returns a client without connections, which reports the receiver's clock to `clock_skew`.
    pub fn new(latest: Latest<Target>, clock_skew: ClockSkew) -> Self {
        let (target, connected) = (latest.now(), Rc::new(Cell::new(None)));
        let awc = RefCell::new(build(&target, &connected));
        Self { latest, target: RefCell::new(target), awc, connected, clock_skew }
    }

    /// Switches to the latest certificates and token. Call it between two episodes.
    pub fn refresh_target(&self) {
        let now = self.latest.now();
        if !Arc::ptr_eq(&self.target.borrow(), &now) {
            self.target.replace(now);
            self.forget_connections();
        }
    }

    /// Closes all connections. The next request makes a new one.
    ///
    /// Call it after an answer that came instead of `100 Continue`: the server may or may not go on to read a body from
    /// that connection.
    pub fn forget_connections(&self) {
        let fresh = build(&self.target.borrow(), &self.connected);
        self.awc.replace(fresh);
    }

    /// Returns the time of the latest connection.
    pub fn last_connected(&self) -> Option<Instant> {
        self.connected.get()
    }

    /// Records the receiver's clock from headers that have just come, to a request that began at `asked`.
    pub fn note_clock(&self, headers: &HeaderMap, asked: Instant) {
        self.clock_skew.note(headers, asked);
    }

    /// The same outcome, with the help that fits what this host shows of itself.
    pub fn explain(&self, outcome: Outcome) -> Outcome {
        self.target.borrow().shown().explain(outcome)
    }

    /// Begins a request.
    pub fn request(&self, method: Method, path: &str) -> ClientRequest {
        let target = self.target.borrow();
        let url = &target.url;
        let (open, close) = if url.host().contains(':') { ("[", "]") } else { ("", "") };
        // Always `http`, because the connector handles TLS. With a port, awc does not choose one by the scheme.
        let uri = format!("http://{open}{}{close}:{}{path}", url.host(), url.port());
        let request = self.awc.borrow().request(method, uri);
        match &target.authorization {
            Some(value) => request.insert_header((header::AUTHORIZATION, value.clone())),
            None => request,
        }
    }
}

fn build(target: &Target, connected: &LastConnected) -> awc::Client {
    let config = target.tls.as_ref().map(|tls| Arc::clone(&tls.config));
    let connector = connect::connector(&target.url, config, Rc::clone(connected));
    awc::Client::builder()
        .connector(awc::Connector::new().connector(connector).timeout(NEVER))
        .disable_timeout()
        .disable_redirects()
        .add_default_header((header::USER_AGENT, USER_AGENT))
        .finish()
}

/// Translates awc's error about a request without an answer.
pub fn request_error(error: SendRequestError) -> RequestError {
    use AlertDescription as Alert;
    // Only alerts about certificates, and none that a broken network could cause.
    if let Some(
        alert @ (Alert::CertificateRequired
        | Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        // Signed by an authority that was made anew under its old name.
        | Alert::DecryptError
        | Alert::AccessDenied),
    ) = alert_in(&error)
    {
        return RequestError::ClientCertRejected(alert);
    }
    match error {
        SendRequestError::Connect(ConnectError::Io(error)) => match error.downcast::<ConnectFailure>() {
            Ok(failure) => RequestError::Unreachable(failure),
            Err(error) => RequestError::Broken(error.to_string()),
        },
        SendRequestError::Connect(error) => RequestError::Broken(error.to_string()),
        // These two show nothing of themselves but their source.
        SendRequestError::Send(error) => RequestError::Broken(error.to_string()),
        SendRequestError::Response(error) => RequestError::Broken(error.to_string()),
        other => RequestError::Broken(other.to_string()),
    }
}

/// Returns the alert that the other end sent before it closed the connection.
fn alert_in(error: &SendRequestError) -> Option<AlertDescription> {
    let mut next: Option<&(dyn Error + 'static)> = match error {
        SendRequestError::Send(error) => Some(error),
        SendRequestError::Response(error) => Some(error),
        _ => None,
    };
    while let Some(error) = next {
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() {
            return Some(*alert);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Returns the wait in a `Retry-After`: a number of seconds, or a date (RFC 9110, 10.2.3).
fn wait_in(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then: HttpDate = text.parse().ok()?;
    Some(SystemTime::from(then).duration_since(now).unwrap_or_default())
}

/// Reads an answer to its end, within `limit`.
pub async fn read_answer<S>(mut response: ClientResponse<S>, limit: Duration) -> Answer
where
    S: futures_util::Stream<Item = Result<bytes::Bytes, PayloadError>> + Unpin,
{
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = text("retry-after").and_then(|text| wait_in(text, system_time()));
    let position = text(COMMIT_POSITION).and_then(|text| text.parse().ok());
    let (location, server) = (text("location").map(str::to_owned), text("server").map(str::to_owned));
    let status = response.status().as_u16();
    let body = match timeout(limit, response.body().limit(MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => Body::Whole(body.to_vec()),
        Ok(Err(PayloadError::Overflow)) => Body::TooLong,
        Ok(Err(_)) | Err(_) => Body::Cut,
    };
    Answer { status, retry_after, position, location, server, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_a_number_of_seconds_or_a_moment() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(wait_in("120", now), Some(Duration::from_mins(2)));
        assert_eq!(wait_in("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait_in("Sun, 06 Nov 1994 08:51:37 GMT", now), Some(Duration::from_mins(2)));
        assert_eq!(wait_in("Sat, 05 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO), "it is over");
        assert_eq!(wait_in("soon", now), None);
    }
}
