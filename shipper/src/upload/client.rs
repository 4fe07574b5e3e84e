//! awc's client for one receiver: HTTP/1.1, no redirects, no deadline of its own.
//!
//! One per thread and used for one episode at a time. awc's only deadline would cover a whole upload, so the
//! callers bring theirs. It retries nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::http::header::HeaderValue;
use awc::http::{Method, header};
use awc::{ClientRequest, ClientResponse};
use cis490_shared::wire::headers::COMMIT_POSITION;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use crate::config::{Receiver, ReceiverUrl};
use crate::queue::outcome::Answer;
use crate::upload::connect::{self, ConnectFailure, LastConnected};
use crate::upload::tls::{self, TlsError};
use crate::upload::token::{self, TokenError};

const USER_AGENT: &str = concat!("cis490-shipper/", env!("CARGO_PKG_VERSION"));

/// The largest body of an answer that is read, in bytes. The receiver's are below 4 KiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Longer than any connection may take: [`connect`] gives up first, and says why.
const NEVER: Duration = Duration::from_hours(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// There was no connection, so nothing was sent.
    #[error(transparent)]
    Unreachable(ConnectFailure),
    /// The connection broke, or what came back is not HTTP. Whether anything arrived is unknown.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing came back in time. Whether anything arrived is unknown.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The receiver.
    pub url: ReceiverUrl,
    /// How to speak TLS with it; none without TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// What every request carries to say who is asking; none where the certificate does, or nobody asks.
    pub authorization: Option<HeaderValue>,
}

/// Why there is no way to the receiver yet: a file that the configuration names.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// One of those for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The one with the token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Target {
    /// Reads what the configuration names. Blocks.
    pub fn read(receiver: &Receiver) -> Result<Self, TargetError> {
        let tls = tls::client_config(receiver)?;
        let authorization = receiver.token_file.as_deref().map(token::authorization).transpose()?;
        Ok(Self { url: receiver.url.clone(), tls, authorization })
    }
}

/// A client with its connections.
pub struct Client {
    target: Target,
    awc: RefCell<awc::Client>,
    connected: LastConnected,
}

impl Client {
    /// A client without any connection yet.
    pub fn new(target: Target) -> Self {
        let connected = Rc::new(Cell::new(None));
        let awc = RefCell::new(build(&target, &connected));
        Self { target, awc, connected }
    }

    /// Closes all connections. The next request makes a new one.
    ///
    /// To be called after an answer that came instead of `100 Continue`: whether the server goes on to read
    /// a body from that connection is anybody's guess.
    pub fn forget_connections(&self) {
        let fresh = build(&self.target, &self.connected);
        self.awc.replace(fresh);
    }

    /// When a connection was last made.
    pub fn last_connected(&self) -> Option<Instant> {
        self.connected.get()
    }

    /// Begins a request.
    pub fn request(&self, method: Method, path: &str) -> ClientRequest {
        let url = &self.target.url;
        let (open, close) = if url.host().contains(':') { ("[", "]") } else { ("", "") };
        // Always `http`: the connector sees to TLS. The port keeps awc from choosing one by the scheme.
        let uri = format!("http://{open}{}{close}:{}{path}", url.host(), url.port());
        let request = self.awc.borrow().request(method, uri);
        match &self.target.authorization {
            Some(value) => request.insert_header((header::AUTHORIZATION, value.clone())),
            None => request,
        }
    }
}

fn build(target: &Target, connected: &LastConnected) -> awc::Client {
    let connector = connect::connector(&target.url, target.tls.clone(), Rc::clone(connected));
    awc::Client::builder()
        .connector(awc::Connector::new().connector(connector).timeout(NEVER))
        .disable_timeout()
        .disable_redirects()
        .add_default_header((header::USER_AGENT, USER_AGENT))
        .finish()
}

/// Takes what awc says about a request without an answer.
pub fn silence(error: SendRequestError) -> Silence {
    match error {
        SendRequestError::Connect(ConnectError::Io(error)) => match error.downcast::<ConnectFailure>() {
            Ok(failure) => Silence::Unreachable(failure),
            Err(error) => Silence::Broken(error.to_string()),
        },
        SendRequestError::Connect(error) => Silence::Broken(error.to_string()),
        // These two say nothing about themselves but their source.
        SendRequestError::Send(error) => Silence::Broken(error.to_string()),
        SendRequestError::Response(error) => Silence::Broken(error.to_string()),
        other => Silence::Broken(other.to_string()),
    }
}

/// Reads an answer to its end, within `limit`. A body that cannot be read leaves the status to speak alone.
pub async fn read_answer<S>(mut response: ClientResponse<S>, limit: Duration) -> Answer
where
    S: futures_util::Stream<Item = Result<bytes::Bytes, PayloadError>> + Unpin,
{
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = text("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let position = text(COMMIT_POSITION).and_then(|text| text.parse().ok());
    let status = response.status().as_u16();
    let body = match timeout(limit, response.body().limit(MAX_ANSWER_BYTES)).await {
        Ok(Ok(body)) => body.to_vec(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    Answer { status, retry_after, position, body }
}
