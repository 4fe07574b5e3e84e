//! Starts and stops the receiver: the only place that knows all actors and threads, and their order.
//!
//! Start, downstream first: locks, store, sweep, index, gate, poll, ingest, listeners; then the missing rows. Stop, in
//! reverse: listeners, uploads in flight, index. An upload is acknowledged only when it is durable, so a stop loses
//! nothing.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Recipient};
use actix_rt::Arbiter;
use actix_web::web;
use cis490_shared::durable::FileLock;
use cis490_shared::fs_error::FsError;
use cis490_shared::service;
use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::actors::file_watch::Reload;
use crate::actors::index_writer::IndexWriterActor;
use crate::actors::ingest::Ingest;
use crate::actors::worker::Workers;
use crate::actors::{Drain, Ping};
use crate::auth::last_use;
use crate::config::ReceiverConfig;
use crate::descriptors;
use crate::http::api::{Api, Rules};
use crate::http::connections::Connections;
use crate::http::listeners::{BindError, Listeners};
use crate::http::notices::Notices;
use crate::http::server;
use crate::http::status::StatusSocket;
use crate::http::storing::Storing;
use crate::index::IndexError;
use crate::ingest::admission::{Admission, Limits};
use crate::io_thread::IoThread;
use crate::records::EpisodeRecords;
use crate::startup::{self, BrokenHash};
use crate::store::condition::ConditionWatcher;
use crate::store::host_reports::HostReports;
use crate::store::layout::Store;
use crate::store::spool::Spool;
use crate::watchdog::{self, ActorGone, Watched};

use self::credentials::{Credentials, CredentialsActors, CredentialsError};
use self::gate::GateActors;
use self::token_use::TokenUse;

pub mod credentials;
mod gate;
mod token_use;

/// The lock of a running receiver. A second receiver on the same index would keep a window of its own.
pub const RECEIVER_LOCK: &str = "receiver.lock";

/// How long a start waits for missing rows. After the loss of an index all archives must be read, which can take hours,
/// and uploads must not wait for that.
const REPAIR_FIRST: Duration = Duration::from_secs(2);

/// Minimum time left for in-flight commits after the connections have closed.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

/// Why the receiver did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file or directory cannot be used.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// This machine computes wrong hashes.
    #[error(transparent)]
    BrokenHash(#[from] BrokenHash),
    /// Another receiver runs on the same state directory or store.
    #[error("another receiver works on `{}`; stop it first", .0.display())]
    AlreadyRunning(PathBuf),
    /// The index cannot be opened.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The tokens or certificates cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The server ended by itself.
    #[error("the server ended: {0}")]
    Server(io::Error),
    /// An actor is gone.
    #[error(transparent)]
    ActorGone(#[from] ActorGone),
}

impl RunError {
    /// Returns the next step for a maintainer, unless the error names it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Index(error) => Some(error.remedy()),
            Self::Credentials(error) => error.remedy().map(str::to_owned),
            Self::AlreadyRunning(_) => {
                Some("`systemctl status cis490-receiver` shows the one that runs".to_owned())
            }
            Self::Disk(_) | Self::BrokenHash(_) | Self::Bind(_) | Self::Server(_) | Self::ActorGone(_) => {
                None
            }
        }
    }
}

/// The actors and the threads that they run on.
struct Actors {
    gate: GateActors,
    credentials: CredentialsActors,
    index: Addr<IndexWriterActor>,
    ingest: Ingest,
    index_arbiter: Arbiter,
}

