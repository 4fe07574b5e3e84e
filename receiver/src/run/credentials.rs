//! Opens the tokens and the certificates that the configuration names, and starts their actors.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use actix::{Actor, Addr, Recipient};
use cis490_shared::latest::Latest;

use crate::actors::Ping;
use crate::actors::file_watch::{FileWatchActor, Reload};
use crate::auth::file::{TokenFile, TokenFileError};
use crate::auth::last_use::{self, LastUse};
use crate::auth::tokens::Tokens;
use crate::config::{AuthConfig, ReceiverConfig};
use crate::http::identity::Authenticator;
use crate::io_thread::IoThread;
use crate::tls::files::{TlsError, TlsFiles};
use crate::tls::server_tls::ServerTls;

/// Why the credentials cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl CredentialsError {
    /// Returns the next step for a maintainer, unless the error names it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Tokens(error) => Some(error.remedy()),
            Self::Tls(_) => None,
        }
    }
}

/// The tokens and certificates, read once; `None` if the configuration does not name them.
#[derive(Debug)]
pub struct Credentials {
    tokens: Option<FileWatchActor<TokenFile>>,
    tls: Option<FileWatchActor<TlsFiles>>,
}

/// The actors that keep tokens and certificates current.
pub(super) struct CredentialsActors {
    tokens: Option<Addr<FileWatchActor<TokenFile>>>,
    tls: Option<Addr<FileWatchActor<TlsFiles>>>,
}

impl Credentials {
    /// Reads the files. An unreadable file is an error, because a receiver without names refuses every client. Blocks.
    pub fn open(config: &ReceiverConfig) -> Result<Self, CredentialsError> {
        let auth = &config.auth;
        let tokens = auth.tokens_file.clone().map(TokenFile::at);
        let tls = config.server.tls.as_ref().map(|tls| TlsFiles::of(tls, auth));
        let tokens = tokens.map(|file| FileWatchActor::open(file, IoThread::start("tokens"))).transpose()?;
        let tls =
            tls.map(|files| FileWatchActor::open(files, IoThread::start("certificates"))).transpose()?;
        Ok(Self { tokens: tokens.flatten(), tls: tls.flatten() })
    }

    /// Returns the TLS settings in force, kept current by the actors; `None` if the configuration names no certificate.
    pub(super) fn tls(&self) -> Option<Latest<ServerTls>> {
        self.tls.as_ref().map(FileWatchActor::latest)
    }

    /// Returns the time when the receiver's own certificate expires; `None` without TLS.
    pub fn certificate_ends(&self) -> Option<SystemTime> {
        self.tls().map(|tls| tls.now().expires)
    }

    fn tokens(&self) -> Option<Latest<Tokens>> {
        self.tokens.as_ref().map(FileWatchActor::latest)
    }

    /// Reads the last use of each token from the file of the last run. Blocks.
    pub(super) fn last_use(&self, path: &Path) -> LastUse {
        self.tokens().map_or_else(LastUse::default, |tokens| LastUse::of(last_use::read(path), &tokens.now()))
    }

    /// Returns the authenticator of requests.
    pub(super) fn authenticator(&self, config: &AuthConfig, last_use: LastUse) -> Authenticator {
        Authenticator {
            readers: config.readers.clone(),
            // A bad proxy was reported when the configuration was validated.
            proxies: config.proxy.as_ref().and_then(|proxy| proxy.proxies().ok()),
            tokens: self.tokens(),
            last_use,
            certificates: self.tls().filter(|_| config.client_ca_file.is_some()),
        }
    }

    pub(super) fn start(self) -> CredentialsActors {
        CredentialsActors { tokens: self.tokens.map(Actor::start), tls: self.tls.map(Actor::start) }
    }
}

/// Returns the secret files whose own modes let everybody on the machine read them. Blocks.
pub fn readable_by_everybody(config: &ReceiverConfig) -> Vec<PathBuf> {
    let key = config.server.tls.as_ref().map(|tls| &tls.key_file);
    let secrets = config.auth.tokens_file.iter().chain(key);
    let is_open =
        |path: &&PathBuf| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0);
    secrets.filter(is_open).cloned().collect()
}

impl CredentialsActors {
    /// Returns the addresses for the watchdog.
    pub(super) fn pings(&self) -> impl Iterator<Item = Recipient<Ping>> {
        let tls = self.tls.clone().map(Addr::recipient);
        self.tokens.clone().map(Addr::recipient).into_iter().chain(tls)
    }

    /// Returns the addresses for SIGHUP.
    pub(super) fn reloads(&self) -> impl Iterator<Item = Recipient<Reload>> {
        let tls = self.tls.clone().map(Addr::recipient);
        self.tokens.clone().map(Addr::recipient).into_iter().chain(tls)
    }
}
