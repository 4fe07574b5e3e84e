//! An UploadActor for one test, and receivers for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr};
use cis490_shared::durable::FileLock;
use cis490_shared::ids::HostId;
use cis490_shared::latest::Latest;
use cis490_shipper::actors::upload::{Ship, UploadActor};
use cis490_shipper::answers::outcome::Outcome;
use cis490_shipper::config::ReceiverUrl;

use cis490_shipper::http::clock_skew::ClockSkew;
use cis490_shipper::http::target::Target;
use cis490_shipper::upload::deadlines::Deadlines;
use cis490_shipper::upload::gate::Gate;
use cis490_shipper::upload::meter::Meter;
use cis490_shipper::upload::pace::Pace;
use cis490_shipper::upload::put::Expect;
use cis490_shipper::upload::ship::Settings;
use cis490_shipper::upload::slots::UploadSlots;

use super::host::{COMMIT, Host, id};
use super::receiver::{Conn, Receiver, Request, stores_everything};

/// Long enough for everything that happens, and short for a wait in vain.
pub const SHORT: Duration = Duration::from_millis(300);

pub fn uploader_at(host: &Host, url: &str, deadlines: Deadlines) -> (Addr<UploadActor>, FileLock) {
    let (settings, lock) = settings_at(host, url, deadlines);
    (UploadActor::new(settings).start(), lock)
}

/// Returns the settings of uploaders of which one may send at a time.
pub fn settings_at(host: &Host, url: &str, deadlines: Deadlines) -> (Settings, FileLock) {
    let (dirs, lock) = host.open();
    let target =
        Latest::new(Target { url: ReceiverUrl::parse(url).unwrap(), tls: None, authorization: None });
    let host_id = HostId::parse("lab-1").unwrap();
    let settings = Settings {
        accept_unproven_success: false,
        host_id,
        dirs,
        target,
        compression_level: 3,
        deadlines,
        expect: Expect::default(),
        slots: UploadSlots::new(1),
        gate: Gate::default(),
        meter: Meter::default(),
        pace: Pace::default(),
        clock_skew: ClockSkew::default(),
    };
    (settings, lock)
}

/// Ships one episode through an uploader of its own.
pub async fn ship(host: &Host, receiver: &Receiver, name: &str) -> Outcome {
    ship_within(host, receiver, name, Deadlines::default()).await
}

pub async fn ship_within(host: &Host, receiver: &Receiver, name: &str, deadlines: Deadlines) -> Outcome {
    let (uploader, _lock) = uploader_at(host, &receiver.url(), deadlines);
    send(&uploader, name).await
}

pub async fn send(uploader: &Addr<UploadActor>, name: &str) -> Outcome {
    uploader.send(Ship { episode_id: id(name), rebuild: false }).await.unwrap()
}

pub fn one_episode() -> Host {
    let host = Host::new();
    host.record("e1", Some(COMMIT));
    host
}

pub fn two_episodes() -> Host {
    let host = one_episode();
    host.record("e2", Some(COMMIT));
    host
}

/// Answers the gate and HEAD (404), and leaves PUT to the test.
pub fn on_put(mut put: impl FnMut(&Request, &mut Conn) + Send + 'static) -> Receiver {
    Receiver::start(move |request, conn| match request.method.as_str() {
        "PUT" => put(request, conn),
        _ => stores_everything(request, conn),
    })
}

/// A cell that a script fills and a test reads.
pub fn cell<T: Default>() -> (Arc<Mutex<T>>, Arc<Mutex<T>>) {
    let cell = Arc::new(Mutex::new(T::default()));
    (Arc::clone(&cell), cell)
}
