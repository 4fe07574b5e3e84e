//! One load on one server: prepared, sent and verified, with its cost.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

use crate::driver::{self, Run, Shape};
use crate::figures;
use crate::machine::{self, Machine};
use crate::peer::Server;
use crate::workshop::Workshop;

/// The cost of one load on one server, as in the raw lines.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// Uploads that were accepted.
    pub(crate) uploads: u64,
    /// Bytes that were accepted.
    pub(crate) bytes: u64,
    /// Uploads that were not accepted.
    pub(crate) errors: usize,
    /// Duration in seconds.
    pub(crate) wall_s: f64,
    /// Uploads per second.
    pub(crate) requests_per_s: f64,
    /// 10^6 bytes per second.
    pub(crate) megabytes_per_s: f64,
    /// The median time of an upload.
    pub(crate) p50_ms: f64,
    /// The time that 99 of 100 uploads do not exceed.
    pub(crate) p99_ms: f64,
    /// The longest time of an upload.
    pub(crate) max_ms: f64,
    /// Processor seconds of the server.
    pub(crate) cpu_s: f64,
    /// Processor seconds of the server per 10^9 bytes.
    pub(crate) cpu_s_per_gb: f64,
    /// The server's largest resident memory, in MiB.
    pub(crate) peak_mib: f64,
    /// The share of the machine that neither the server nor this program used: other programs, and the kernel's
    /// writing.
    pub(crate) others: f64,
}

/// Warms a server up, so that no load pays for first connections, first pages and first files.
pub(crate) fn warm_up(workshop: &Workshop, server: &Server) -> anyhow::Result<()> {
    for shape in [
        Shape { count: 200, size: 64 << 10, connections: 8, hosts: Some(1) },
        Shape { count: 4, size: 8 << 20, connections: 2, hosts: Some(1) },
    ] {
        let uploads = driver::prepare(&server.target, &workshop.pool, shape);
        let run = driver::drive(
            &server.target,
            &workshop.pool,
            &uploads,
            shape.connections,
            &AtomicBool::new(false),
        );
        anyhow::ensure!(run.errors() == 0, "the warm-up was answered {:?}", run.failures);
        server.truncate(&uploads)?;
    }
    Ok(())
}

/// Puts one load on a server, and returns its cost.
pub(crate) fn measure(workshop: &Workshop, server: &Server, shape: Shape) -> anyhow::Result<Measured> {
    let uploads = driver::prepare(&server.target, &workshop.pool, shape);
    // Otherwise the first sync of this run would pay for earlier writes of other programs.
    rustix::fs::sync();
    workshop.wait_until_quiet();
    machine::reset_peak(server.pid());
    let before = Spent::now(server);
    let run =
        driver::drive(&server.target, &workshop.pool, &uploads, shape.connections, &AtomicBool::new(false));
    let after = Spent::now(server);
    let measured = summarise(&run, before, after, machine::peak_kib(server.pid()));
    if run.errors() == 0 {
        server.verify(&uploads)?;
        server.truncate(&uploads)?;
    }
    Ok(measured)
}

/// Processor time used up to now.
#[derive(Debug, Clone, Copy)]
struct Spent {
    server: Duration,
    driver: Duration,
    machine: Machine,
}

impl Spent {
    fn now(server: &Server) -> Self {
        Self {
            server: machine::cpu_of_tree(server.pid()),
            driver: machine::cpu_of_process(std::process::id()),
            machine: Machine::now(),
        }
    }
}

fn summarise(run: &Run, before: Spent, after: Spent, peak_kib: u64) -> Measured {
    let server = after.server.saturating_sub(before.server);
    let ours = server + after.driver.saturating_sub(before.driver);
    let others = after.machine.busy_since(before.machine).saturating_sub(ours);
    let all = after.machine.all_since(before.machine);
    let cpu_s = server.as_secs_f64();
    Measured {
        uploads: run.latencies.len() as u64,
        bytes: run.bytes,
        errors: run.errors(),
        wall_s: run.wall.as_secs_f64(),
        requests_per_s: run.rate(),
        megabytes_per_s: run.megabytes(),
        p50_ms: figures::millis(figures::percentile(&run.latencies, 500)),
        p99_ms: figures::millis(figures::percentile(&run.latencies, 990)),
        max_ms: figures::millis(figures::percentile(&run.latencies, 1000)),
        cpu_s,
        cpu_s_per_gb: cpu_s / (figures::float(run.bytes) / 1e9),
        peak_mib: figures::float(peak_kib) / 1024.0,
        others: others.as_secs_f64() / all.as_secs_f64().max(1e-9),
    }
}
