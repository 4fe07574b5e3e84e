//! Starts what says who is who: the tokens and the certificates, as the configuration names them.

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

/// Why there are no credentials to begin with.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl CredentialsError {
    /// What a maintainer can do about it, where the error does not say so itself.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Tokens(error) => Some(error.remedy()),
            Self::Tls(_) => None,
        }
    }
}

/// The files that say who is who, read once; none for what the configuration does not name.
#[derive(Debug)]
pub struct Credentials {
    tokens: Option<FileWatchActor<TokenFile>>,
    tls: Option<FileWatchActor<TlsFiles>>,
}

/// The actors that keep them current.
pub(super) struct CredentialsActors {
    tokens: Option<Addr<FileWatchActor<TokenFile>>>,
    tls: Option<Addr<FileWatchActor<TlsFiles>>>,
}

impl Credentials {
    /// Reads them. What cannot be read is an error: a receiver that knows nobody refuses everybody. Blocks.
    pub fn open(config: &ReceiverConfig) -> Result<Self, CredentialsError> {
        let auth = &config.auth;
        let tokens = auth.tokens_file.clone().map(TokenFile::at);
        let tls = config.server.tls.as_ref().map(|tls| TlsFiles::of(tls, auth));
        let tokens = tokens.map(|file| FileWatchActor::open(file, IoThread::start("tokens"))).transpose()?;
        let tls =
            tls.map(|files| FileWatchActor::open(files, IoThread::start("certificates"))).transpose()?;
        Ok(Self { tokens: tokens.flatten(), tls: tls.flatten() })
    }

    /// TLS as it is in force, kept current while the actors live; `None` if the configuration names no certificate.
    pub(super) fn tls(&self) -> Option<Latest<ServerTls>> {
        self.tls.as_ref().map(FileWatchActor::latest)
    }

    /// When the receiver's own certificate ends; none without TLS.
    pub fn certificate_ends(&self) -> Option<SystemTime> {
        self.tls().map(|tls| tls.now().expires)
    }

    fn tokens(&self) -> Option<Latest<Tokens>> {
        self.tokens.as_ref().map(FileWatchActor::latest)
    }

    /// When each token was last used, as the last run has written it to this file. Blocks.
    pub(super) fn last_use(&self, path: &Path) -> LastUse {
        self.tokens().map_or_else(LastUse::default, |tokens| LastUse::of(last_use::read(path), &tokens.now()))
    }

    /// How it is found out who sends a request.
    pub(super) fn authenticator(&self, config: &AuthConfig, last_use: LastUse) -> Authenticator {
        Authenticator {
            readers: config.readers.clone(),
            // What is wrong with it was said when the configuration was checked.
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

/// The files with secrets that everybody on the machine can read, as far as their own modes say. Blocks.
pub fn readable_by_everybody(config: &ReceiverConfig) -> Vec<PathBuf> {
    let key = config.server.tls.as_ref().map(|tls| &tls.key_file);
    let secrets = config.auth.tokens_file.iter().chain(key);
    let is_open =
        |path: &&PathBuf| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0);
    secrets.filter(is_open).cloned().collect()
}

impl CredentialsActors {
    /// For the watchdog.
    pub(super) fn pings(&self) -> impl Iterator<Item = Recipient<Ping>> {
        let tls = self.tls.clone().map(Addr::recipient);
        self.tokens.clone().map(Addr::recipient).into_iter().chain(tls)
    }

    /// For SIGHUP.
    pub(super) fn reloads(&self) -> impl Iterator<Item = Recipient<Reload>> {
        let tls = self.tls.clone().map(Addr::recipient);
        self.tokens.clone().map(Addr::recipient).into_iter().chain(tls)
    }
}
