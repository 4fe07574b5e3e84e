//! CredentialsActor: keeps what proves a name current.
//!
//! - owns: the token file, and with it the [`TokensView`]: it alone publishes other tokens
//! - accepts: [`Reload`], Ping, Drain
//! - sends to: nobody; whoever needs a name proved reads what it has published
//! - runs on: the system's arbiter; files are touched in the blocking pool
//! - ends: with its System
//!
//! A file that cannot be used changes nothing: the last good one stays in force, and the log says so once.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture,
    WrapFuture,
};
use tokio::task::spawn_blocking;
use tracing::{error, info};

use super::{Drain, Ping};
use crate::auth::credentials::TokensView;
use crate::auth::file::{TokenFile, TokenFileError};
use crate::auth::tokens::Tokens;

/// How often the file is looked at: a token that was removed is refused within this time.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the file now: by the timer, and at SIGHUP. True where what is in force is what the file says.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Reload;

/// The timer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

/// See the module's documentation.
#[derive(Debug)]
pub struct CredentialsActor {
    /// None while it is being looked at.
    file: Option<TokenFile>,
    view: TokensView,
    is_failing: bool,
}

impl CredentialsActor {
    /// Reads the file for the first time; the actor then keeps it current. Blocks.
    pub fn open(mut file: TokenFile) -> Result<Self, TokenFileError> {
        let view = TokensView::default();
        if let Some(tokens) = file.read_if_changed()? {
            view.publish(tokens);
        }
        Ok(Self { file: Some(file), view, is_failing: false })
    }

    /// The tokens that count, kept current while the actor lives.
    pub fn view(&self) -> TokensView {
        self.view.clone()
    }

    fn conclude(&mut self, outcome: Result<Option<Tokens>, TokenFileError>) -> bool {
        match outcome {
            Ok(changed) => {
                if let Some(tokens) = changed {
                    info!(tokens = tokens.names().count(), "the token file was read");
                    self.view.publish(tokens);
                }
                if std::mem::take(&mut self.is_failing) {
                    info!("the token file can be used again");
                }
                true
            }
            Err(failure) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    error!(error = %failure, help = "mend the file, it is looked at every second", "the last good tokens stay in force");
                }
                false
            }
        }
    }
}

impl Actor for CredentialsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(LOOK, |_, ctx| ctx.notify(Tick));
    }
}

impl Handler<Tick> for CredentialsActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        let rearm = self.handle(Reload, ctx).map(|_, _, ctx| {
            ctx.run_later(LOOK, |_, ctx| ctx.notify(Tick));
        });
        ctx.spawn(rearm);
    }
}

impl Handler<Reload> for CredentialsActor {
    // Runs beside other messages: a file system that hangs must not keep Ping from being answered.
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Reload, _: &mut Self::Context) -> Self::Result {
        // Somebody is looking already; what he finds is as new as what we would.
        let Some(mut file) = self.file.take() else {
            let is_good = !self.is_failing;
            return Box::pin(async move { is_good }.into_actor(self));
        };
        let looked = spawn_blocking(move || {
            let outcome = file.read_if_changed();
            (file, outcome)
        });
        Box::pin(looked.into_actor(self).map(|looked, act, ctx| {
            let Ok((file, outcome)) = looked else {
                // A panic is printed where it happens; the watchdog finds the mailbox closed and ends the process.
                ctx.stop();
                return false;
            };
            act.file = Some(file);
            act.conclude(outcome)
        }))
    }
}

impl Handler<Ping> for CredentialsActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Drain> for CredentialsActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
