//! StatusActor: says how the shipper does: in `status.json`, and in one line to the service manager.
//!
//! - owns: that file, and the rates of the last minutes
//! - accepts: `Ping`, `Drain`, and `Tick` of its own
//! - sends to: QueueActor: [`Observe`]; the rest it reads in what uploaders and CredentialsActor publish
//! - runs on: the main arbiter; the file is written in the blocking pool
//! - ends: with its System. `Drain` writes a last status, and says in it that the shipper has stopped
//!
//! It decides nothing, and nothing depends on the file: one that cannot be written is a warning.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient,
    ResponseActFuture, WrapFuture,
};
use cis490_shared::clock::{WallTime, system_time};
use cis490_shared::ids::HostId;
use cis490_shared::latest::Latest;
use cis490_shared::{durable, service};
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::actors::queue::{Observation, Observe};
use crate::actors::{Drain, Ping};
use crate::http::clock_skew::ClockSkew;
use crate::http::target::Target;
use crate::report::status::{Backlog, Disk, Quarantined, Rates, State, Status, Success};
use crate::report::text::line;
use crate::upload::meter::{Meter, Rate};

/// How often it asks whether something has changed.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often the file is written although nothing has, so that its age tells whether the daemon lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// The mode of status.json: the group that may read the episodes may read it.
const FILE_MODE: u32 = 0o640;

/// What the status needs to know.
#[derive(Debug)]
pub struct StatusSettings {
    /// This host.
    pub host_id: HostId,
    /// The file.
    pub file: PathBuf,
    /// The uploads under way.
    pub meter: Meter,
    /// The receiver, and this host's certificate and token.
    pub target: Latest<Target>,
    /// The difference between the clocks.
    pub clock_skew: ClockSkew,
    /// Room on the disk, as UpkeepActor publishes it.
    pub disk: Latest<Option<Disk>>,
    /// The last success of an earlier run, which is shown until there is one of this run.
    pub earlier_success: Option<Success>,
}

/// See the module.
pub struct StatusActor {
    settings: StatusSettings,
    queue: Recipient<Observe>,
    started_at: WallTime,
    rate: Rate,
    /// The status written last, without its time, and the time of the write.
    written: Option<(Status, Instant)>,
    /// The latest line.
    said: Option<String>,
    is_failing: bool,
    is_draining: bool,
    /// The file is written by one job at a time, in the order in which they began.
    turn: Rc<Mutex<()>>,
}

impl StatusActor {
    /// Shows what this queue says.
    pub fn new(settings: StatusSettings, queue: Recipient<Observe>) -> Self {
        Self {
            settings,
            queue,
            started_at: WallTime::now(),
            rate: Rate::new(Instant::now()),
            written: None,
            said: None,
            is_failing: false,
            is_draining: false,
            turn: Rc::default(),
        }
    }

    /// Asks the queue, then writes and reports the changes. A queue that has died says nothing, and the watchdog ends
    /// the process.
    fn update(&self, has_ended: bool) -> ResponseActFuture<Self, ()> {
        let asked = self.queue.send(Observe).into_actor(self);
        Box::pin(asked.then(move |seen, act, ctx| match seen {
            Ok(seen) if !act.is_draining || has_ended => act.show(&seen, has_ended, ctx),
            _ => Box::pin(async {}.into_actor(act)),
        }))
    }

    fn show(
        &mut self,
        seen: &Observation,
        has_ended: bool,
        _: &mut Context<Self>,
    ) -> ResponseActFuture<Self, ()> {
        let (now, wall) = (Instant::now(), system_time());
        let rates = self.rate.take(now, seen.status.shipped, self.settings.meter.sent_bytes());
        let status = self.compose(seen, has_ended, rates, (now, wall));
        let line = line(&status, wall);
        if !has_ended && self.said.as_ref() != Some(&line) {
            service::status(&line);
            self.said = Some(line);
        }
        let is_due = self
            .written
            .as_ref()
            .is_none_or(|(written, at)| *written != status || now.duration_since(*at) >= SIGN_OF_LIFE);
        if !is_due {
            return Box::pin(async {}.into_actor(self));
        }
        self.written = Some((status.clone(), now));
        self.write(&Status { updated_at: Some(WallTime::from(wall)), ..status })
    }

