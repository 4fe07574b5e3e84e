//! The shipper: one large episode compared with sending it by hand, a backlog compared with the load driver, and idle
//! daemons.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::driver::{self, Shape};
use crate::episodes::{self, LARGE, SMALL};
use crate::figures::{float, median, millis};
use crate::machine;
use crate::peer::Server;
use crate::service::{Receiver, Running};
use crate::workshop::Workshop;

/// Uploads at the same time: the default of a lab host, and the most that its configuration is likely to name.
const PARALLEL: [usize; 2] = [2, 8];

/// The arguments of `ship`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// Large episodes, each sent by the shipper and by hand.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Small episodes of a backlog.
    #[arg(long, default_value_t = 2000)]
    backlog: usize,
    /// For how many seconds the idle daemons are watched.
    #[arg(long, default_value_t = 20)]
    idle: u64,
}

/// A lab host: its data and its configuration.
struct LabHost {
    data: PathBuf,
    config: PathBuf,
}

impl LabHost {
    fn new(workshop: &Workshop, url: &str, parallel: usize) -> anyhow::Result<Self> {
        let dir = workshop.fresh_dir("lab-host")?;
        let (data, config) = (dir.join("data"), dir.join("lab-host.toml"));
        fs::create_dir_all(data.join("episodes"))?;
        let text = format!(
            "host_id = \"lab-1\"\n\n[paths]\ndata_root = \"{}\"\n\n[receiver]\nurl = \"{url}\"\n\n\
             [queue]\nparallel_uploads = {parallel}\n",
            data.display()
        );
        fs::write(&config, text)?;
        Ok(Self { data, config })
    }

    /// Ships all ready episodes. Returns the time from the start of the program to its end.
    fn ship(&self, workshop: &Workshop) -> anyhow::Result<Duration> {
        let mut command = workshop.program("cis490-shipper")?;
        command.arg("--once").arg("--config").arg(&self.config);
        timed(&mut command)
    }
}

