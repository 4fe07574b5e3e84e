//! WorkerActor: answers pings as long as the HTTP worker on its arbiter works.
//!
//! - owns: nothing
//! - accepts: Ping
//! - sends to: nobody
//! - runs on: the arbiter of one HTTP worker, each on its own
//! - ends: with the worker
//!
//! Without it, a receiver whose workers serve nobody would look alive to the watchdog (ADR 0003).

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Context, Handler, Recipient};

use super::Ping;

/// See the module's documentation.
#[derive(Debug)]
pub struct WorkerActor;

impl Actor for WorkerActor {
    type Context = Context<Self>;
}

impl Handler<Ping> for WorkerActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

/// The HTTP workers that the watchdog asks. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Workers(Arc<Mutex<Vec<Recipient<Ping>>>>);

impl Workers {
    /// Registers the worker on whose arbiter this is called.
    pub fn enlist(&self) {
        let ping = WorkerActor.start().recipient();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ping);
    }

    /// Returns the addresses of all registered workers.
    pub fn all(&self) -> Vec<Recipient<Ping>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
