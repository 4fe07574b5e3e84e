//! Starts the actors downstream first, waits for the end, and drains them in the opposite order.
//!
//! This is the only place that knows which actor runs on which thread. After a signal, the queue hands out no more
//! episodes. Uploads in flight get five seconds; then they are dropped and their archives stay (invariant I4).

use std::io;
use std::pin::pin;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, Recipient, System};
use cis490_shared::latest::Latest;
use cis490_shared::service;
use futures_util::FutureExt;
use futures_util::future::{Fuse, FusedFuture, join_all};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::actors::credentials::{CredentialsActor, Reload};
use crate::actors::queue::{Observation, Observe, QueueActor, QueueSettings, Scan};
use crate::actors::status::{StatusActor, StatusSettings};
use crate::actors::upkeep::{UpkeepActor, UpkeepSettings};
use crate::actors::upload::UploadActor;
use crate::actors::watch::{Listeners, WatchActor};
use crate::actors::{Drain, Ping};
use crate::config::Config;
use crate::http::clock_skew::ClockSkew;
use crate::http::target::{TargetError, TargetFiles};
use crate::report::written;
use crate::store::layout::{Dirs, DirsError};
use crate::upload::deadlines::Deadlines;
use crate::upload::gate::Gate;
use crate::upload::meter::Meter;
use crate::upload::pace::Pace;
use crate::upload::put::Expect;
use crate::upload::ship::Settings;
use crate::upload::slots::UploadSlots;
use crate::watchdog::{self, Watched};

/// How long uploads in flight may go on after a signal.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long dropping uploads and moving shipped episodes may take after that.
const DROP_LIMIT: Duration = Duration::from_secs(10);
/// How long writing the last status may take after that.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(2);

/// How long the shipper runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until a signal.
    Daemon,
    /// Until nothing is left that can be tried now, or a signal.
    Once,
}

/// Why the shipper cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A certificate, key or token that the configuration names cannot be used.
    #[error(transparent)]
    Target(TargetError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Dirs(DirsError),
    /// Signals cannot be received.
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
    /// An actor has panicked; its entry in the log is above.
    #[error("the actor `{0}` has died")]
    ActorDied(String),
}

impl RunError {
    /// Returns the next step, if a person must act.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Dirs(error) => Some(error.remedy()),
            Self::Target(_) | Self::Signals(_) | Self::ActorDied(_) => None,
        }
    }
}

/// Tests whether episodes can be moved. A missing permission is an error, because no episode could ever be put away and
/// a person must fix it. Other trouble may pass, and is logged.
fn probe_moves(dirs: &Dirs) -> Result<(), RunError> {
    match dirs.probe_moves() {
        Ok(None) => {}
        Ok(Some((from, to))) => warn!(
            from = %from.display(),
            to = %to.display(),
            help = "`findmnt -T` both: without a mount between them, a move takes no time and no room",
            "cannot rename between these directories, copying episodes instead"
        ),
        Err(error) if error.is_about_permission() => return Err(RunError::Dirs(error)),
        Err(error) => warn!(%error, help = error.remedy(), "a move between the directories failed"),
    }
    Ok(())
}

/// Runs the shipper, which reports its uploads to `meter`. Returns the queue's last observation.
pub fn run(config: &Config, mode: Mode, meter: &Meter) -> Result<Observation, RunError> {
    let (target, files) = TargetFiles::read(&config.receiver).map_err(RunError::Target)?;
    let target = Latest::new(target);
    let (dirs, _lock) = Dirs::open(&config.paths.data_root).map_err(RunError::Dirs)?;
    probe_moves(&dirs)?;
    let settings = Settings {
        host_id: config.host_id.clone(),
        dirs,
        target,
        gate: Gate::default(),
        compression_level: config.queue.compression_level,
        accept_unproven_success: config.receiver.accept_unproven_success,
        deadlines: Deadlines::with_stall(config.queue.stall_timeout()),
        expect: Expect::default(),
        slots: UploadSlots::new(config.queue.parallel_uploads),
        meter: meter.clone(),
        pace: Pace::of_this_host(&config.queue.rate_limit),
        clock_skew: ClockSkew::default(),
    };
    let system = System::new();
    let ended = system.block_on(async {
        // Before the actors, so that a signal during their start is not lost.
        let signals = Signals::new().map_err(RunError::Signals)?;
        let fleet = Fleet::start(config, &settings, files, mode);
        let end = fleet.wait(config, mode, signals).await;
        if let End::Signal(name) = end {
            info!(signal = name, "shipper stops");
        }
        let seen = fleet.shut_down().await;
        match end {
            End::Signal(_) => seen.ok_or_else(|| RunError::ActorDied(QUEUE.to_owned())),
            End::Settled(seen) => Ok(*seen),
            End::Died(name) => Err(RunError::ActorDied(name)),
        }
    });
    // Dropping it would wait for every file access, and one on a mount that is gone takes for ever. The process ends
    // now.
    std::mem::forget(system);
    ended
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that ends the process. A SIGHUP makes CredentialsActor read its files again.
    async fn ending(&mut self, credentials: &Recipient<Reload>) -> &'static str {
        let mut reload = pin!(Fuse::terminated());
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                Some(()) = self.hangup.recv() => reload.set(credentials.send(Reload).fuse()),
                // The actor logs the result; a dead actor ends the process by itself. Reading from a mount that is gone
                // takes for ever, and signals must work meanwhile.
                _ = &mut reload, if !reload.is_terminated() => {}
            }
        }
    }
}