/// Runs a command to its end, which must be a success. Returns the time.
pub(crate) fn timed(command: &mut Command) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let output =
        command.output().with_context(|| format!("{} did not start", command.get_program().display()))?;
    let time = began.elapsed();
    if !output.status.success() {
        bail!("{} failed: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(time)
}

/// Returns true if all these programs are installed; prints the missing ones.
pub(crate) fn have(programs: &[&str]) -> anyhow::Result<bool> {
    let missing = |program: &&&str| Command::new(program).arg("--version").output().is_err();
    let missing: Vec<&str> = programs.iter().filter(missing).copied().collect();
    if !missing.is_empty() {
        writeln!(io::stdout(), "\nnot compared: {} is not installed", missing.join(", "))?;
    }
    Ok(missing.is_empty())
}

/// Measures everything about the shipper.
pub(crate) fn run(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    if have(&["tar", "zstd", "curl", "sha256sum"])? {
        large(workshop, flags)?;
    }
    writeln!(io::stdout(), "\n**A backlog of {} small episodes**\n", flags.backlog)?;
    writeln!(io::stdout(), "| at the same time | shipper /s | load driver /s | ratio |\n|--:|--:|--:|--:|")?;
    PARALLEL.into_iter().try_for_each(|parallel| backlog(workshop, flags.backlog, parallel))?;
    idle(workshop, Duration::from_secs(flags.idle))
}

fn large(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    let receiver = Receiver::start(workshop, &workshop.fresh_dir("receiver")?, 5)?;
    let host = LabHost::new(workshop, &receiver.url, 2)?;
    let by_hand = workshop.fresh_dir("by-hand")?;
    let (mut shipper, mut hand) = (Vec::new(), Vec::new());
    for round in 0..flags.rounds {
        let episodes = host.data.join("episodes");
        episodes::record(&episodes, round, &workshop.commit, LARGE)?;
        let mut ship = |workshop: &Workshop| -> anyhow::Result<()> {
            rustix::fs::sync();
            workshop.wait_until_quiet();
            shipper.push(host.ship(workshop)?.as_secs_f64());
            Ok(())
        };
        let mut pipeline = |within: &Path| -> anyhow::Result<()> {
            rustix::fs::sync();
            workshop.wait_until_quiet();
            hand.push(ship_by_hand(within, &episodes::id(round), &by_hand, &receiver.url, &workshop.commit)?);
            Ok(())
        };
        if round % 2 == 0 {
            pipeline(&episodes)?;
            ship(workshop)?;
        } else {
            ship(workshop)?;
            pipeline(&host.data.join("shipped"))?;
        }
    }
    let ratios = shipper.iter().zip(&hand).map(|(shipper, hand)| shipper / hand);
    writeln!(
        io::stdout(),
        "\n**An episode of 200 MiB, packed and sent**: cis490-shipper {:.2} s, by hand {:.2} s, ratio {:.2} (medians of {})",
        median(shipper.iter().copied()),
        median(hand.iter().copied()),
        median(ratios),
        flags.rounds
    )?;
    Ok(())
}

/// Runs `tar | zstd` to a file, then `curl -T`. Returns the seconds of both, without the hash between them.
fn ship_by_hand(within: &Path, id: &str, out: &Path, url: &str, commit: &str) -> anyhow::Result<f64> {
    let archive = out.join(format!("{id}.tar.zst"));
    let mut pack = Command::new("sh");
    pack.args(["-c", "tar -C \"$1\" -cf - \"$2\" | zstd -q -3 -T1 >\"$3\"", "sh"])
        .arg(within)
        .arg(id)
        .arg(&archive);
    let packing = timed(&mut pack)?;
    let output = Command::new("sha256sum").arg(&archive).output()?;
    let sha256 = String::from_utf8(output.stdout)?.chars().take(64).collect::<String>();
    let mut send = Command::new("curl");
    send.args(["--silent", "--show-error", "--fail", "--header", "Expect:"])
        .args(["--header", &format!("X-Content-SHA256: {sha256}")])
        .args(["--header", &format!("X-Cis490-Code-Commit: {commit}")])
        .arg("--upload-file")
        .arg(&archive)
        .arg(format!("{url}/v1/episodes/by-hand/{id}.tar.zst"));
    Ok((packing + timed(&mut send)?).as_secs_f64())
}

/// Drains a backlog, then lets the driver send as many bodies of the same size over as many connections.
fn backlog(workshop: &Workshop, count: usize, parallel: usize) -> anyhow::Result<()> {
    let dir = workshop.fresh_dir("receiver")?;
    let server = Server::receiver(workshop, &dir)?;
    let host = LabHost::new(workshop, &format!("http://{}", server.target.address), parallel)?;
    for number in 0..count {
        episodes::record(&host.data.join("episodes"), number, &workshop.commit, SMALL)?;
    }
    rustix::fs::sync();
    workshop.wait_until_quiet();
    let shipping = host.ship(workshop)?;
    let stored: Vec<u64> = fs::read_dir(dir.join("episodes/lab-1"))?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .collect::<io::Result<_>>()?;
    ensure!(stored.len() == count, "{} of {count} episodes were stored", stored.len());
    let size = usize::try_from(stored.iter().sum::<u64>() / stored.len() as u64)?;
    let shape = Shape { count, size, connections: parallel, hosts: Some(1) };
    let uploads = driver::prepare(&server.target, &workshop.pool, shape);
    rustix::fs::sync();
    workshop.wait_until_quiet();
    let run = driver::drive(&server.target, &workshop.pool, &uploads, parallel, &AtomicBool::new(false));
    let rate = float(count as u64) / shipping.as_secs_f64();
    writeln!(io::stdout(), "| {parallel} | {rate:.0} | {:.0} | {:.2} |", run.rate(), rate / run.rate())?;
    Ok(())
}

/// Measures the processor time of both daemons when nothing happens, as a share of one processor.
fn idle(workshop: &Workshop, time: Duration) -> anyhow::Result<()> {
    let receiver = Receiver::start(workshop, &workshop.fresh_dir("receiver")?, 5)?;
    let host = LabHost::new(workshop, &receiver.url, 2)?;
    let mut command = workshop.program("cis490-shipper")?;
    command.arg("--config").arg(&host.config);
    let mut shipper = Running::start(&mut command, &host.config.with_file_name("log"))?;
    // Work that is left over from the start is not idleness.
    machine::pause(Duration::from_secs(3));
    let pids = [receiver.running.pid(), shipper.pid()];
    let before = pids.map(machine::cpu_of_tree);
    machine::pause(time);
    ensure!(shipper.is_alive(), "the shipper has ended");
    let after = pids.map(machine::cpu_of_tree);
    let [receiver, shipper] = [0, 1].map(|place| millis(after[place].saturating_sub(before[place])));
    let share = |spent: f64| spent / millis(time) * 100.0;
    writeln!(
        io::stdout(),
        "\n**Idle for {} s**: the receiver takes {receiver:.0} ms of processor time ({:.2} %), with its polls of the \
         clone; the shipper {shipper:.0} ms ({:.2} %)",
        time.as_secs(),
        share(receiver),
        share(shipper)
    )?;
    Ok(())
}
