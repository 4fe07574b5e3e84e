//! FileWatchActor: keeps the content of files current that people edit. There is one for the tokens, one for the
//! certificates and one for the amnesties.
//!
//! - owns: its files, and the published value: their last valid content
//! - accepts: [`Reload`], Ping
//! - sends to: nobody; other code reads the published value
//! - runs on: the system's arbiter; a separate thread reads the files
//! - ends: with its System
//!
//! Invalid files change nothing: the last good content stays in force, and the log says so once.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture,
    WrapFuture,
};
use cis490_shared::clock::system_time;
use cis490_shared::latest::Latest;
use cis490_shared::watched::{Kept, WatchedFiles};
use tokio::time::Instant;

use super::Ping;
use crate::io_thread::{IoThread, PATIENCE};

/// The interval between reads: a removed token is refused within this time.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The next step if the file system does not answer.
const HANGS: &str = "their file system does not answer: `findmnt --target FILE`, `dmesg | tail`";

/// Reads the files now; also sent at SIGHUP. The reply is true if the files can be used and their content is in force.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Reload;

/// The timer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

/// See the module's documentation.
#[derive(Debug)]
pub struct FileWatchActor<F: WatchedFiles> {
    /// `None` while a read is under way.
    files: Option<F>,
    /// The start of the last read.
    began: Instant,
    thread: IoThread,
    kept: Kept<F::Value>,
}

impl<F: WatchedFiles> FileWatchActor<F> {
    /// Reads the files for the first time. Returns `None` if they have not changed since an earlier read. Blocks.
    pub fn open(mut files: F, thread: IoThread) -> Result<Option<Self>, F::Error> {
        Ok(files.read_if_changed()?.map(|value| Self::new(files, value, thread)))
    }

    /// Creates an actor for files whose last content was `value`.
    pub fn new(files: F, value: F::Value, thread: IoThread) -> Self {
        let kept = Kept::new(F::WHAT, Latest::new(value));
        Self { files: Some(files), began: Instant::now(), thread, kept }
    }

    /// Returns the view of the value in force, which stays current while the actor lives.
    pub fn latest(&self) -> Latest<F::Value> {
        self.kept.latest().clone()
    }

    fn conclude(&mut self, outcome: Result<Option<F::Value>, F::Error>) -> bool {
        match &outcome {
            Err(failure) => self.kept.fail(failure, F::help(failure)),
            Ok(_) => drop(self.kept.conclude(outcome)),
        }
        !self.kept.is_failing()
    }

    fn remind(&mut self) {
        if let Some(files) = &mut self.files {
            files.remind(&self.kept.latest().now(), system_time());
        }
    }
}

impl<F: WatchedFiles> Actor for FileWatchActor<F> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.remind();
        ctx.run_later(READ_EVERY, |_, ctx| ctx.notify(Tick));
    }
}

impl<F: WatchedFiles> Handler<Tick> for FileWatchActor<F> {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        if self.files.is_some() {
            let read = self.handle(Reload, ctx).map(|_, _, _| ());
            ctx.spawn(read);
        } else if self.began.elapsed() > PATIENCE {
            let hangs = format!("reading the files has taken more than {PATIENCE:?} and has not ended");
            self.kept.fail(&hangs, HANGS);
        }
        ctx.run_later(READ_EVERY, |_, ctx| ctx.notify(Tick));
    }
}

impl<F: WatchedFiles> Handler<Reload> for FileWatchActor<F> {
    // A read is already under way, and another one would find nothing newer.
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Reload, _: &mut Self::Context) -> Self::Result {
        // Runs beside other messages, so that a file system that hangs does not block Ping.
        let Some(mut files) = self.files.take() else {
            let is_good = !self.kept.is_failing();
            return Box::pin(async move { is_good }.into_actor(self));
        };
        self.began = Instant::now();
        let read = self.thread.run(move || {
            let outcome = files.read_if_changed();
            (files, outcome)
        });
        Box::pin(read.into_actor(self).map(|read, act, ctx| {
            let Ok((files, outcome)) = read else {
                // A panic is printed where it happens; the watchdog finds the mailbox closed and ends the process.
                ctx.stop();
                return false;
            };
            act.files = Some(files);
            let is_good = act.conclude(outcome);
            act.remind();
            is_good
        }))
    }
}

impl<F: WatchedFiles> Handler<Ping> for FileWatchActor<F> {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}
