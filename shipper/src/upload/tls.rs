//! Who is trusted, and as whom this host introduces itself: rustls with ring, from PEM files. Blocks.
//!
//! Only HTTP/1.1 is offered: HTTP/2 knows no `100 Continue` here and loses early refusals. Every error
//! names the key of the configuration to look at. Reading the certificates again while the shipper runs is
//! deliberately left to a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Receiver;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that the configuration names.
    #[error("`{key}`: cannot read `{}`: {source}", path.display())]
    Read {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is there, but what it should hold is not in it.
    #[error("`{key}`: `{}` holds no {wanted} in PEM form", path.display())]
    Content {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// Certificate and key are readable but useless.
    #[error("`receiver.client_cert_file` and `receiver.client_key_file` cannot be used: {0}")]
    Identity(#[source] rustls::Error),
    /// The system trusts nobody, and the configuration names nobody.
    #[error("this system trusts no certificate authority: name the receiver's in `receiver.ca_file`")]
    NoRoots,
    /// The cryptography does not offer what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

const CA_FILE: &str = "receiver.ca_file";
const CERT_FILE: &str = "receiver.client_cert_file";
const KEY_FILE: &str = "receiver.client_key_file";

/// Reads what the configuration names; none for a receiver without TLS. Blocks.
pub fn client_config(receiver: &Receiver) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    if !receiver.url.is_tls() {
        return Ok(None);
    }
    let roots = match &receiver.ca_file {
        Some(path) => roots_of(certificates(CA_FILE, path)?),
        None => roots_of(rustls_native_certs::load_native_certs().certs),
    };
    if roots.is_empty() {
        return Err(match &receiver.ca_file {
            Some(path) => {
                TlsError::Content { key: CA_FILE, path: path.clone(), wanted: "certificate authority" }
            }
            None => TlsError::NoRoots,
        });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots);
    let mut config = match (&receiver.client_cert_file, &receiver.client_key_file) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(CERT_FILE, cert)?, private_key(key)?)
            .map_err(TlsError::Identity)?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// Takes those that can be authorities: a system's store may hold others, which trust nothing.
fn roots_of(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(key, path)?;
    let missing = || TlsError::Content { key, path: path.to_owned(), wanted: "certificate" };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| missing())?;
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read(KEY_FILE, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::Content {
        key: KEY_FILE,
        path: path.to_owned(),
        wanted: "private key",
    })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { key, path: path.to_owned(), source })
}
