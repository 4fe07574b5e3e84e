//! Stand-ins for neighbouring actors, which follow a script of the test.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Recipient, ResponseFuture};
use cis490_shipper::actors::upload::{Ask, Ship, UploadActor};
use cis490_shipper::answers::outcome::{Outcome, Refusal, Scope, Shipped};
use cis490_shipper::upload::gate::Verdict;

type Script = dyn FnMut(Ship) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// An uploader that follows a script.
pub struct Scripted {
    script: Box<Script>,
}

impl Scripted {
    /// Starts an uploader that answers at once.
    pub fn start(mut script: impl FnMut(Ship) -> Outcome + 'static) -> Recipient<Ship> {
        Self::start_async(move |ship| {
            let outcome = script(ship);
            async move { outcome }
        })
    }

    /// Starts an uploader that answers when the future of the script is ready.
    pub fn start_async<F>(mut script: impl FnMut(Ship) -> F + 'static) -> Recipient<Ship>
    where
        F: Future<Output = Outcome> + 'static,
    {
        Self { script: Box::new(move |ship| Box::pin(script(ship))) }.start().recipient()
    }
}

impl Actor for Scripted {
    type Context = Context<Self>;
}

impl Handler<Ship> for Scripted {
    type Result = ResponseFuture<Outcome>;

    fn handle(&mut self, ship: Ship, _: &mut Context<Self>) -> Self::Result {
        (self.script)(ship)
    }
}

/// A gate that follows a script.
pub struct ScriptedGate {
    script: Box<dyn FnMut(String) -> Result<Verdict, Box<Outcome>>>,
}

impl ScriptedGate {
    pub fn start(script: impl FnMut(String) -> Result<Verdict, Box<Outcome>> + 'static) -> Recipient<Ask> {
        Self { script: Box::new(script) }.start().recipient()
    }
}

impl Actor for ScriptedGate {
    type Context = Context<Self>;
}

impl Handler<Ask> for ScriptedGate {
    type Result = Result<Verdict, Outcome>;

    fn handle(&mut self, ask: Ask, _: &mut Context<Self>) -> Self::Result {
        (self.script)(ask.commit).map_err(|outcome| *outcome)
    }
}

/// Wraps a real uploader for a queue on a paused clock. While the uploader is at work, the clock does not jump to the
/// next timer. That timer would be a deadline of an upload that waits for a real socket.
pub fn on_a_clock_that_stands_still_meanwhile(
    uploader: Addr<UploadActor>,
    mut note: impl FnMut(&Ship) + 'static,
) -> Recipient<Ship> {
    Scripted::start_async(move |ship| {
        note(&ship);
        let (is_done, wait) = std::sync::mpsc::channel::<()>();
        // A paused clock jumps only if no work is left, and blocking work counts as work.
        let at_work = tokio::task::spawn_blocking(move || {
            // An error is the end that this waits for.
            let _ = wait.recv();
        });
        let shipping = uploader.send(ship);
        async move {
            let outcome = shipping.await.expect("the uploader lives as long as the test");
            drop(is_done);
            at_work.await.expect("it only waits");
            outcome
        }
    })
}

pub fn shipped() -> Outcome {
    Outcome::Stored(Shipped {
        status: 201,
        commit: Some(super::host::COMMIT.to_owned()),
        size_bytes: 42,
        elapsed: Duration::from_millis(5),
        position: "7/100".parse().ok(),
        remediation: None,
    })
}

pub fn refused(status: u16, error: &str, commit: Option<&str>) -> Refusal {
    Refusal {
        status: Some(status),
        error: error.to_owned(),
        commit: commit.map(str::to_owned),
        head_commit: Some("cdcd".to_owned()),
        window: Some(100),
        remediation: Some("cd /opt/cis490 && git pull\n".to_owned()),
        detail: Some("a detail".to_owned()),
        ..Refusal::default()
    }
}

pub fn transient(scope: Scope) -> Outcome {
    Outcome::Transient { scope, reason: "a reason".to_owned(), retry_after: None, help: None }
}
