//! The version gate over HTTP: the time of a verdict, and the cost of a poll of the clone.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;

use crate::figures::{float, median, millis, percentile};
use crate::machine;
use crate::service::Receiver;
use crate::wire::Connection;
use crate::workshop::Workshop;

/// Verdicts per second.
const PACE: u32 = 1000;
/// Connections that share these verdicts.
const CONNECTIONS: u32 = 4;
/// How long the gate is asked.
const ASKING: Duration = Duration::from_secs(10);

/// The arguments of `gate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// How often the measurement is repeated.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// The arguments of `poll`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PollFlags {
    /// How many seconds to measure, with polls and without.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// Asks for verdicts at a fixed pace, and prints their times.
pub(crate) fn verdicts(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    let receiver = Receiver::start(workshop, &workshop.fresh_dir("gate")?, 5)?;
    let mut out = io::stdout();
    writeln!(
        out,
        "\n**{PACE} `GET /v1/gate/{{commit}}` by the second for {} s, the middle of {} rounds**\n",
        ASKING.as_secs(),
        flags.rounds
    )?;
    writeln!(out, "| p50 us | p99 us | longest us |\n|--:|--:|--:|")?;
    let mut rounds = Vec::new();
    for _ in 0..flags.rounds {
        workshop.wait_until_quiet();
        rounds.push(ask(&receiver, &workshop.commit)?);
    }
    let middle = |permille| median(rounds.iter().map(|times| millis(percentile(times, permille)) * 1e3));
    writeln!(out, "| {:.0} | {:.0} | {:.0} |", middle(500), middle(990), middle(1000))?;
    Ok(())
}

/// Waits until each question is due, and returns the time at which it was due.
fn moments(each: Duration) -> impl Iterator<Item = Instant> {
    let began = Instant::now();
    (0..).map(move |number| began + each * number).take_while(move |due| *due < began + ASKING).inspect(
        |due| {
            // After a late answer there is no pause. The delay is part of that answer's time.
            machine::pause(due.saturating_duration_since(Instant::now()));
        },
    )
}

/// Returns the times from a request to its answer, over several connections.
fn ask(receiver: &Receiver, commit: &str) -> anyhow::Result<Vec<Duration>> {
    let address = receiver.url.trim_start_matches("http://").parse()?;
    let request = format!("GET /v1/gate/{commit} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
    let converse = || -> anyhow::Result<Vec<Duration>> {
        let mut connection = Connection::open(address)?;
        let mut times = Vec::new();
        for _ in moments(Duration::from_secs(1) * CONNECTIONS / PACE) {
            let began = Instant::now();
            let answer = connection.exchange(&request, std::iter::empty())?;
            times.push(began.elapsed());
            ensure!(answer.status == 200 && answer.keeps, "the gate answered {}", answer.status);
        }
        Ok(times)
    };
    let mut times = thread::scope(|scope| {
        let asking: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(converse)).collect();
        let joined = asking.into_iter().map(|one| one.join().unwrap_or_else(|_| Ok(Vec::new())));
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?
    .concat();
    times.sort_unstable();
    Ok(times)
}

/// Prints the cost of a poll of an unchanged clone: a receiver that polls every second, against one that does not.
pub(crate) fn polls(workshop: &Workshop, flags: &PollFlags) -> anyhow::Result<()> {
    let time = Duration::from_secs(flags.seconds);
    let spend = |poll_interval_s| -> anyhow::Result<Duration> {
        let receiver = Receiver::start(workshop, &workshop.fresh_dir("poll")?, poll_interval_s)?;
        let pid = receiver.running.pid();
        // Work that is left over from the start is not a poll.
        machine::pause(Duration::from_secs(2));
        let before = machine::cpu_of_tree(pid);
        machine::pause(time);
        Ok(machine::cpu_of_tree(pid).saturating_sub(before))
    };
    workshop.wait_until_quiet();
    let (polling, idle) = (spend(1)?, spend(86_400)?);
    let each = millis(polling.saturating_sub(idle)) / float(flags.seconds);
    writeln!(
        io::stdout(),
        "\n**A poll of an unchanged clone** takes {each:.2} ms of processor time, git included: {:.0} ms in {} polls, \
         less the {:.0} ms that the receiver takes in that time without any.",
        millis(polling),
        flags.seconds,
        millis(idle)
    )?;
    Ok(())
}
