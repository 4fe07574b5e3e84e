//! WatchActor: tells the queue at once when an episode is finished.
//!
//! - owns: the watches on `episodes/`
//! - accepts: `Ping`, `Drain`
//! - sends to: QueueActor, by [`Noticed`] and [`Missed`]
//! - runs on: the main arbiter; every read of the disk is in the blocking pool
//! - ends: with its System, or when the queue has ended
//!
//! If watching fails, one log entry says so, and the actor tries again every minute. The scan finds all episodes
//! meanwhile. [`crate::store::inotify`] decides what to watch and what an event means.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, SpawnHandle, WrapFuture,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::actors::queue::{Missed, Noticed};
use crate::actors::{Drain, Ping};
use crate::store::inotify::{EpisodeWatcher, MAX_WATCHES, Seen};

/// How long to wait after a failure before watching is tried again.
const RETRY: Duration = Duration::from_mins(1);

/// The actors to tell.
#[derive(Debug, Clone)]
pub struct Listeners {
    /// Takes finished episodes.
    pub noticed: Recipient<Noticed>,
    /// Takes notices that something may have been missed.
    pub missed: Recipient<Missed>,
}

/// See the module.
#[derive(Debug)]
pub struct WatchActor {
    watch: Watch,
    watching: Option<SpawnHandle>,
}

impl WatchActor {
    /// Returns an actor that watches the directory `episodes`.
    pub fn new(episodes: PathBuf, listeners: Listeners) -> Self {
        let watch = Watch { episodes, listeners, said: Told::default() };
        Self { watch, watching: None }
    }
}

impl Actor for WatchActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The work returns only if nothing is left to do, because the process is about to end.
        let watching = self.watch.clone().go_on().into_actor(self).map(|(), _, ctx| ctx.stop());
        self.watching = Some(ctx.spawn(watching));
    }
}

/// Why watching ended.
enum End {
    /// It failed, or `episodes/` went away.
    Failed(io::Error),
    /// Nothing listens any more, or work in the pool has panicked.
    Over,
}

/// The conditions that a person was told.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    fails: bool,
    leaves_some_out: bool,
}

/// The work itself, from one read of events to the next.
#[derive(Debug, Clone)]
struct Watch {
    episodes: PathBuf,
    listeners: Listeners,
    said: Told,
}

impl Watch {
    async fn go_on(mut self) {
        loop {
            match self.until_it_fails().await {
                End::Over => return,
                End::Failed(error) => {
                    if !std::mem::replace(&mut self.said.fails, true) {
                        warn!(
                            episodes = %self.episodes.display(),
                            %error,
                            help = "the scan still finds them, every `queue.scan_interval_s`; if there are too many \
                                    watches, raise the limits of `sysctl fs.inotify`",
                            "cannot watch episodes/, relying on the scan"
                        );
                    }
                }
            }
            sleep(RETRY).await;
        }
    }

    async fn until_it_fails(&mut self) -> End {
        let episodes = self.episodes.clone();
        let opened = spawn_blocking(move || EpisodeWatcher::open(&episodes, MAX_WATCHES)).await;
        let watching = match opened {
            Ok(Ok(watcher)) => register(watcher),
            Ok(Err(error)) => Err(error),
            Err(_) => return End::Over,
        };
        let (mut watcher, events) = match watching {
            Ok(watching) => watching,
            Err(error) => return End::Failed(error),
        };
        let mut seen = Seen { rescan: true, ..Seen::default() };
        loop {
            if seen.rescan {
                watcher = match self.rescan(watcher).await {
                    Ok(watcher) => watcher,
                    Err(end) => return end,
                };
                if std::mem::take(&mut self.said.fails) {
                    info!("episodes/ is watched again");
                }
            }
            let mut events = match events.readable().await {
                Ok(events) => events,
                Err(error) => return End::Failed(error),
            };
            (watcher, seen) = match in_pool(watcher, EpisodeWatcher::take).await {
                Ok(taken) => taken,
                Err(end) => return end,
            };
            if seen.emptied {
                events.clear_ready();
            }
            for episode_id in std::mem::take(&mut seen.ready) {
                if self.listeners.noticed.send(Noticed { episode_id }).await.is_err() {
                    return End::Over;
                }
            }
            if seen.gone {
                return End::Failed(io::ErrorKind::NotFound.into());
            }
        }
    }

    async fn rescan(&mut self, watcher: EpisodeWatcher) -> Result<EpisodeWatcher, End> {
        let (watcher, is_any_ready) = in_pool(watcher, EpisodeWatcher::rescan).await?;
        if is_any_ready && self.listeners.missed.send(Missed).await.is_err() {
            return Err(End::Over);
        }
        let leaves_some_out = watcher.leaves_some_out();
        match (leaves_some_out, std::mem::replace(&mut self.said.leaves_some_out, leaves_some_out)) {
            (true, false) => info!(watched = MAX_WATCHES, "too many directories to watch, scanning the rest"),
            (false, true) => info!("all unfinished directories in episodes/ are watched again"),
            _ => {}
        }
        Ok(watcher)
    }
}

#[expect(
    deprecated,
    reason = "tokio's other way in is unsafe; an Arc<OwnedFd> stays open and stays the same"
)]
fn register(watcher: EpisodeWatcher) -> io::Result<(EpisodeWatcher, AsyncFd<Arc<OwnedFd>>)> {
    let events = AsyncFd::with_interest(watcher.descriptor(), Interest::READABLE)?;
    Ok((watcher, events))
}

/// Runs work on the watcher in the blocking pool. Returns the watcher and the result.
async fn in_pool<T: Send + 'static>(
    mut watcher: EpisodeWatcher,
    work: impl FnOnce(&mut EpisodeWatcher) -> io::Result<T> + Send + 'static,
) -> Result<(EpisodeWatcher, T), End> {
    let done = spawn_blocking(move || {
        let found = work(&mut watcher);
        (watcher, found)
    });
    match done.await {
        Ok((watcher, Ok(found))) => Ok((watcher, found)),
        Ok((_, Err(error))) => Err(End::Failed(error)),
        // A panic is printed where it happens.
        Err(_) => Err(End::Over),
    }
}

impl Handler<Ping> for WatchActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Drain> for WatchActor {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) {
        if let Some(watching) = self.watching.take() {
            ctx.cancel_future(watching);
        }
    }
}
