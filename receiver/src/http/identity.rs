//! Identifies the sender of a request and checks its rights, once for each request, before `100 Continue` and before
//! any handler.

use actix_http::RequestHead;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use cis490_shared::clock::system_time;
use cis490_shared::ids::HostId;
use cis490_shared::latest::Latest;
use cis490_shared::wire::headers::LAB_HOST;

use super::refusal::Refusal;
use crate::auth::last_use::LastUse;
use crate::auth::principal::Principal;
use crate::auth::proxy::{self, Origin, Proxies};
use crate::auth::rights;
use crate::auth::tokens::Tokens;
use crate::tls::peer::Peer;
use crate::tls::server_tls::ServerTls;

/// Identifies senders and checks their rights.
#[derive(Debug, Clone, Default)]
pub struct Authenticator {
    /// The names that may read and not write.
    pub readers: Vec<HostId>,
    /// The trusted proxies.
    pub proxies: Option<Proxies>,
    /// The accepted tokens.
    pub tokens: Option<Latest<Tokens>>,
    /// When each token was last used.
    pub last_use: LastUse,
    /// The authorities of accepted certificates; `None` if no client is asked for one.
    pub certificates: Option<Latest<ServerTls>>,
}

/// The sender of a request that was let through. It goes with the request, so that no request is checked twice.
#[derive(Debug, Clone)]
pub struct Authorized(pub Principal);

impl Authorized {
    /// Returns true if the sender has proven a name.
    pub fn is_proven(&self) -> bool {
        self.0 != Principal::Anybody
    }

    /// Returns true if the sender may read the data of all hosts.
    pub fn reads_all(&self) -> bool {
        rights::permits(&self.0, rights::Need::Readers)
    }

    /// Returns the host that a request is about: the host that sends it, or the one that any other sender names in
    /// `X-Lab-Host`.
    pub fn host(&self, headers: &HeaderMap) -> Option<HostId> {
        match &self.0 {
            Principal::Host(name) => Some(name.clone()),
            Principal::Anybody | Principal::Reader(_) => {
                headers.get(LAB_HOST).and_then(|value| HostId::parse(value.to_str().ok()?).ok())
            }
        }
    }
}

/// The kind of listener that a connection came over. The address of its other end is in the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A Unix socket.
    Unix,
    /// A TCP port.
    Tcp,
}

/// The head of a request and its connection: everything that identifies the sender.
#[derive(Debug, Clone, Copy)]
pub struct RequestOrigin<'a> {
    /// The head.
    pub head: &'a RequestHead,
    /// The listener.
    pub via: Via,
    /// The client's certificate.
    pub peer: Option<&'a Peer>,
}

impl RequestOrigin<'_> {
    fn origin(&self) -> Origin {
        match self.via {
            Via::Unix => Origin::Unix,
            Via::Tcp => Origin::Tcp(self.head.peer_addr),
        }
    }
}

impl Authenticator {
    /// Identifies the sender of a request; refuses the request if the sender may not make it.
    pub fn authorize(&self, asking: RequestOrigin<'_>) -> Result<Authorized, Refusal> {
        let head = asking.head;
        let need = rights::need(head.method.as_str(), head.uri.path());
        if need == rights::Need::Nothing {
            return Ok(Authorized(Principal::Anybody));
        }
        let principal = self.principal(asking)?;
        // A ping names its host in a header. A host may name only itself there.
        let is_himself = match (&principal, head.headers.get(LAB_HOST)) {
            (Principal::Host(name), Some(named)) => named.as_bytes() == name.as_str().as_bytes(),
            _ => true,
        };
        if is_himself && rights::permits(&principal, need) {
            return Ok(Authorized(principal));
        }
        Err(Refusal::NotAllowed(principal))
    }

    /// Returns the sender. A trusted proxy speaks for its client, whatever certificate the proxy has. A certificate
    /// goes before a token, because a token may have been copied.
    fn principal(&self, asking: RequestOrigin<'_>) -> Result<Principal, Refusal> {
        if self.proxies.is_none() && self.tokens.is_none() && self.certificates.is_none() {
            return Ok(Principal::Anybody);
        }
        let headers = &asking.head.headers;
        let name = match self.named_by_proxy(headers, asking.origin())? {
            Some(name) => name,
            None => match self.named_by_certificate(asking.peer)? {
                Some(name) => name,
                None => self.named_by_token(headers)?,
            },
        };
        Ok(Principal::named(name, &self.readers))
    }

    fn named_by_certificate(&self, peer: Option<&Peer>) -> Result<Option<HostId>, Refusal> {
        let (Some(certificates), Some(peer)) = (&self.certificates, peer) else { return Ok(None) };
        peer.name(&certificates.now()).cloned().map(Some).map_err(Refusal::Unauthenticated)
    }

    fn named_by_proxy(&self, headers: &HeaderMap, origin: Origin) -> Result<Option<HostId>, Refusal> {
        let Some(proxies) = self.proxies.as_ref().filter(|proxies| proxies.trust(origin)) else {
            return Ok(None);
        };
        let mut values = headers.get_all(&proxies.header);
        let Some(value) = values.next().filter(|value| !value.is_empty()) else { return Ok(None) };
        let name = value.to_str().ok().and_then(proxy::name_in).filter(|_| values.next().is_none());
        name.map(Some).ok_or(Refusal::Unauthenticated("the proxy names no single host"))
    }

    fn named_by_token(&self, headers: &HeaderMap) -> Result<HostId, Refusal> {
        let tokens = self.tokens.as_ref();
        let mut values = headers.get_all(AUTHORIZATION);
        let (Some(tokens), Some(value), None) = (tokens, values.next(), values.next()) else {
            return Err(Refusal::Unauthenticated("the request has no credentials"));
        };
        let token = value.to_str().ok().and_then(|text| text.split_once(' '));
        match token {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                let tokens = tokens.now();
                let (id, owner) =
                    tokens.find(token.trim()).ok_or(Refusal::Unauthenticated("the token is not known"))?;
                self.last_use.note(id, system_time());
                Ok(owner.clone())
            }
            _ => Err(Refusal::Unauthenticated("`authorization` holds no bearer token")),
        }
    }
}
