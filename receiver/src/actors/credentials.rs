//! CredentialsActor: keeps what proves a name current.
//!
//! - owns: the token file and the files of TLS, and with them what it publishes: [`Tokens`] and [`ServerTls`]
//! - accepts: [`Reload`], Ping
//! - sends to: nobody; whoever needs a name proved reads what it has published
//! - runs on: the system's arbiter; files are touched on a thread of its own
//! - ends: with its System
//!
//! Files that cannot be used change nothing: the last good ones stay in force, and the log says so once. It also says
//! when the receiver's own certificate ends, from two weeks before.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture,
    WrapFuture,
};
use cis490_shared::certificate::ExpiryReminder;
use cis490_shared::clock::system_time;
use cis490_shared::kept::Kept;
use cis490_shared::latest::Latest;
use tokio::time::Instant;
use tracing::warn;

use super::Ping;
use crate::auth::file::{TokenFile, TokenFileError};
use crate::auth::tokens::Tokens;
use crate::looker::{Looker, PATIENCE};
use crate::tls::files::{TlsError, TlsFiles};
use crate::tls::server_tls::ServerTls;

/// How often the files are looked at: what was taken out of them is refused within this time.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the files now: by the timer, and at SIGHUP. True where what is in force is what they say.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Reload;

/// The timer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

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

/// The files that the configuration names.
#[derive(Debug)]
pub struct Sources {
    /// Whose tokens are accepted.
    pub tokens: Option<TokenFile>,
    /// Certificates and keys.
    pub tls: Option<TlsFiles>,
}

/// What one look at the files brought; none for what the configuration does not name.
struct Looked {
    tokens: Option<Result<Option<Tokens>, TokenFileError>>,
    tls: Option<Result<Option<ServerTls>, TlsError>>,
}

impl Sources {
    fn look(&mut self) -> Looked {
        Looked {
            tokens: self.tokens.as_mut().map(TokenFile::read_if_changed),
            tls: self.tls.as_mut().map(TlsFiles::read_if_changed),
        }
    }
}

/// None where nothing was read for the first time, which is where no file is named.
fn first<T, E>(what: &'static str, looked: Option<Result<Option<T>, E>>) -> Result<Option<Kept<T>>, E> {
    let value = looked.transpose()?.flatten();
    Ok(value.map(|value| Kept::new(what, Latest::new(value))))
}

/// See the module's documentation.
#[derive(Debug)]
pub struct CredentialsActor {
    /// None while they are being looked at.
    sources: Option<Sources>,
    /// When that began.
    began: Instant,
    looker: Looker,
    tokens: Option<Kept<Tokens>>,
    tls: Option<Kept<ServerTls>>,
    reminder: ExpiryReminder,
}

impl CredentialsActor {
    /// Reads the files for the first time; the actor then keeps what they say current. Blocks.
    pub fn open(mut sources: Sources, looker: Looker) -> Result<Self, CredentialsError> {
        let Looked { tokens, tls } = sources.look();
        Ok(Self {
            sources: Some(sources),
            began: Instant::now(),
            looker,
            tokens: first("tokens", tokens)?,
            tls: first("certificates", tls)?,
            reminder: ExpiryReminder::default(),
        })
    }

    /// The tokens that count, kept current while the actor lives; none where no file is named.
    pub fn tokens(&self) -> Option<Latest<Tokens>> {
        self.tokens.as_ref().map(|kept| kept.latest().clone())
    }

    /// TLS as it is in force, kept current while the actor lives; none where no certificate is named.
    pub fn tls(&self) -> Option<Latest<ServerTls>> {
        self.tls.as_ref().map(|kept| kept.latest().clone())
    }

    fn conclude(&mut self, Looked { tokens, tls }: Looked) -> bool {
        let tokens = self.tokens.as_mut().zip(tokens).is_none_or(|(kept, outcome)| kept.conclude(outcome));
        let tls = self.tls.as_mut().zip(tls).is_none_or(|(kept, outcome)| kept.conclude(outcome));
        self.remind();
        tokens && tls
    }

    fn note_that_it_hangs(&mut self) {
        let hangs = format!("a look at the files has taken more than {PATIENCE:?} and goes on");
        self.tokens.iter_mut().for_each(|kept| _ = kept.conclude(Err(&hangs)));
        self.tls.iter_mut().for_each(|kept| _ = kept.conclude(Err(&hangs)));
    }

    fn remind(&mut self) {
        let Some(tls) = &self.tls else { return };
        if let Some(remaining) = self.reminder.due(tls.latest().now().expires, system_time()) {
            warn!(
                %remaining,
                help = "put a new certificate and its key in place of the files in `[server.tls]`; they are taken over within a second",
                "the receiver needs a new certificate"
            );
        }
    }

    fn is_failing(&self) -> bool {
        self.tokens.as_ref().is_some_and(Kept::is_failing) || self.tls.as_ref().is_some_and(Kept::is_failing)
    }
}

impl Actor for CredentialsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.remind();
        ctx.run_later(LOOK, |_, ctx| ctx.notify(Tick));
    }
}

impl Handler<Tick> for CredentialsActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        if self.sources.is_some() {
            let look = self.handle(Reload, ctx).map(|_, _, _| ());
            ctx.spawn(look);
        } else if self.began.elapsed() > PATIENCE {
            self.note_that_it_hangs();
        }
        ctx.run_later(LOOK, |_, ctx| ctx.notify(Tick));
    }
}

impl Handler<Reload> for CredentialsActor {
    // Runs beside other messages: a file system that hangs must not keep Ping from being answered.
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Reload, _: &mut Self::Context) -> Self::Result {
        // Somebody is looking already; what he finds is as new as what we would.
        let Some(mut sources) = self.sources.take() else {
            let is_good = !self.is_failing();
            return Box::pin(async move { is_good }.into_actor(self));
        };
        self.began = Instant::now();
        let looked = self.looker.look(move || {
            let looked = sources.look();
            (sources, looked)
        });
        Box::pin(looked.into_actor(self).map(|looked, act, ctx| {
            let Ok((sources, looked)) = looked else {
                // A panic is printed where it happens; the watchdog finds the mailbox closed and ends the process.
                ctx.stop();
                return false;
            };
            act.sources = Some(sources);
            act.conclude(looked)
        }))
    }
}

impl Handler<Ping> for CredentialsActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}
