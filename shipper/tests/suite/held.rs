//! A hold on the whole queue costs one attempt per step of the back-off, whatever the length of the backlog. It touches
//! no episode. Real actors and real sockets, on a clock that stands still while anything is under way.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Actor;
use cis490_shared::latest::Latest;
use cis490_shipper::actors::queue::{Observation, Observe};
use cis490_shipper::actors::upload::UploadActor;
use cis490_shipper::config;
use cis490_shipper::http::target::TargetFiles;
use cis490_shipper::upload::deadlines::Deadlines;
use tokio::time::{Instant, sleep_until};

use crate::support::host::Host;
use crate::support::log::Log;
use crate::support::queues::{host_with, paused, start};
use crate::support::receiver::{Duplex, Receiver, stores_everything};
use crate::support::scripted::on_a_clock_that_stands_still_meanwhile;
use crate::support::tls::{Authority, server};
use crate::support::uploads::settings_at;

const READY: usize = 1000;
const HOUR: Duration = Duration::from_hours(1);

/// The result of an hour of trouble.
struct Hour {
    attempts: usize,
    seen: Observation,
    log: Log,
    host: Host,
}

/// Runs an hour with a thousand ready episodes and a receiver at `url`.
async fn an_hour_at(url: &str, ca: Option<&Path>) -> Hour {
    let log = Log::catch();
    let host = host_with(READY);
    let (mut settings, lock) = settings_at(&host, url, Deadlines::default());
    if ca.is_some() {
        let receiver = config::Receiver {
            url: config::ReceiverUrl::parse(url).unwrap(),
            ca_file: ca.map(Path::to_owned),
            client_cert_file: None,
            client_key_file: None,
            token_file: None,
            accept_unproven_success: false,
        };
        settings.target = Latest::new(TargetFiles::read(&receiver).unwrap().0);
    }
    let attempts = Rc::new(Cell::new(0));
    let noted = Rc::clone(&attempts);
    let uploader = UploadActor::new(settings).start();
    let uploader = on_a_clock_that_stands_still_meanwhile(uploader, move |_| noted.set(noted.get() + 1));
    drop(lock);
    let begin = Instant::now();
    let queue = start(&host, Some(Duration::from_mins(1)), vec![uploader]);
    sleep_until(begin + HOUR).await;
    let seen = queue.send(Observe).await.unwrap();
    Hour { attempts: attempts.get(), seen, log, host }
}

impl Hour {
    /// Asserts one attempt per step, nothing packed or moved, and one log entry that contains `reason`.
    fn was_held(&self, entry: &str, reason: &str) {
        let Self { attempts, seen, log, host } = self;
        assert!((10..40).contains(attempts), "{attempts} attempts in an hour");
        assert!(seen.on_hold && seen.refused == 0 && seen.status.shipped == 0, "{seen:?}");
        assert_eq!((host.names("episodes").len(), host.names("outbox").len()), (READY, 0));
        let said: Vec<String> = log.with("WARN").into_iter().chain(log.with("ERROR")).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(entry) && said[0].contains(reason), "{said:?}");
    }
}

const UNREACHABLE: &str = "WARN receiver unreachable, uploads paused";
/// A person must act, because waiting does not repair a certificate.
const NO_TRUST: &str = "ERROR a TLS certificate was rejected, uploads paused";

#[test]
fn a_name_that_cannot_be_resolved_holds_the_queue() {
    paused(async {
        // No part of a name is that long, so the resolver rejects it without asking a server.
        let url = format!("http://{}.invalid", "a".repeat(64));
        let hour = an_hour_at(&url, None).await;
        hour.was_held(UNREACHABLE, "failed to lookup address information");
    });
}

#[test]
fn a_certificate_that_is_not_trusted_holds_the_queue() {
    paused(async {
        let root = tempfile::tempdir().unwrap();
        let ca = root.path().join("ca.pem");
        fs::write(&ca, Authority::new("ours").pem).unwrap();
        let theirs = Authority::new("theirs").issue("127.0.0.1");
        let receiver = Receiver::start_with(server(&theirs, None), stores_everything);
        let url = format!("https://127.0.0.1:{}", receiver.port());
        let hour = an_hour_at(&url, Some(&ca)).await;
        hour.was_held(NO_TRUST, "name its authority in `receiver.ca_file`");
        assert!(receiver.seen().is_empty());
    });
}

/// Starts a server that sends `greeting` and hangs up. Returns the server and the number of its connections.
fn hangs_up(greeting: &'static str) -> (Receiver, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let wrap = move |mut tcp: TcpStream| -> io::Result<Box<dyn Duplex>> {
        counted.fetch_add(1, Ordering::SeqCst);
        tcp.write_all(greeting.as_bytes())?;
        tcp.shutdown(Shutdown::Both)?;
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    (Receiver::start_with(Box::new(wrap), stores_everything), connections)
}

#[test]
fn a_server_that_speaks_no_tls_holds_the_queue() {
    paused(async {
        let root = tempfile::tempdir().unwrap();
        let ca = root.path().join("ca.pem");
        fs::write(&ca, Authority::new("ours").pem).unwrap();
        let (mail, connections) = hangs_up("220 mail.lab.example\r\n");
        let hour = an_hour_at(&format!("https://127.0.0.1:{}", mail.port()), Some(&ca)).await;
        hour.was_held(NO_TRUST, "the TLS handshake failed");
        assert_eq!(connections.load(Ordering::SeqCst), hour.attempts);
    });
}

#[test]
fn nobody_there_and_a_thousand_ready_episodes_cost_one_attempt_per_step() {
    paused(async {
        let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", unused.local_addr().unwrap());
        drop(unused);
        let hour = an_hour_at(&url, None).await;
        hour.was_held(UNREACHABLE, "cannot connect: Connection refused");
    });
}

#[test]
fn whoever_hangs_up_at_once_gets_one_connection_per_step() {
    paused(async {
        let (server, connections) = hangs_up("");
        let hour = an_hour_at(&server.url(), None).await;
        hour.was_held(UNREACHABLE, "the connection broke");
        assert_eq!(connections.load(Ordering::SeqCst), hour.attempts);
    });
}