/// UploadActors beyond those that may send at the same time. They inspect and pack meanwhile, so that sending never
/// waits for packing. More would take only memory, and more of the processor than a lab host can spare.
const PACKING_AHEAD: usize = 2;

/// All actors and their threads.
struct Fleet {
    uploaders: Vec<(Addr<UploadActor>, Arbiter)>,
    queue: Addr<QueueActor>,
    /// `None` in a single pass, which scans once.
    watch: Option<Addr<WatchActor>>,
    /// `None` in a single pass, which deletes nothing.
    upkeep: Option<Addr<UpkeepActor>>,
    credentials: Addr<CredentialsActor>,
    /// `None` in a single pass, which is over before anyone asks.
    status: Option<Addr<StatusActor>>,
}

impl Fleet {
    fn start(config: &Config, settings: &Settings, files: TargetFiles, mode: Mode) -> Self {
        let parallel = config.queue.parallel_uploads;
        let uploaders: Vec<_> = (0..parallel + parallel.min(PACKING_AHEAD))
            .map(|_| {
                let (arbiter, settings) = (Arbiter::new(), settings.clone());
                let start = move |_: &mut actix::Context<UploadActor>| UploadActor::new(settings);
                (UploadActor::start_in_arbiter(&arbiter.handle(), start), arbiter)
            })
            .collect();
        let queue_settings = QueueSettings {
            dirs: settings.dirs.clone(),
            scan_interval: (mode == Mode::Daemon).then(|| config.queue.scan_interval()),
            slots: settings.slots.clone(),
            ask: uploaders.first().map(|(addr, _)| addr.clone().recipient()),
            rng: StdRng::from_os_rng(),
        };
        let ships = uploaders.iter().map(|(addr, _)| addr.clone().recipient()).collect();
        let queue = QueueActor::new(queue_settings, ships).start();
        let disk = Latest::new(None);
        let upkeep = (mode == Mode::Daemon).then(|| {
            let settings = UpkeepSettings {
                dirs: settings.dirs.clone(),
                quarantine_keep: config.queue.quarantine_keep(),
                retention: config.retention.rules(),
                disk: disk.clone(),
            };
            UpkeepActor::new(settings).start()
        });
        let status = (mode == Mode::Daemon).then(|| {
            let settings = StatusSettings {
                host_id: settings.host_id.clone(),
                file: settings.dirs.status_file(),
                meter: settings.meter.clone(),
                target: settings.target.clone(),
                clock_skew: settings.clock_skew.clone(),
                disk,
                earlier_success: written::last_success(&settings.dirs.status_file()),
            };
            StatusActor::new(settings, queue.clone().recipient()).start()
        });
        let watch = (mode == Mode::Daemon).then(|| {
            let listeners =
                Listeners { noticed: queue.clone().recipient(), missed: queue.clone().recipient() };
            WatchActor::new(settings.dirs.episodes(), listeners).start()
        });
        let latest = settings.target.clone();
        let credentials = CredentialsActor::new(files, latest, queue.clone().recipient()).start();
        Self { uploaders, queue, watch, upkeep, credentials, status }
    }

