//! Tracing set-up: human lines on a terminal, prioritised lines for the journal.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Compact, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Our own events from INFO on; of the server library only what somebody should look at.
const DEFAULT_FILTER: &str = "info,actix_server=warn,actix_http=off";

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
/// `filter` has the form of `RUST_LOG`; the default where there is none or it does not parse.
pub fn init(destination: Destination, filter: Option<&str>) {
    init_to(std::io::stderr, destination, filter);
}

/// The same by way of `writer`, for a program that has more than lines on the terminal. Each line comes as one write.
pub fn init_to<W>(writer: W, destination: Destination, filter: Option<&str>)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // An error here means that logging was started before, which is what was asked for.
    let _ = match destination {
        Destination::Terminal => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.compact().with_ansi(ansi).with_target(false).try_init()
        }
        Destination::Journal => builder.with_ansi(false).event_format(JournalFormat::new()).try_init(),
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
