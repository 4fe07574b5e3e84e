//! Where requests go, and what they bring along to say who is asking: read again when one of its files changed. Blocks.

use awc::http::header::HeaderValue;
use cis490_shared::file_fingerprint::FileFingerprint;

use crate::config::{Receiver, ReceiverUrl};
use crate::http::tls::{Tls, TlsError, TlsFiles};
use crate::http::token::{TokenError, TokenFile};

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The receiver.
    pub url: ReceiverUrl,
    /// How to speak TLS with it; none without TLS.
    pub tls: Option<Tls>,
    /// What every request carries to say who is asking; none where the certificate does, or nobody asks.
    pub authorization: Option<HeaderValue>,
}

/// Why there is no way to the receiver: a file that the configuration names.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// One of those for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The one with the token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The files behind a target, and the states in which they were read last.
#[derive(Debug)]
pub struct TargetFiles {
    receiver: Receiver,
    seen: Vec<FileFingerprint>,
}

impl TargetFiles {
    /// Reads for the first time what the configuration names.
    pub fn read(receiver: &Receiver) -> Result<(Target, Self), TargetError> {
        let opened = Opened::open(receiver)?;
        Ok((opened.read()?, Self { receiver: receiver.clone(), seen: opened.stamps() }))
    }

    /// What they say, where one of them is another than it was when they were read last. Where a certificate is met that
    /// does not fit its key, the other of the two is not replaced yet: the next look finds both.
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

/// The files, open, so that their states and their bytes belong together.
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
