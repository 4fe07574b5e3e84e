//! The files that the configuration names for TLS: read when one of them changed. Everything here blocks.

use std::path::PathBuf;

use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::pem::{PemError, PemFile};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::server_tls::{Clients, InvalidTls, ServerTls, TlsInputs};
use crate::config::{AuthConfig, TlsConfig};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is of no use.
    #[error(transparent)]
    File(#[from] PemError),
    /// Everything can be read, and does not fit together.
    #[error(transparent)]
    InvalidTls(#[from] InvalidTls),
}

/// The files, and the states in which they were read last.
#[derive(Debug)]
pub struct TlsFiles {
    tls: TlsConfig,
    client_ca: Option<PathBuf>,
    client_crl: Option<PathBuf>,
    certificates_are_optional: bool,
    seen: Vec<FileFingerprint>,
}

impl TlsFiles {
    /// The files that the configuration names, not read yet.
    pub fn of(tls: &TlsConfig, auth: &AuthConfig) -> Self {
        Self {
            tls: tls.clone(),
            client_ca: auth.client_ca_file.clone(),
            client_crl: auth.client_crl_file.clone(),
            certificates_are_optional: auth.tokens_file.is_some() || auth.proxy.is_some(),
            seen: Vec::new(),
        }
    }

    /// What they hold, where one of them is another than it was when they were read last.
    ///
    /// A certificate and its key are two files that nobody can replace at once. Where they are met half way they do not
    /// fit together, nothing changes, and the next look finds both.
    pub fn read_if_changed(&mut self) -> Result<Option<ServerTls>, TlsError> {
        let optional = |key, path| Option::map(path, |path: &PathBuf| PemFile::open(key, path)).transpose();
        let chain = PemFile::open("server.tls.cert_file", &self.tls.cert_file)?;
        let key = PemFile::open("server.tls.key_file", &self.tls.key_file)?;
        let authorities = optional("auth.client_ca_file", self.client_ca.as_ref())?;
        let revoked = optional("auth.client_crl_file", self.client_crl.as_ref())?;
        let all = [Some(&chain), Some(&key), authorities.as_ref(), revoked.as_ref()];
        let stamps: Vec<FileFingerprint> = all.into_iter().flatten().map(PemFile::stamp).collect();
        if self.seen == stamps {
            return Ok(None);
        }
        let material = ServerTls::of(TlsInputs {
            chain: chain.all::<CertificateDer<'static>>("certificate")?,
            key: key.private_key()?,
            clients: authorities
                .map(|authorities| self.clients(&authorities, revoked.as_ref()))
                .transpose()?,
        })?;
        self.seen = stamps;
        Ok(Some(material))
    }

    fn clients(&self, authorities: &PemFile<'_>, revoked: Option<&PemFile<'_>>) -> Result<Clients, PemError> {
        let lists = revoked.map(|list| list.all::<CertificateRevocationListDer<'static>>("revocation list"));
        Ok(Clients {
            authorities: authorities.all::<CertificateDer<'static>>("certificate")?,
            revoked: lists.transpose()?.unwrap_or_default(),
            optional: self.certificates_are_optional,
        })
    }
}
