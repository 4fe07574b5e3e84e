//! The shipper itself, as a daemon or `--once`: its log, its exit code, and with `--once` on a terminal a progress bar
//! for each upload.
//!
//! A thread of its own reads the meter ten times a second, so that no uploader waits for a terminal. [`LogLines`]
//! removes the bars from the screen while a log line is written. There are no bars if standard error is no terminal.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use cis490_shared::telemetry::{self, BadFilter, Destination, Filter};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{FAILURE, Flags, SUCCESS, USAGE, bad_files, failed};
use crate::actors::queue::Observation;
use crate::config::Config;
use crate::report::status::{Backlog, UnderWay};
use crate::run::{self, Mode, RunError};
use crate::upload::meter::Meter;

const REFUSED: u8 = 65;
const TRY_AGAIN: u8 = 75;

/// The interval between reads of the meter.
const INTERVAL: Duration = Duration::from_millis(100);

/// The template of a bar. A ULID fits; a longer name is cut.
const TEMPLATE: &str = "{prefix:26!} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// Ships until the end that `mode` names, and returns the exit code.
pub(super) fn run(config: &Config, flags: &Flags, mode: Mode) -> u8 {
    let screen = Screen::of_standard_error().filter(|_| mode == Mode::Once && flags.output.quiet == 0);
    if let Err(error) = start_logging(flags, screen.as_ref()) {
        return failed(USAGE, &error, None);
    }
    let meter = Meter::default();
    let bars = screen.map(|screen| screen.show(meter.clone()));
    let ended = run::run(config, mode, &meter);
    // Removed, so that later output does not mix with them.
    drop(bars);
    match (ended, mode) {
        (Ok(_), Mode::Daemon) => SUCCESS,
        (Ok(seen), Mode::Once) => verdict(&seen),
        (Err(RunError::Target(error)), _) => bad_files(&error, &flags.config),
        (Err(error), _) => failed(FAILURE, &error, error.remedy()),
    }
}

/// The exit code of a single pass.
fn verdict(seen: &Observation) -> u8 {
    let Backlog { ready, waiting, .. } = seen.status.backlog;
    match (ready + waiting, seen.failed_passes, seen.refused) {
        (0, 0, 0) => 0,
        (0, 0, _) => REFUSED,
        _ => TRY_AGAIN,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the front end: the environment is read here and handed down"
)]
fn start_logging(flags: &Flags, screen: Option<&Screen>) -> Result<(), BadFilter> {
    let filter = Filter::new(flags.output.verbose, flags.output.quiet, env::var("RUST_LOG").ok().as_deref())?;
    let in_journal = env::var_os("JOURNAL_STREAM").is_some();
    let destination = if in_journal { Destination::Journal } else { Destination::Terminal };
    match screen.cloned() {
        Some(screen) => telemetry::init_to(move || screen.log_lines(), destination, filter),
        None => telemetry::init(destination, filter),
    }
    Ok(())
}

/// The terminal, with bars at its bottom. Clones share it.
#[derive(Debug, Clone)]
struct Screen(MultiProgress);

/// The bars. Dropping them removes them from the screen.
#[derive(Debug)]
struct Bars {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A writer of log lines to standard error, above the bars.
#[derive(Debug)]
struct LogLines(MultiProgress);

impl Screen {
    /// Returns standard error if it is a terminal.
    fn of_standard_error() -> Option<Self> {
        // The library detects terminals that cannot move their cursor.
        let multi = MultiProgress::new();
        (io::stderr().is_terminal() && !multi.is_hidden()).then_some(Self(multi))
    }

    /// Returns the writer for the log while bars are shown.
    fn log_lines(&self) -> LogLines {
        LogLines(self.0.clone())
    }

