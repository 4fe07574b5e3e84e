//! Tracing set-up: human lines on a terminal, prioritised lines for the journal.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Compact, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Our own events from INFO on; of the server library only what somebody should look at.
fn default_filter() -> Targets {
    Targets::new()
        .with_default(Level::INFO)
        .with_target("actix_server", Level::WARN)
        .with_target("actix_http", LevelFilter::OFF)
}

/// Where the lines go, both times by way of standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A person or a file: with time, with colour where standard error is a terminal.
    Terminal,
    /// The journal: it stamps the time itself and takes the priority from a leading `<N>`.
    Journal,
}

/// Starts logging for the whole process; a second call changes nothing.
///
/// `filter` has the form of `RUST_LOG`, levels and `target=level` with commas between; the default where there is none
/// or it does not parse.
pub fn init(destination: Destination, filter: Option<&str>) {
    init_to(std::io::stderr, destination, filter);
}

/// The same by way of `writer`, for a program that has more than lines on the terminal. Each line comes as one write.
pub fn init_to<W>(writer: W, destination: Destination, filter: Option<&str>)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter.and_then(|text| text.parse().ok()).unwrap_or_else(default_filter);
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer);
    // An error here means that logging was started before, which is what was asked for.
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

/// The compact format behind a syslog priority.
struct JournalFormat(Format<Compact, ()>);

impl JournalFormat {
    fn new() -> Self {
        Self(tracing_subscriber::fmt::format().compact().without_time().with_level(false).with_ansi(false))
    }
}

/// The priorities of syslog(3), which sd-daemon(3) reads from the start of a line.
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
