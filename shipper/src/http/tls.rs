//! Who is trusted, and as whom this host introduces itself: rustls with ring, from PEM files. Blocks.
//!
//! Only HTTP/1.1 is offered: HTTP/2 knows no `100 Continue` here and loses early refusals. Every error
//! names the key of the configuration to look at.

use std::sync::Arc;
use std::time::SystemTime;

use cis490_shared::certificate::{CertificateInfo, own_fault};
use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::pem::{PemError, PemFile};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use crate::config::Receiver;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that the configuration names.
    #[error(transparent)]
    File(#[from] PemError),
    /// Certificate and key are readable but useless.
    #[error("`receiver.client_cert_file` and `receiver.client_key_file` cannot be used: {}", own_fault(&.0.to_string()))]
    Identity(#[source] rustls::Error),
    /// The system trusts nobody, and the configuration names nobody.
    #[error("this system trusts no certificate authority: name the receiver's in `receiver.ca_file`")]
    NoRoots,
    /// The cryptography does not offer what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

/// How TLS is spoken with the receiver.
#[derive(Debug, Clone)]
pub struct Tls {
    /// For every connection.
    pub config: Arc<ClientConfig>,
    /// When this host's own certificate ends; none where it has none.
    pub expires: Option<SystemTime>,
}

/// The open files that the configuration names.
#[derive(Debug)]
pub struct TlsFiles<'a> {
    authorities: Option<PemFile<'a>>,
    identity: Option<(PemFile<'a>, PemFile<'a>)>,
}

impl<'a> TlsFiles<'a> {
    /// Opens them; none for a receiver without TLS.
    pub fn open(receiver: &'a Receiver) -> Result<Option<Self>, TlsError> {
        if !receiver.url.is_tls() {
            return Ok(None);
        }
        let open = PemFile::open;
        let authorities =
            receiver.ca_file.as_deref().map(|path| open("receiver.ca_file", path)).transpose()?;
        let identity = match (&receiver.client_cert_file, &receiver.client_key_file) {
            (Some(cert), Some(key)) => {
                Some((open("receiver.client_cert_file", cert)?, open("receiver.client_key_file", key)?))
            }
            _ => None,
        };
        Ok(Some(Self { authorities, identity }))
    }

    /// The states that they are in.
    pub fn stamps(&self) -> impl Iterator<Item = FileFingerprint> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.authorities.iter().chain(identity).map(PemFile::stamp)
    }

    /// What they mean.
    pub fn read(&self) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Provider)?
            .with_root_certificates(self.roots()?);
        let (mut config, expires) = match &self.identity {
            Some((cert, key)) => {
                let chain = cert.all::<CertificateDer<'static>>("certificate")?;
                let expires = chain.first().and_then(CertificateInfo::read).map(|facts| facts.expires);
                let config = builder.with_client_auth_cert(chain, key.private_key()?);
                (config.map_err(TlsError::Identity)?, expires)
            }
            None => (builder.with_no_client_auth(), None),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), expires })
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let (trusted, none) = match &self.authorities {
            Some(file) => (
                file.all::<CertificateDer<'static>>("certificate")?,
                file.holds_no("certificate authority").into(),
            ),
            None => (rustls_native_certs::load_native_certs().certs, TlsError::NoRoots),
        };
        let mut roots = RootCertStore::empty();
        // Those that can be authorities: a system's store may hold others, which trust nothing.
        roots.add_parsable_certificates(trusted);
        if roots.is_empty() { Err(none) } else { Ok(roots) }
    }
}