    /// Waits for a signal, the end of a single pass, or the death of an actor.
    async fn wait(&self, config: &Config, mode: Mode, mut signals: Signals) -> End {
        let (watched, credentials) = (self.watched(), self.credentials.clone().recipient());
        let interval = watchdog::interval(service::watchdog_limit());
        service::ready(&format!("shipping to {}", config.receiver.url));
        info!(host_id = %config.host_id, url = %config.receiver.url, "shipper ready");
        if config.receiver.shows_its_token() {
            warn!(
                url = %config.receiver.url,
                help = "use https in `receiver.url`, unless the way there is encrypted, as WireGuard does",
                "the token is sent over plain http, unencrypted"
            );
        }
        let single_pass = async {
            match mode {
                Mode::Once => self.queue.send(Scan).await,
                Mode::Daemon => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            name = signals.ending(&credentials) => End::Signal(name),
            seen = single_pass => match seen {
                Ok(Ok(seen)) => End::Settled(Box::new(seen)),
                Ok(Err(_)) | Err(_) => End::Died(QUEUE.to_owned()),
            },
            dead = watchdog::watch(&watched, interval) => End::Died(dead),
        }
    }

    fn watched(&self) -> Vec<Watched> {
        let uploaders = self.uploaders.iter().enumerate().map(|(number, (addr, _))| Watched {
            name: format!("uploader {number}"),
            ping: addr.clone().recipient(),
        });
        let watched = |name: &str, ping: Recipient<Ping>| Watched { name: name.to_owned(), ping };
        let queue = watched(QUEUE, self.queue.clone().recipient());
        let credentials = watched("credentials", self.credentials.clone().recipient());
        let status = self.status.iter().map(|addr| watched("status", addr.clone().recipient()));
        let watch = self.watch.iter().map(|addr| watched("watch", addr.clone().recipient()));
        let upkeep = self.upkeep.iter().map(|addr| watched("upkeep", addr.clone().recipient()));
        [queue, credentials].into_iter().chain(watch).chain(upkeep).chain(status).chain(uploaders).collect()
    }

    /// Lets work in progress come to its end, within limits. Returns the queue's last observation. `None` if the queue
    /// is dead.
    async fn shut_down(self) -> Option<Observation> {
        service::stopping();
        // A dead actor counts as drained, so a mailbox error is ignored here.
        if let Some(watch) = &self.watch {
            let _ = watch.send(Drain).await;
        }
        if let Some(upkeep) = &self.upkeep {
            let _ = upkeep.send(Drain).await;
        }
        let mut queue = pin!(self.queue.send(Drain));
        let drained = timeout(DRAIN_LIMIT, &mut queue).await.is_ok();
        if !drained {
            warn!("uploads in flight are dropped, their archives stay");
        }
        let uploaders = join_all(self.uploaders.iter().map(|(addr, _)| addr.send(Drain)));
        if timeout(DROP_LIMIT, uploaders).await.is_err() {
            warn!("an upload could not be dropped in time");
        }
        if !drained && timeout(DROP_LIMIT, queue).await.is_err() {
            warn!("an episode could not be moved in time");
        }
        if let Some(status) = self.status
            && timeout(LAST_WORD_LIMIT, status.send(Drain)).await.is_err()
        {
            warn!("the last status could not be written in time");
        }
        let seen = self.queue.send(Observe).await.ok();
        for (_, arbiter) in self.uploaders {
            arbiter.stop();
            if arbiter.join().is_err() {
                warn!("the thread of an uploader ended in a panic");
            }
        }
        seen
    }
}

/// The queue's name in the log.
const QUEUE: &str = "queue";

/// The reason why waiting ended.
enum End {
    Signal(&'static str),
    Settled(Box<Observation>),
    Died(String),
}

#[cfg(test)]
mod tests {
    use actix::{Context, Handler, ResponseFuture};
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::sync::mpsc;

    use super::*;

    /// An actor that reads a file on a mount that is gone.
    struct Stuck(mpsc::UnboundedSender<()>);

    impl Actor for Stuck {
        type Context = Context<Self>;
    }

    impl Handler<Reload> for Stuck {
        type Result = ResponseFuture<()>;

        fn handle(&mut self, _: Reload, _: &mut Self::Context) -> Self::Result {
            self.0.send(()).unwrap();
            Box::pin(std::future::pending())
        }
    }

    #[actix::test]
    async fn a_stop_is_heard_while_a_look_at_the_credentials_takes_for_ever() {
        let mut signals = Signals::new().unwrap();
        let (told, mut begun) = mpsc::unbounded_channel();
        let stuck = Stuck(told).start().recipient();
        let send = |signal| kill_process(getpid(), signal).unwrap();
        let operator = async {
            send(Signal::HUP);
            begun.recv().await.unwrap();
            send(Signal::TERM);
            std::future::pending::<()>().await;
        };
        let name = tokio::select! {
            name = signals.ending(&stuck) => name,
            () = operator => unreachable!(),
        };
        assert_eq!(name, "SIGTERM");
    }
}