/// Runs the receiver until `stop` resolves. Calls `ready` with the addresses once requests are accepted.
///
/// `passed` are listeners that are open already; without them, `server.listen` is used. Must be called within an actix
/// System.
pub async fn run(
    config: ReceiverConfig,
    passed: Option<Listeners>,
    ready: impl FnOnce(&[String]),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    // First, because SIGHUP kills a process without a handler.
    let hangup = signal(SignalKind::hangup()).map_err(RunError::Server)?;
    descriptors::provide_for(config.server.max_connections, config.server.max_concurrent_uploads);
    let state_dir = cis490_shared::durable::parent(&config.store.index).to_owned();
    startup::self_test_sha256()?;
    let _lock = lock(&state_dir)?;
    let (store, spool, _store_lock) = open_store(&config)?;
    let archives = startup::begin_listing(&store);
    let reports = open_reports(&state_dir.join("host-health"))?;
    let credentials = Credentials::open(&config)?;
    let index = IndexWriterActor::open(&config.store.index)?;
    let (known, appending) = (index.known(), index.shown());
    info!(rows = known.len(), "the index is read");
    let mut token_use = TokenUse::begin(&credentials, last_use::path_in(&state_dir));
    let (identities, tls) = (credentials.authenticator(&config.auth, token_use.noted()), credentials.tls());
    let actors = start_actors(&config, &state_dir, credentials, index, (spool, &store)).await;
    tokio::pin!(stop);
    let repair = tokio::select! {
        () = &mut stop => return Ok(()),
        repair = startup::with_more_time(startup::reconcile(archives, &known)) => repair,
    };
    let repairing = repair.progress();
    let mut repair = pin!(repair.run(IndexWriterActor::handle(&actors.index)).fuse());
    tokio::select! {
        // The repairs so far are durable, and the next start continues.
        () = &mut stop => return Ok(()),
        // Repairs after a crash take moments. Longer ones continue beside the uploads.
        _ = tokio::time::timeout(REPAIR_FIRST, &mut repair) => {}
    }

    let listeners = passed.map_or_else(|| listen(&config), Ok)?;
    let urls = listeners.urls(tls.is_some());
    warn_of_secrets(&config, &listeners);
    let (admission, index) = (Admission::new(limits(&config)), IndexWriterActor::handle(&actors.index));
    let (watcher, workers) = (condition_watcher(&config), Workers::default());
    let connections = Connections::new(config.server.connections());
    let api = web::Data::new(Api {
        gate: actors.gate.view.clone(),
        observe_polls: actors.gate.polls.clone().recipient(),
        appending,
        ingest: actors.ingest.clone(),
        admission: admission.clone(),
        records: EpisodeRecords { store, known, index, condition: watcher.latest() },
        repairing,
        reports,
        identities,
        tls,
        connections: connections.clone(),
        notices: Notices::default(),
        rules: rules(&config),
        started: Instant::now(),
        storing: Storing::default(),
        workers: workers.clone(),
    });
    let patience = Duration::from_secs(config.server.shutdown_timeout_s);
    let status = StatusSocket::open(&state_dir, &urls);
    let server =
        server::serve(listeners, status.as_ref(), &api, &connections, patience).map_err(RunError::Server)?;
    let handle = server.handle();
    tokio::pin!(server);
    ready(&urls);

    let to_ping = actors.watched();
    let limit = service::watchdog_limit();
    let feed = || limit.iter().for_each(|_| service::watchdog());
    let ended = tokio::select! {
        () = &mut stop => Ok(()),
        () = actors.reload_when_told(hangup) => Ok(()),
        () = repair.then(|()| std::future::pending()) => Ok(()),
        () = token_use.keep() => Ok(()),
        () = watcher.run(IoThread::start("store")) => Ok(()),
        gone = watchdog::watch(&to_ping, &workers, watchdog::pace(limit), feed) => Err(gone.into()),
        ended = &mut server => {
            return Err(RunError::Server(ended.err().unwrap_or_else(|| io::Error::other("no stop was requested"))));
        }
    };
    admission.close();
    // Reported only now, when no new upload is admitted any more.
    service::stopping();
    let (is_orderly, began) = (ended.is_ok(), Instant::now());
    let ((), closed, ()) = tokio::join!(handle.stop(is_orderly), server, token_use.finish());
    // Both waits share one time limit, because the service manager has a limit too.
    let rest = is_orderly.then(|| patience.saturating_sub(began.elapsed()).max(LAST_MOMENTS));
    actors.stop(&admission, rest).await;
    ended.and(closed.map_err(RunError::Server))
}

fn open_reports(dir: &Path) -> Result<HostReports, FsError> {
    HostReports::open(dir).map_err(FsError::at("open", dir))
}

fn listen(config: &ReceiverConfig) -> Result<Listeners, BindError> {
    // Bad addresses were reported when the configuration was validated.
    Listeners::bind(&config.server.listeners().unwrap_or_default())
}

fn condition_watcher(config: &ReceiverConfig) -> ConditionWatcher {
    ConditionWatcher::begin(config.store.episodes_root.clone(), config.store.verify_report.clone())
}

fn warn_of_secrets(config: &ReceiverConfig, listeners: &Listeners) {
    for path in credentials::readable_by_everybody(config) {
        warn!(path = %path.display(), help = "`sudo chmod o= FILE`", "everybody on this machine can read a secret");
    }
    let has_tokens = config.auth.tokens_file.is_some() && config.server.tls.is_none();
    if let Some(address) = listeners.from_elsewhere().filter(|_| has_tokens) {
        warn!(
            %address,
            help = "set `server.tls`, unless the way is encrypted, as WireGuard does",
            "tokens are sent over plain http, unencrypted"
        );
    }
}

