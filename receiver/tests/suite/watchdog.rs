//! The watchdog, on actors that answer, hang and panic.

use std::cell::Cell;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use actix_rt::Arbiter;
use cis490_receiver::actors::Ping;
use cis490_receiver::actors::worker::Workers;
use cis490_receiver::watchdog::{ActorGone, Watched, watch};

/// An actor that answers until it is told to hang or to panic.
struct Fragile {
    hangs: bool,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Actor for Fragile {
    type Context = Context<Self>;
}

impl Handler<Ping> for Fragile {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        if self.hangs { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(())) }
    }
}

impl Handler<Panic> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

#[actix::test]
async fn the_manager_is_fed_while_every_actor_answers_and_told_of_the_one_that_panicked() {
    // The arbiter is separate, so that a panic ends the actor and not the test.
    let fragile = Fragile::start_in_arbiter(&Arbiter::new().handle(), |_| Fragile { hangs: false });
    let healthy = Fragile { hangs: false }.start();
    let actors = [
        Watched { name: "healthy", ping: healthy.recipient() },
        Watched { name: "fragile", ping: fragile.clone().recipient() },
    ];
    let fed = Cell::new(0);
    let feed = || {
        fed.set(fed.get() + 1);
        if fed.get() == 3 {
            // The reply never comes, because the actor is gone first.
            drop(fragile.try_send(Panic));
        }
    };
    let gone = watch(&actors, &Workers::default(), Duration::from_millis(1), feed).await;
    assert_eq!(gone, ActorGone("fragile"));
    assert!(fed.get() >= 3);
}

#[actix::test]
async fn an_actor_that_hangs_starves_the_watchdog() {
    let actors = [Watched { name: "stuck", ping: Fragile { hangs: true }.start().recipient() }];
    let fed = Cell::new(0);
    let workers = Workers::default();
    let watching = watch(&actors, &workers, Duration::from_millis(1), || fed.set(fed.get() + 1));
    assert!(tokio::time::timeout(Duration::from_millis(200), watching).await.is_err());
    assert_eq!(fed.get(), 0);
}

#[actix::test]
async fn a_worker_that_is_stuck_starves_the_watchdog_and_one_that_is_gone_ends_it() {
    let (workers, worker) = (Workers::default(), Arbiter::new());
    let (release, stuck) = std::sync::mpsc::channel::<()>();
    let (enlisted, is_enlisted) = tokio::sync::oneshot::channel();
    let in_worker = workers.clone();
    worker.spawn_fn(move || {
        in_worker.enlist();
        enlisted.send(()).unwrap();
        // A handler that blocks its worker until the test ends the wait.
        let _ = stuck.recv();
    });
    is_enlisted.await.unwrap();
    let fed = Cell::new(0);
    let watching = || watch(&[], &workers, Duration::from_millis(1), || fed.set(fed.get() + 1));
    assert!(tokio::time::timeout(Duration::from_millis(200), watching()).await.is_err());
    assert_eq!(fed.get(), 0);
    drop(release);
    assert!(tokio::time::timeout(Duration::from_millis(200), watching()).await.is_err());
    assert!(fed.get() > 0);
    worker.stop();
    assert_eq!(watching().await, ActorGone("an HTTP worker"));
}
