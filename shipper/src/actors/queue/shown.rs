//! What this host shows to the receiver has changed: a hold that is about that need not be waited for.

use actix::{Context, Handler, Message};
use tokio::time::Instant;

use super::QueueActor;

/// There is a new certificate or token, or another authority is trusted. From CredentialsActor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ShownAnew;

impl Handler<ShownAnew> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: ShownAnew, ctx: &mut Context<Self>) {
        self.backlog.shown_anew(Instant::now());
        self.ship_what_is_due(ctx);
    }
}