    /// Shows the uploads of the meter. If no thread can be started, there are no bars.
    fn show(&self, meter: Meter) -> Bars {
        let (stop, stopped) = channel();
        let screen = self.0.clone();
        let thread = std::thread::Builder::new().name("bars".to_owned());
        let thread = thread.spawn(move || follow(&screen, &meter, &stopped));
        Bars { stop: Some(stop), thread: thread.ok() }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread is in the log, and does not harm the uploads.
            let _ = thread.join();
        }
    }
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Writes the whole line, because a bar would be drawn into a line that is split by a short write.
        self.0.suspend(|| io::stderr().lock().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn follow(screen: &MultiProgress, meter: &Meter, stopped: &Receiver<()>) {
    let mut shown = Shown::default();
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        shown.update(screen, meter.under_way());
    }
    shown.update(screen, Vec::new());
}

/// The bars on the screen, by the number of the upload; an upload that begins again is another one.
#[derive(Debug, Default)]
struct Shown(BTreeMap<u64, ProgressBar>);

impl Shown {
    fn update(&mut self, screen: &MultiProgress, uploads: Vec<UnderWay>) {
        let mut before = std::mem::take(&mut self.0);
        for upload in uploads {
            let bar = before.remove(&upload.number).unwrap_or_else(|| begin(screen, &upload));
            bar.set_position(upload.sent_bytes);
            // The remaining time changes even if no byte is sent.
            bar.tick();
            self.0.insert(upload.number, bar);
        }
        for ended in before.into_values() {
            ended.finish_and_clear();
            screen.remove(&ended);
        }
    }
}

fn begin(screen: &MultiProgress, upload: &UnderWay) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(upload.total_bytes)
        .with_style(style.progress_chars("=> "))
        .with_prefix(upload.episode_id.clone());
    let bar = screen.add(bar.with_position(upload.sent_bytes));
    // Bytes sent before the bar existed must not count in the rate.
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use cis490_shared::ids::EpisodeId;
    use indicatif::ProgressDrawTarget;

    use super::*;
    use crate::report::status::Status;

    #[test]
    fn a_bar_is_there_as_long_as_its_upload() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let (meter, mut shown) = (Meter::default(), Shown::default());
        let id = |text| EpisodeId::parse(text).unwrap();
        let first = meter.begin(&id("first"), 100);
        first.sent(40);
        shown.update(&screen, meter.under_way());
        let second = meter.begin(&id("second"), 10);
        first.sent(10);
        shown.update(&screen, meter.under_way());
        let seen: Vec<_> = shown.0.values().map(|bar| (bar.prefix(), bar.position(), bar.length())).collect();
        assert_eq!(seen, [("first".to_owned(), 50, Some(100)), ("second".to_owned(), 0, Some(10))]);
        let bar = shown.0.values().next().unwrap().clone();
        drop(first);
        shown.update(&screen, meter.under_way());
        assert!(bar.is_finished() && shown.0.len() == 1);
        drop(second);
        shown.update(&screen, meter.under_way());
        assert!(shown.0.is_empty());
    }

    #[test]
    fn the_thread_ends_with_the_bars() {
        let screen = Screen(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()));
        let bars = screen.show(Meter::default());
        assert!(!bars.thread.as_ref().unwrap().is_finished());
        // Without an end of the thread, this would wait for ever.
        drop(bars);
    }

    #[test]
    fn what_must_be_tried_again_wins_over_what_was_refused() {
        let seen = |ready, waiting| {
            let backlog = Backlog { ready, waiting, ..Backlog::default() };
            let status = Status { backlog, shipped: 9, ..Status::default() };
            Observation { status, ..Observation::default() }
        };
        assert_eq!(verdict(&Observation::default()), 0);
        assert_eq!(verdict(&Observation { retries: 2, ..seen(0, 0) }), 0);
        assert_eq!(verdict(&Observation { refused: 1, ..seen(0, 0) }), REFUSED);
        for left in [
            Observation { refused: 1, ..seen(1, 0) },
            Observation { refused: 1, ..seen(0, 1) },
            Observation { failed_passes: 1, refused: 1, ..seen(0, 0) },
            Observation { on_hold: true, ..seen(1, 0) },
        ] {
            assert_eq!(verdict(&left), TRY_AGAIN, "{left:?}");
        }
    }
}
