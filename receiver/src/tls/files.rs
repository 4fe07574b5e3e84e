//! The TLS files that the configuration names, read again when one of them changes. Reading them blocks.

use std::path::PathBuf;
use std::time::SystemTime;

use cis490_shared::certificate::ExpiryReminder;
use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::pem::{PemError, PemFile};
use cis490_shared::watched::WatchedFiles;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use tracing::warn;

use super::server_tls::{Clients, InvalidTls, ServerTls, TlsInputs};
use crate::config::{AuthConfig, TlsConfig};

/// The reason why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] PemError),
    /// All files can be read, but they do not fit together.
    #[error(transparent)]
    InvalidTls(#[from] InvalidTls),
}

/// The files, and their states at the last read.
#[derive(Debug)]
pub struct TlsFiles {
    tls: TlsConfig,
    client_ca: Option<PathBuf>,
    client_crl: Option<PathBuf>,
    certificates_are_optional: bool,
    seen: Vec<FileFingerprint>,
    reminder: ExpiryReminder,
}

impl TlsFiles {
    /// Returns the files that the configuration names. Reads nothing yet.
    pub fn of(tls: &TlsConfig, auth: &AuthConfig) -> Self {
        Self {
            tls: tls.clone(),
            client_ca: auth.client_ca_file.clone(),
            client_crl: auth.client_crl_file.clone(),
            certificates_are_optional: auth.tokens_file.is_some() || auth.proxy.is_some(),
            seen: Vec::new(),
            reminder: ExpiryReminder::default(),
        }
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

impl WatchedFiles for TlsFiles {
    type Value = ServerTls;
    type Error = TlsError;
    const WHAT: &'static str = "certificates";

    /// Reads the files if one of them has changed. A certificate and its key are two files that nobody can replace at
    /// once. Between the two replacements they do not fit together, so nothing changes, and a later read finds both.
    fn read_if_changed(&mut self) -> Result<Option<ServerTls>, TlsError> {
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

    /// Warns that the receiver's own certificate expires, from two weeks before.
    fn remind(&mut self, in_force: &ServerTls, now: SystemTime) {
        if let Some(remaining) = self.reminder.due(in_force.expires, now) {
            warn!(
                %remaining,
                help = "put a new certificate and its key in place of the files in `[server.tls]`; they are taken over within a second",
                "the receiver needs a new certificate"
            );
        }
    }
}
