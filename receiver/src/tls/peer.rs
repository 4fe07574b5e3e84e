//! The certificate at the other end of a connection. A connection may outlive what made it good: every request asks.

use std::cell::RefCell;
use std::sync::Arc;

use cis490_shared::certificate::{CertificateInfo, Remaining};
use cis490_shared::clock::system_time;
use cis490_shared::ids::HostId;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::server_tls::ServerTls;

/// The certificate of a client. Stays on the thread of its connection.
#[derive(Debug)]
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    facts: Option<CertificateInfo>,
    /// Under which it was accepted last. None at first: between the handshake and the first request, which is asked
    /// about once more, others may have come into force.
    accepted: RefCell<Option<Arc<ServerTls>>>,
}

impl Peer {
    /// The client that introduced itself with this chain.
    pub fn new(chain: &[CertificateDer<'_>]) -> Self {
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let facts = chain.first().and_then(CertificateInfo::read);
        Self { chain, facts, accepted: RefCell::new(None) }
    }

    /// Whom it names, or why it names nobody that counts now.
    pub fn name(&self, now: &Arc<ServerTls>) -> Result<&HostId, &'static str> {
        let facts = self.facts.as_ref().ok_or("the certificate cannot be read")?;
        if facts.expires < system_time() {
            return Err("the certificate has expired");
        }
        let is_accepted = self.accepted.borrow().as_ref().is_some_and(|under| Arc::ptr_eq(under, now));
        if !is_accepted {
            self.accept(now)?;
        }
        facts.name.as_ref().ok_or("the certificate names no single host")
    }

    /// Whose it is and how long it lasts, where that is not long.
    pub fn ends_soon(&self) -> Option<(&HostId, Remaining)> {
        let facts = self.facts.as_ref()?;
        let remaining = Remaining::of(facts.expires, system_time());
        facts.name.as_ref().map(|name| (name, remaining)).filter(|_| remaining.is_short())
    }

    /// Looks at it as a handshake would.
    fn accept(&self, now: &Arc<ServerTls>) -> Result<(), &'static str> {
        const REASON: &str = "the certificate is not accepted any more";
        let verifier = now.verifier.as_ref().ok_or(REASON)?;
        let (leaf, rest) = self.chain.split_first().ok_or(REASON)?;
        verifier.verify_client_cert(leaf, rest, UnixTime::now()).map_err(|_| REASON)?;
        self.accepted.replace(Some(Arc::clone(now)));
        Ok(())
    }
}
