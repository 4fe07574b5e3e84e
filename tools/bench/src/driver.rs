//! The load: uploads that are prepared before the clock starts, sent over a fixed number of connections.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cis490_shared::ids::Sha256Digest;
use cis490_shared::wire::headers;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::body::{Body, Pool};
use crate::figures;
use crate::wire::Connection;

/// The number and the size of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Number of uploads.
    pub(crate) count: usize,
    /// Bytes of each upload.
    pub(crate) size: usize,
    /// Connections that send the uploads.
    pub(crate) connections: usize,
    /// Hosts that the uploads are spread over. `None`: one for each connection.
    pub(crate) hosts: Option<usize>,
}

/// The destination of uploads.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The address of the server.
    pub(crate) address: SocketAddr,
    /// The path, with `{host}` and `{id}` in it.
    pub(crate) path: String,
    /// The commit that every upload names as its own.
    pub(crate) commit: String,
}

/// An upload that is ready to be sent.
pub(crate) struct Upload {
    /// The host in its path.
    pub(crate) host: String,
    /// The episode in its path.
    pub(crate) id: String,
    head: Vec<u8>,
    body: Body,
}

impl Upload {
    /// Returns the length of the body.
    pub(crate) fn size(&self) -> u64 {
        self.body.size() as u64
    }
}

/// Prepares the uploads of one run. No two runs of a process share an episode or a body.
pub(crate) fn prepare(target: &Target, pool: &Pool, shape: Shape) -> Vec<Upload> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let mut random = StdRng::seed_from_u64(run);
    let bodies: Vec<Body> = (0..shape.count).map(|_| Body::new(&mut random, shape.size)).collect();
    let hashes = hash_all(&bodies, pool);
    let hosts = shape.hosts.unwrap_or(shape.connections).max(1);
    let uploads = bodies.into_iter().zip(hashes).enumerate().map(|(number, (body, sha256))| {
        let host = match number % hosts {
            0 => "bench".to_owned(),
            other => format!("bench-{other}"),
        };
        let id = format!("01B{run:08X}{number:015}");
        let head = head(target, &host, &id, body.size(), &sha256);
        Upload { host, id, head, body }
    });
    uploads.collect()
}

fn head(target: &Target, host: &str, id: &str, size: usize, sha256: &Sha256Digest) -> Vec<u8> {
    let path = target.path.replace("{host}", host).replace("{id}", id);
    let mut head = format!("PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {size}\r\n", target.address);
    for (name, value) in [
        ("content-type", headers::EPISODE_MEDIA_TYPE),
        (headers::CONTENT_SHA256, &sha256.to_string()),
        (headers::CODE_COMMIT, &target.commit),
        (headers::SCHEMA_VERSION, "1"),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Hashes all bodies, on as many threads as there are processors.
fn hash_all(bodies: &[Body], pool: &Pool) -> Vec<Sha256Digest> {
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = bodies.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = bodies
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(|body| body.sha256(pool)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// From the first byte of the first upload to the last byte of the last answer.
    pub(crate) wall: Duration,
    /// The time of every upload that was answered 2xx, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// How often each other status came; 0 stands for no answer.
    pub(crate) failures: BTreeMap<u16, usize>,
    /// Bytes of the bodies that were answered 2xx.
    pub(crate) bytes: u64,
}

impl Run {
    /// Returns the number of uploads that were not accepted.
    pub(crate) fn errors(&self) -> usize {
        self.failures.values().sum()
    }

    /// Returns the accepted uploads per second.
    pub(crate) fn rate(&self) -> f64 {
        figures::length(&self.latencies) / self.wall.as_secs_f64()
    }

    /// Returns the accepted bytes, in 10^6 per second.
    pub(crate) fn megabytes(&self) -> f64 {
        figures::float(self.bytes) / 1e6 / self.wall.as_secs_f64()
    }

    fn absorb(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.bytes += other.bytes;
        for (status, count) in other.failures {
            *self.failures.entry(status).or_default() += count;
        }
    }
}

/// Sends all uploads, or those that begin before `stop` is set.
pub(crate) fn drive(
    target: &Target,
    pool: &Pool,
    uploads: &[Upload],
    connections: usize,
    stop: &AtomicBool,
) -> Run {
    let next = AtomicUsize::new(0);
    let start = Barrier::new(connections + 1);
    let take = || match stop.load(Ordering::Relaxed) {
        true => None,
        false => uploads.get(next.fetch_add(1, Ordering::Relaxed)),
    };
    let mut run = Run::default();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut sender = Sender { address: target.address, pool, connection: None };
                    sender.connection = Connection::open(target.address).ok();
                    start.wait();
                    sender.send_each(take)
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        for sender in senders {
            // A sender that panicked has sent less; the missing uploads show in the verification.
            run.absorb(sender.join().unwrap_or_default());
        }
        run.wall = began.elapsed();
    });
    run.latencies.sort_unstable();
    run
}

/// A connection, with the means to reopen it after the server has closed it.
struct Sender<'a> {
    address: SocketAddr,
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Sender<'_> {
    fn send_each<'a>(&mut self, take: impl Fn() -> Option<&'a Upload>) -> Run {
        let mut run = Run::default();
        while let Some(upload) = take() {
            let began = Instant::now();
            // A kept connection may have been closed meanwhile, which says nothing about the upload.
            let status = self.send(upload).or_else(|_| self.send(upload)).unwrap_or(0);
            match status {
                200..300 => {
                    run.latencies.push(began.elapsed());
                    run.bytes += upload.size();
                }
                other => *run.failures.entry(other).or_default() += 1,
            }
        }
        run
    }

    fn send(&mut self, upload: &Upload) -> std::io::Result<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        let answer = connection.exchange(&upload.head, upload.body.pieces(self.pool))?;
        self.connection = answer.keeps.then_some(connection);
        Ok(answer.status)
    }
}
