//! Sets up tracing: lines for people on a terminal, lines with a priority for the journal.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Compact, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::excerpt::excerpt;

/// The filter for logged events.
#[derive(Debug, Clone)]
pub struct Filter(Targets);

/// The error for a value of `RUST_LOG` that is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`RUST_LOG` is `{}`: write a level (error, warn, info, debug, trace, off) or TARGET=LEVEL, with commas between, \
     as `warn,cis490_receiver=debug`",
    excerpt(.0)
)]
pub struct BadFilter(String);

impl Filter {
    /// Builds the filter from the counts of `-v` and `-q` and from the value of `RUST_LOG`. The value applies only if
    /// the flags are absent or cancel each other out.
    ///
    /// Without any of these, events from INFO on are logged: of `actix_server` only warnings and errors, of
    /// `actix_http` nothing.
    pub fn new(verbose: u8, quiet: u8, rust_log: Option<&str>) -> Result<Self, BadFilter> {
        let level = match i16::from(verbose) - i16::from(quiet) {
            ..=-2 => LevelFilter::ERROR,
            -1 => LevelFilter::WARN,
            0 => LevelFilter::INFO,
            1 => LevelFilter::DEBUG,
            2.. => LevelFilter::TRACE,
        };
        match rust_log.filter(|text| level == LevelFilter::INFO && !text.trim().is_empty()) {
            Some(text) => {
                // The library that parses the value takes any word for the name of a target, even a misspelt level.
                let is_level = |part: &str| part.trim().parse::<LevelFilter>().is_ok();
                let is_sane = text.split(',').all(|part| part.contains('=') || is_level(part));
                let filter = text.replace(' ', "").parse().ok().filter(|_| is_sane);
                filter.map(Self).ok_or_else(|| BadFilter(text.to_owned()))
            }
            None => Ok(Self(from_level(level))),
        }
    }
}

fn from_level(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level)
        .with_target("actix_server", level.min(LevelFilter::WARN))
        .with_target("actix_http", LevelFilter::OFF)
}

/// The destination of the log lines, which go through standard error for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A person or a file: lines have the time, and colour if standard error is a terminal.
    Terminal,
    /// The journal, which adds the time itself and takes the priority from a leading `<N>`.
    Journal,
}

/// Starts logging for the whole process; a second call changes nothing.
pub fn init(destination: Destination, filter: Filter) {
    init_to(std::io::stderr, destination, filter);
}

/// Like [`init`], but writes to `writer`, for a program that shows more than lines on the terminal. Each line is one
/// write.
pub fn init_to<W>(writer: W, destination: Destination, filter: Filter)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let Filter(filter) = filter;
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer);
    // An error means that logging has been started before, which is fine.
    let _ = match destination {
        Destination::Terminal => {
            let ansi = crate::terminal::stderr_has_color();
            builder.compact().with_ansi(ansi).with_target(false).finish().with(filter).try_init()
        }
        Destination::Journal => {
            builder.with_ansi(false).event_format(JournalFormat::new()).finish().with(filter).try_init()
        }
    };
}

/// The compact format after a syslog priority.
struct JournalFormat(Format<Compact, ()>);

impl JournalFormat {
    fn new() -> Self {
        Self(tracing_subscriber::fmt::format().compact().without_time().with_level(false).with_ansi(false))
    }
}

/// Returns the priority of syslog(3), which sd-daemon(3) reads from the start of a line.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl<S, N> FormatEvent<S, N> for JournalFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_variable_and_a_bad_value_is_refused() {
        let debugs = |verbose, quiet, rust_log| {
            Filter::new(verbose, quiet, rust_log)
                .map(|filter| filter.0.would_enable("cis490_shared", &Level::DEBUG))
        };
        assert_eq!(debugs(0, 0, None), Ok(false));
        assert_eq!(debugs(0, 0, Some("debug")), Ok(true));
        assert_eq!(debugs(0, 0, Some(" ")), Ok(false));
        assert_eq!(debugs(1, 0, Some("warn")), Ok(true));
        assert_eq!(debugs(0, 1, Some("debug")), Ok(false));
        assert_eq!(debugs(0, 0, Some("warn, cis490_shared=debug")), Ok(true));
        for wrong in ["loud", "warn,cis490_shared", "cis490_shared=loud"] {
            assert_eq!(debugs(0, 0, Some(wrong)), Err(BadFilter(wrong.to_owned())), "{wrong}");
        }
    }
}
