//! The receiver's address, the trusted authorities and this host's credentials. They come from PEM files and a bearer
//! token, read again when one of the files changed. Blocks.
//!
//! TLS is rustls with ring. Only HTTP/1.1 is offered, because HTTP/2 knows no `100 Continue` here and loses early
//! refusals. Every error names the key of the configuration to check.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use awc::http::header::HeaderValue;
use cis490_shared::certificate::{CertificateInfo, own_fault};
use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::fs_error::FsError;
use cis490_shared::pem::{PemError, PemFile};
use cis490_shared::small_file::SmallFile;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use crate::answers::shown::Shown;
use crate::config::{Receiver, ReceiverUrl};

/// The largest token file that is read, in bytes; more than any token has.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

/// The destination of requests.
#[derive(Debug, Clone)]
pub struct Target {
    /// The receiver's URL.
    pub url: ReceiverUrl,
    /// The TLS settings. `None` without TLS.
    pub tls: Option<Tls>,
    /// The `Authorization` header of every request. `None` if the certificate identifies this host, or if nothing does.
    pub authorization: Option<HeaderValue>,
}

impl Target {
    /// What requests show of this host.
    pub fn shown(&self) -> Shown {
        let has_certificate = self.tls.as_ref().is_some_and(|tls| tls.expires.is_some());
        match (self.authorization.is_some(), has_certificate) {
            (false, false) => Shown::Nothing,
            (true, false) => Shown::Token,
            (false, true) => Shown::Certificate,
            (true, true) => Shown::Both,
        }
    }
}

/// How TLS is spoken with the receiver.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The configuration of every connection.
    pub config: Arc<ClientConfig>,
    /// The end of this host's own certificate. `None` if it has none.
    pub expires: Option<SystemTime>,
}

/// Why requests have no destination: a file that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A file for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file with the token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that the configuration names cannot be used.
    #[error(transparent)]
    File(#[from] PemError),
    /// Certificate and key can be read but not used.
    #[error("`receiver.client_cert_file` and `receiver.client_key_file` cannot be used: {}", own_fault(&.0.to_string()))]
    Identity(#[source] rustls::Error),
    /// The system trusts no authority, and the configuration names none.
    #[error("this system trusts no certificate authority: name the receiver's in `receiver.ca_file`")]
    NoRoots,
    /// The cryptography does not offer what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error(
        "`receiver.token_file`: {0}; write into it what `cis490-receiver token add HOST` prints on the collector"
    )]
    Read(#[from] FsError),
    /// The file does not hold one token. The error does not repeat the contents.
    #[error("`receiver.token_file`: `{}` must hold one line, as `cis490-receiver token add HOST` printed it", .0.display())]
    Content(PathBuf),
}

/// The files behind a target, and their fingerprints at the last read.
#[derive(Debug)]
pub struct TargetFiles {
    receiver: Receiver,
    seen: Vec<FileFingerprint>,
}

impl TargetFiles {
    /// Reads the files that the configuration names for the first time.
    pub fn read(receiver: &Receiver) -> Result<(Target, Self), TargetError> {
        let opened = Opened::open(receiver)?;
        Ok((opened.read()?, Self { receiver: receiver.clone(), seen: opened.stamps() }))
    }

    /// Reads the files again if one of them has changed since the last read. `None` if none has. A certificate that
    /// does not fit its key is an error, and the next call reads again: the other file is not replaced yet.
    pub fn read_if_changed(&mut self) -> Result<Option<Target>, TargetError> {
        let opened = Opened::open(&self.receiver)?;
        let stamps = opened.stamps();
        if stamps == self.seen {
            return Ok(None);
        }
        let target = opened.read()?;
        self.seen = stamps;
        Ok(Some(target))
    }
}

/// The open files, so that their fingerprints and their bytes belong together.
struct Opened<'a> {
    receiver: &'a Receiver,
    tls: Option<TlsFiles<'a>>,
    token: Option<TokenFile<'a>>,
}

impl<'a> Opened<'a> {
    fn open(receiver: &'a Receiver) -> Result<Self, TargetError> {
        let tls = TlsFiles::open(receiver)?;
        let token = receiver.token_file.as_deref().map(TokenFile::open).transpose()?;
        Ok(Self { receiver, tls, token })
    }

    fn stamps(&self) -> Vec<FileFingerprint> {
        let tls = self.tls.iter().flat_map(TlsFiles::stamps);
        tls.chain(self.token.iter().map(TokenFile::stamp)).collect()
    }

    fn read(&self) -> Result<Target, TargetError> {
        Ok(Target {
            url: self.receiver.url.clone(),
            tls: self.tls.as_ref().map(TlsFiles::read).transpose()?,
            authorization: self.token.as_ref().map(TokenFile::authorization).transpose()?,
        })
    }
}

/// The open TLS files that the configuration names.
#[derive(Debug)]
struct TlsFiles<'a> {
    authorities: Option<PemFile<'a>>,
    identity: Option<(PemFile<'a>, PemFile<'a>)>,
}

impl<'a> TlsFiles<'a> {
    /// Opens the files. `None` for a receiver without TLS.
    fn open(receiver: &'a Receiver) -> Result<Option<Self>, TlsError> {
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

    /// Returns the fingerprints of the files.
    fn stamps(&self) -> impl Iterator<Item = FileFingerprint> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.authorities.iter().chain(identity).map(PemFile::stamp)
    }

    /// Builds the TLS settings from the files.
    fn read(&self) -> Result<Tls, TlsError> {
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
        // Adds only certificates that can be authorities. A system's store may hold others, which vouch for nothing.
        roots.add_parsable_certificates(trusted);
        if roots.is_empty() { Err(none) } else { Ok(roots) }
    }
}

/// The open file with the token.
#[derive(Debug)]
struct TokenFile<'a> {
    path: &'a Path,
    file: SmallFile,
}

impl<'a> TokenFile<'a> {
    /// Opens the file.
    fn open(path: &'a Path) -> Result<Self, TokenError> {
        Ok(Self { path, file: SmallFile::open(path, MAX_TOKEN_BYTES).map_err(FsError::at("read", path))? })
    }

    /// Returns the fingerprint of the file.
    fn stamp(&self) -> FileFingerprint {
        self.file.stamp()
    }

    /// Returns the value of the `Authorization` header.
    fn authorization(&self) -> Result<HeaderValue, TokenError> {
        let text = self.file.text().map_err(FsError::at("read", self.path))?;
        let token = text.trim();
        let is_one_word = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
        let value = is_one_word.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok()).flatten();
        let mut value = value.ok_or_else(|| TokenError::Content(self.path.to_owned()))?;
        // Keeps the token out of all debug output.
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_token_is_the_one_word_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            TokenFile::open(&path).unwrap().authorization()
        };
        assert_eq!(of("cis490-ab\n").unwrap().to_str().unwrap(), "Bearer cis490-ab");
        assert!(!format!("{:?}", of("cis490-ab").unwrap()).contains("cis490-ab"));
        for wrong in ["", "\n", "one two", "secret\nsecret", "s\u{e9}cret"] {
            let error = of(wrong).unwrap_err();
            assert!(
                matches!(error, TokenError::Content(_)) && !error.to_string().contains("secret"),
                "{error}"
            );
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(TokenFile::open(&path), Err(TokenError::Read(_))));
    }
}
