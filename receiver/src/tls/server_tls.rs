//! What the files of the configuration mean to rustls (with ring).
//!
//! Only HTTP/1.1 is offered: HTTP/2 loses early answers. Every change of a file makes a configuration of its own, with
//! a memory of its own for sessions: none that began under other authorities can be taken up.

use std::sync::Arc;
use std::time::SystemTime;

use cis490_shared::certificate::{CertificateInfo, own_fault};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// The contents of the files.
#[derive(Debug)]
pub struct TlsInputs {
    /// The receiver's certificate first, then those that lead to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
    /// Whose certificates are believed; none: nobody is asked for one.
    pub clients: Option<Clients>,
}

/// Which certificates of clients are believed.
#[derive(Debug)]
pub struct Clients {
    /// The authorities that may issue them.
    pub authorities: Vec<CertificateDer<'static>>,
    /// What they have revoked.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Whether there is another way to say who one is. Without one, a client without a certificate is sent away in the
    /// handshake, before it can send a request.
    pub optional: bool,
}

/// TLS as it is in force.
#[derive(Debug)]
pub struct ServerTls {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// For certificates of connections that are there already.
    pub verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// When the receiver's own certificate ends.
    pub expires: SystemTime,
}

/// Why the contents cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTls {
    /// Certificate and key.
    #[error("`server.tls.cert_file` and `server.tls.key_file` cannot be used together: {}", own_fault(&.0.to_string()))]
    Identity(#[source] rustls::Error),
    /// The first certificate cannot be read.
    #[error("`server.tls.cert_file`: its first certificate cannot be read")]
    Certificate,
    /// The authorities, or what they revoked.
    #[error("`auth.client_ca_file` and `auth.client_crl_file` cannot be used: {0}")]
    Clients(String),
    /// The cryptography does not offer what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

impl ServerTls {
    /// Takes the contents of the files.
    pub fn of(contents: TlsInputs) -> Result<Self, InvalidTls> {
        let TlsInputs { chain, key, clients } = contents;
        let expires = chain.first().and_then(CertificateInfo::read).ok_or(InvalidTls::Certificate)?.expires;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = clients.map(verifier).transpose()?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(InvalidTls::Provider)?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(InvalidTls::Identity)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), verifier, expires })
    }
}

fn verifier(clients: Clients) -> Result<Arc<dyn ClientCertVerifier>, InvalidTls> {
    let unusable = |reason: &dyn std::fmt::Display| InvalidTls::Clients(reason.to_string());
    let mut roots = RootCertStore::empty();
    for authority in clients.authorities {
        roots.add(authority).map_err(|error| unusable(&error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(clients.revoked)
        // A list revokes hosts. An authority between them and the root is taken away by `client_ca_file`.
        .only_check_end_entity_revocation()
        // Of several authorities not all need to have a list.
        .allow_unknown_revocation_status();
    if clients.optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| unusable(&error))
}
