//! The rustls settings that the configured files result in (with ring).
//!
//! Only HTTP/1.1 is offered, because HTTP/2 loses early answers. Every change of a file makes new settings with a new
//! session cache. So no session from the time of other authorities can be resumed.

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
    /// The receiver's certificate, followed by those that lead to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the receiver's certificate.
    pub key: PrivateKeyDer<'static>,
    /// The check of client certificates; `None`: clients are not asked for one.
    pub clients: Option<Clients>,
}

/// The client certificates that are accepted.
#[derive(Debug)]
pub struct Clients {
    /// The authorities that may issue them.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The revocation lists of the authorities.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
    /// True if clients can also identify themselves in another way. Otherwise a client without a certificate is
    /// rejected in the handshake, before it can send a request.
    pub optional: bool,
}

/// The TLS settings in force.
#[derive(Debug)]
pub struct ServerTls {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// For certificates of existing connections.
    pub verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// The expiry of the receiver's own certificate.
    pub expires: SystemTime,
}

/// The reason why the contents cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTls {
    /// The certificate and the key do not fit together.
    #[error("`server.tls.cert_file` and `server.tls.key_file` cannot be used together: {}", own_fault(&.0.to_string()))]
    Identity(#[source] rustls::Error),
    /// The first certificate cannot be read.
    #[error("`server.tls.cert_file`: its first certificate cannot be read")]
    Certificate,
    /// The authorities or the revocation lists cannot be used.
    #[error("`auth.client_ca_file` and `auth.client_crl_file` cannot be used: {0}")]
    Clients(String),
    /// The crypto provider lacks something that TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

impl ServerTls {
    /// Creates the settings from the contents of the files.
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
        // A list revokes hosts. To remove an authority between them and the root, change `client_ca_file`.
        .only_check_end_entity_revocation()
        // Not every authority needs a list.
        .allow_unknown_revocation_status();
    if clients.optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| unusable(&error))
}