fn limits(config: &ReceiverConfig) -> Limits {
    Limits {
        uploads: config.server.max_concurrent_uploads,
        uploads_per_host: config.server.max_uploads_per_host,
        min_free_bytes: config.store.min_free_bytes,
        host_quota_bytes: config.store.host_quota_bytes,
    }
}

fn rules(config: &ReceiverConfig) -> Rules {
    Rules {
        max_upload_bytes: config.server.max_upload_bytes,
        pace: config.server.pace(),
        min_free_bytes: config.store.min_free_bytes,
        remediation: config.version_gate.remediation.clone(),
    }
}

fn lock(state_dir: &Path) -> Result<Option<FileLock>, RunError> {
    cis490_shared::durable::create_dir_all(state_dir, 0o750).map_err(FsError::at("create", state_dir))?;
    take_lock(&state_dir.join(RECEIVER_LOCK), state_dir)
}

/// Takes the lock that only one receiver on `dir` can hold.
fn take_lock(path: &Path, dir: &Path) -> Result<Option<FileLock>, RunError> {
    startup::lock(path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => RunError::AlreadyRunning(dir.to_owned()),
        _ => FsError::at("lock", path)(source).into(),
    })
}

fn open_store(config: &ReceiverConfig) -> Result<(Arc<Store>, Spool, Option<FileLock>), RunError> {
    let root = &config.store.episodes_root;
    let store = Store::open(root).map_err(FsError::at("open", root))?;
    let spool = Spool::open(root).map_err(FsError::at("open", root))?;
    // The index may be elsewhere, so the spool has its own lock.
    let lock = take_lock(spool.dir(), root)?;
    let swept = spool.sweep().map_err(FsError::at("sweep", spool.dir()))?;
    if swept.files > 0 {
        info!(files = swept.files, bytes = swept.bytes, "partial uploads of the last run were removed");
    }
    Ok((Arc::new(store), spool, lock))
}

/// Starts the actors downstream first, and reads the clone once before the first request.
async fn start_actors(
    config: &ReceiverConfig,
    state_dir: &Path,
    credentials: Credentials,
    index: IndexWriterActor,
    (spool, store): (Spool, &Arc<Store>),
) -> Actors {
    let index_arbiter = Arbiter::new();
    let index = IndexWriterActor::start_in_arbiter(&index_arbiter.handle(), |_| index);
    let gate = gate::start(&config.version_gate, state_dir).await;
    let ingest = Ingest::new(spool, Arc::clone(store), IndexWriterActor::handle(&index));
    Actors { gate, credentials: credentials.start(), index, ingest, index_arbiter }
}

impl Actors {
    fn watched(&self) -> Vec<Watched> {
        let watched = |name, ping: Recipient<Ping>| Watched { name, ping };
        let amnesties = self.gate.amnesties.clone().map(Addr::recipient);
        let files = self.credentials.pings().chain(amnesties);
        let always = [
            watched("GateActor", self.gate.gate.clone().recipient()),
            watched("GitPollActor", self.gate.polls.clone().recipient()),
            watched("IndexWriterActor", self.index.clone().recipient()),
        ];
        always.into_iter().chain(files.map(|ping| watched("FileWatchActor", ping))).collect()
    }

    /// Reads tokens, certificates and amnesties again after each SIGHUP. Never ends.
    async fn reload_when_told(&self, mut told: Signal) {
        let amnesties = self.gate.amnesties.clone().map(Addr::recipient);
        let reloads: Vec<Recipient<Reload>> = self.credentials.reloads().chain(amnesties).collect();
        while told.recv().await.is_some() {
            for reload in &reloads {
                // The actor logs failures, and the watchdog ends the process if the actor is gone.
                let _ = reload.send(Reload).await;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits for uploads in flight, at most for `patience`, and then for the index.
    async fn drain(&self, admission: &Admission, patience: Duration) {
        if tokio::time::timeout(patience, admission.idle()).await.is_err() {
            warn!(in_flight = admission.in_flight(), "uploads in flight were cut off");
        }
        // An actor that is gone has nothing left to drain.
        let _ = self.index.send(Drain).await;
    }

    /// Ends the actors; with `patience` after the work in flight.
    async fn stop(self, admission: &Admission, patience: Option<Duration>) {
        if let Some(patience) = patience {
            self.drain(admission, patience).await;
        }
        self.index_arbiter.stop();
        // A panic of the thread has been printed already.
        let _ = self.index_arbiter.join();
    }
}
