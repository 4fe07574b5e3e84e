//! GateActor: decides whether an episode gets in.
//!
//! - owns: the [`Gate`], that is the commit window
//! - accepts: [`Check`], [`Describe`], [`Replace`], Ping, Drain
//! - sends to: nobody
//! - runs on: the system's arbiter; it never does I/O, so it always answers at once
//! - ends: with its System

use actix::{Actor, Context, Handler, Message, MessageResult};

use super::{Drain, Ping};
use crate::gate::window::{ClaimedCommit, Current, Gate, GateState, Verdict};

/// Sent by the HTTP layer before a body is read, and for `GET /v1/gate/{commit}`.
#[derive(Debug, Message)]
#[rtype(result = "Verdict")]
pub struct Check {
    /// What the request says of its commit.
    pub claimed: ClaimedCommit,
}

/// Asks what the gate says of itself.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "GateState")]
pub struct Describe;

/// Sent by GitPollActor with every window that it read.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Replace(pub Current);

/// See the module's documentation.
#[derive(Debug)]
pub struct GateActor {
    gate: Gate,
}

impl GateActor {
    /// An actor for this gate, with or without a window from the last run.
    pub fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl Actor for GateActor {
    type Context = Context<Self>;
}

impl Handler<Check> for GateActor {
    type Result = MessageResult<Check>;

    fn handle(&mut self, check: Check, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.gate.check(check.claimed))
    }
}

impl Handler<Describe> for GateActor {
    type Result = MessageResult<Describe>;

    fn handle(&mut self, _: Describe, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.gate.state())
    }
}

impl Handler<Replace> for GateActor {
    type Result = ();

    fn handle(&mut self, Replace(current): Replace, _: &mut Self::Context) {
        self.gate.replace(current);
    }
}

impl Handler<Ping> for GateActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Drain> for GateActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
