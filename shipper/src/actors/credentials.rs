//! CredentialsActor: keeps this host's credentials and its trusted authorities up to date.
//!
//! - owns: the files of certificates, key and token, and with them the published [`Target`]
//! - accepts: [`Reload`], `Ping`
//! - sends to: QueueActor, by [`ShownAnew`], after a change; an uploader uses the published target from its next
//!   episode on
//! - runs on: the main arbiter; files are read in the blocking pool
//! - ends: with its System
//!
//! Files that cannot be used change nothing: the last good ones stay in force, and one log entry says so. The actor
//! also warns of the end of this host's own certificate, from two weeks before.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient,
    ResponseActFuture, WrapFuture,
};
use cis490_shared::certificate::ExpiryReminder;
use cis490_shared::clock::system_time;
use cis490_shared::latest::Latest;
use cis490_shared::watched::Kept;
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::actors::Ping;
use crate::actors::queue::ShownAnew;
use crate::http::target::{Target, TargetFiles};

/// The time between two checks of the files.
const POLL: Duration = Duration::from_secs(2);

/// Checks the files now. Sent by the timer, and at SIGHUP.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// See the module.
#[derive(Debug)]
pub struct CredentialsActor {
    /// `None` while the files are being read.
    files: Option<TargetFiles>,
    target: Kept<Target>,
    queue: Recipient<ShownAnew>,
    reminder: ExpiryReminder,
}

impl CredentialsActor {
    /// Keeps `latest` up to date with these files.
    pub fn new(files: TargetFiles, latest: Latest<Target>, queue: Recipient<ShownAnew>) -> Self {
        let target = Kept::new("certificates and token", latest);
        Self { files: Some(files), target, queue, reminder: ExpiryReminder::default() }
    }

    fn remind(&mut self) {
        let Some(expires) = self.target.latest().now().tls.as_ref().and_then(|tls| tls.expires) else {
            return;
        };
        if let Some(remaining) = self.reminder.due(expires, system_time()) {
            warn!(
                %remaining,
                help = "put a new certificate and its key in place of `receiver.client_cert_file` and `receiver.client_key_file`; nothing needs a restart",
                "this host needs a new certificate"
            );
        }
    }
}

impl Actor for CredentialsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.remind();
        ctx.run_later(POLL, |_, ctx| ctx.notify(Tick));
    }
}

/// The timer of the next check.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

impl Handler<Tick> for CredentialsActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        let rearm = self.handle(Reload, ctx).map(|(), _, ctx| {
            ctx.run_later(POLL, |_, ctx| ctx.notify(Tick));
        });
        ctx.spawn(rearm);
    }
}

impl Handler<Reload> for CredentialsActor {
    // Runs beside other messages, so that pings are answered while a file system hangs.
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Reload, _: &mut Self::Context) -> Self::Result {
        let Some(mut files) = self.files.take() else {
            // A check is under way already.
            return Box::pin(async {}.into_actor(self));
        };
        let read = spawn_blocking(move || {
            let outcome = files.read_if_changed();
            (files, outcome)
        });
        Box::pin(read.into_actor(self).map(|read, act, ctx| match read {
            Ok((files, outcome)) => {
                act.files = Some(files);
                let has_changed = matches!(outcome, Ok(Some(_)));
                act.target.conclude(outcome);
                act.remind();
                if has_changed {
                    // A queue that is gone ends the process by itself.
                    ctx.spawn(act.queue.send(ShownAnew).into_actor(act).map(|_, _, _| ()));
                }
            }
            // A panic is printed where it happens. The watchdog finds the mailbox closed and ends the process.
            Err(_) => ctx.stop(),
        }))
    }
}

impl Handler<Ping> for CredentialsActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}