    /// The queue's share, and what the others know.
    fn compose(
        &self,
        seen: &Observation,
        has_ended: bool,
        rate: Rates,
        (now, wall): (Instant, SystemTime),
    ) -> Status {
        let StatusSettings { host_id, file, meter, target, clock_skew, disk, earlier_success } =
            &self.settings;
        let target = target.now();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            host_id: host_id.to_string(),
            url: target.url.to_string(),
            data_root: file.parent().map(|root| root.display().to_string()).unwrap_or_default(),
            state: if has_ended { State::Stopped } else { state_of(seen) },
            started_at: Some(self.started_at.clone()),
            quarantined: seen.quarantine.as_ref().map(Quarantined::from),
            rate,
            under_way: meter.under_way(),
            next_try: seen.next_try.map(|at| full_second(wall + at.saturating_duration_since(now))),
            certificate_expires: target.tls.as_ref().and_then(|tls| tls.expires).map(WallTime::from),
            clock_skew_s: clock_skew.seen().map(|skew| skew.as_secs()),
            disk: *disk.now(),
            last_success: seen.status.last_success.clone().or_else(|| earlier_success.clone()),
            ..seen.status.clone()
        }
    }

    fn write(&self, status: &Status) -> ResponseActFuture<Self, ()> {
        // Text and numbers only: there is nothing in it that JSON could not hold.
        let mut text = serde_json::to_vec_pretty(status).unwrap_or_default();
        text.push(b'\n');
        let (turn, file) = (Rc::clone(&self.turn), self.settings.file.clone());
        let written = async move {
            let _turn = turn.lock().await;
            spawn_blocking(move || durable::replace_fleeting_file(&file, &text, FILE_MODE)).await
        };
        Box::pin(written.into_actor(self).map(Self::wrote))
    }

    fn wrote(written: Result<std::io::Result<()>, JoinError>, act: &mut Self, ctx: &mut Context<Self>) {
        let failure = match written {
            Ok(written) => written.err(),
            // A panic is printed where it happens; the watchdog finds the mailbox closed and ends the process.
            Err(_) => return ctx.stop(),
        };
        let was_failing = std::mem::replace(&mut act.is_failing, failure.is_some());
        match (failure, was_failing) {
            (Some(error), false) => {
                let path = act.settings.file.display();
                warn!(%path, %error, help = "make its directory writable for the shipper, or room on its disk", "the status cannot be written, shipping goes on");
            }
            (None, true) => info!("the status can be written again"),
            _ => {}
        }
        if act.is_failing {
            // It is tried again the next time, whether or not anything has changed.
            act.written = None;
        }
    }
}

/// What the shipper is doing, as the counters say.
fn state_of(seen: &Observation) -> State {
    match seen.status.backlog {
        _ if seen.draining => State::Stopping,
        Backlog { ready: 0, waiting: 0, in_flight: 0, .. } => State::Idle,
        _ if seen.on_hold => State::Waiting,
        Backlog { ready: 0, in_flight: 0, .. } => State::Waiting,
        _ => State::Shipping,
    }
}

/// So that the same moment, worked out twice, is the same text.
fn full_second(time: SystemTime) -> WallTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = (since + Duration::from_millis(500)).as_secs();
    WallTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The timer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

impl Actor for StatusActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.notify(Tick);
    }
}

impl Handler<Tick> for StatusActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        let rearm = self.update(false).map(|(), act, ctx| {
            if !act.is_draining {
                ctx.notify_later(Tick, INTERVAL);
            }
        });
        ctx.spawn(rearm);
    }
}

impl Handler<Ping> for StatusActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
}

impl Handler<Drain> for StatusActor {
    // Beside other messages: a disk that hangs must not keep Ping from being answered.
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        self.is_draining = true;
        self.update(true)
    }
}
