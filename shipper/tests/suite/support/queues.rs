//! A QueueActor for one test, with scripted uploaders and a paused clock.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, Addr, Recipient};
use cis490_shipper::actors::queue::{Observation, QueueActor, QueueSettings, Scan};
use cis490_shipper::actors::upload::{Ask, Ship};
use cis490_shipper::answers::outcome::Outcome;
use cis490_shipper::store::layout::Dirs;
use cis490_shipper::upload::slots::UploadSlots;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::host::{COMMIT, Host};
use super::scripted::Scripted;

/// Runs a test in a System of its own, with the clock paused.
pub fn paused(test: impl Future<Output = ()>) {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    actix::System::with_tokio_rt(runtime).block_on(test);
}

/// Starts a queue that scans only on request.
pub fn queue(host: &Host, uploaders: Vec<Recipient<Ship>>) -> Addr<QueueActor> {
    start(host, None, uploaders)
}

pub fn start(
    host: &Host,
    scan_interval: Option<Duration>,
    uploaders: Vec<Recipient<Ship>>,
) -> Addr<QueueActor> {
    let (dirs, _) = host.open();
    QueueActor::new(settings(dirs, scan_interval), uploaders).start()
}

/// Starts a queue that scans only on request, and shares these turns with its uploaders.
pub fn queue_with(host: &Host, slots: UploadSlots, uploaders: Vec<Recipient<Ship>>) -> Addr<QueueActor> {
    let (dirs, _) = host.open();
    QueueActor::new(QueueSettings { slots, ..settings(dirs, None) }, uploaders).start()
}

/// Starts a queue that asks about the commits of refused episodes, and ships the episodes that go back.
pub fn start_asking(
    host: &Host,
    scan_interval: Option<Duration>,
    uploader: Recipient<Ship>,
    ask: Recipient<Ask>,
) -> Addr<QueueActor> {
    let (dirs, _) = host.open();
    QueueActor::new(QueueSettings { ask: Some(ask), ..settings(dirs, scan_interval) }, vec![uploader]).start()
}

fn settings(dirs: Dirs, scan_interval: Option<Duration>) -> QueueSettings {
    let (slots, rng) = (UploadSlots::new(1), StdRng::seed_from_u64(1));
    QueueSettings { dirs, scan_interval, slots, ask: None, rng }
}

pub async fn scan(queue: &Addr<QueueActor>) -> Observation {
    queue.send(Scan).await.unwrap().unwrap()
}

/// Starts an uploader that answers by `outcome`. Returns the names of the episodes it was asked to ship, and the
/// uploader.
pub fn notes(
    mut outcome: impl FnMut(&Ship) -> Outcome + 'static,
) -> (Rc<RefCell<Vec<String>>>, Recipient<Ship>) {
    let tried = Rc::new(RefCell::new(Vec::new()));
    let in_script = Rc::clone(&tried);
    let uploader = Scripted::start(move |ship| {
        in_script.borrow_mut().push(ship.episode_id.to_string());
        outcome(&ship)
    });
    (tried, uploader)
}

pub fn host_with(count: usize) -> Host {
    let host = Host::new();
    for n in 0..count {
        host.record(&format!("e{n:03}"), Some(COMMIT));
    }
    host
}
