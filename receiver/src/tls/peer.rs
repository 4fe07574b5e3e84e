//! The client's certificate on a connection. A connection may outlive the certificate, so every request checks it
//! again.

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
    /// The TLS settings under which it was last accepted. `None` at first, so that the first request checks again: the
    /// settings may have changed since the handshake.
    accepted: RefCell<Option<Arc<ServerTls>>>,
}

impl Peer {
    /// Creates the peer for a client that sent this chain.
    pub fn new(chain: &[CertificateDer<'_>]) -> Self {
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let facts = chain.first().and_then(CertificateInfo::read);
        Self { chain, facts, accepted: RefCell::new(None) }
    }

    /// Returns the host that the certificate names, or the reason why the certificate is not valid now.
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

    /// Returns the host and the remaining time of a certificate that expires soon.
    pub fn ends_soon(&self) -> Option<(&HostId, Remaining)> {
        let facts = self.facts.as_ref()?;
        let remaining = Remaining::of(facts.expires, system_time());
        facts.name.as_ref().map(|name| (name, remaining)).filter(|_| remaining.is_short())
    }

    /// Verifies the certificate as a handshake would.
    fn accept(&self, now: &Arc<ServerTls>) -> Result<(), &'static str> {
        const REASON: &str = "the certificate is not accepted any more";
        let verifier = now.verifier.as_ref().ok_or(REASON)?;
        let (leaf, rest) = self.chain.split_first().ok_or(REASON)?;
        verifier.verify_client_cert(leaf, rest, UnixTime::now()).map_err(|_| REASON)?;
        self.accepted.replace(Some(Arc::clone(now)));
        Ok(())
    }
}
