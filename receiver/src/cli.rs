//! The command line of `cis490-receiver`: flags, logging, signals, exit codes (protocol section 4).
//!
//! | code | when |
//! |---|---|
//! | 0 | the service was asked to stop; a command succeeded, even if the reader closed the pipe early |
//! | 1 | failure, with the reason on standard error; `status`: uploads are refused, or no receiver runs |
//! | 2 | wrong flags, values or environment |
//! | 78 | the configuration, or a file that it names, cannot be used; the service manager does not retry |
//!
//! A command prints its result on standard output, and `error:` and `help:` on standard error. Only the service logs.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cis490_shared::clock::system_time;
use cis490_shared::completion::{self, without_hidden};
use cis490_shared::config_file;
use cis490_shared::service;
use cis490_shared::telemetry::{self, BadFilter, Destination, Filter};
use cis490_shared::terminal::{self, Color, OutputFlags};
use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use self::admit::RequestOrigin;
use self::failure::{CONFIG, DONE, Failure, USAGE};
use crate::config::{DEFAULT_PATH, ReceiverConfig};
use crate::http::activation;
use crate::run::{self, RunError};

/// Takes episodes from lab hosts, proves them and stores them durably.
#[derive(Debug, Parser)]
#[command(name = "cis490-receiver", version)]
struct Flags {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Check the configuration and the files it names, print the result and all values, and exit
    #[arg(long)]
    check_config: bool,
    /// Print the settings that the configuration implies for a systemd unit, as a drop-in, and exit
    #[arg(long, hide = true, value_name = "UNIT")]
    unit_settings: Option<unit_settings::Unit>,
    #[command(flatten)]
    output: OutputFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Flags {
    /// Returns true for the service, false for a command of a person.
    const fn receives(&self) -> bool {
        self.command.is_none() && !self.check_config && self.unit_settings.is_none()
    }
}

/// The commands, which run instead of the service.
#[derive(Debug, Subcommand)]
enum Command {
    /// Manage bearer tokens, which identify hosts and readers without a certificate
    #[command(subcommand)]
    Token(token::Command),
    /// Admit a commit outside the window by name
    Admit(admit::Admit),
    /// Show health, window, free space, uploads and the next step; exit with 1 if uploads are refused
    Status(status::Flags),
}

/// Returns every visible flag and command, for the generators of manual pages and completions, which would also show
/// hidden ones.
pub fn command() -> clap::Command {
    without_hidden("cis490-receiver", env!("CARGO_PKG_VERSION"), &Flags::command())
}

/// Runs the program with these arguments; the first is its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Some(answered) = completion::answer(command) {
        return answered;
    }
    let args: Vec<OsString> = args.into_iter().collect();
    // Help and usage errors are printed before the flags are parsed.
    Color::among(&args).set();
    match Flags::try_parse_from(&args) {
        Ok(flags) => start(&flags),
        Err(error) => usage(&error),
    }
}

/// Prints clap's message. Help and version are successes, everything else is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // If standard error is closed, only the exit code can report the failure.
        let _ = error.print();
        return ExitCode::from(USAGE);
    }
    let printed = terminal::print(error.render().ansi().to_string().trim_end());
    conclude(printed.map(|()| DONE).map_err(Failure::from))
}

fn conclude(done: Result<u8, Failure>) -> ExitCode {
    ExitCode::from(done.unwrap_or_else(|failure| failure.report()))
}

fn start(flags: &Flags) -> ExitCode {
    flags.output.color.set();
    if let Err(error) = start_logging(flags.output) {
        return conclude(Err(Failure::new(USAGE, &error)));
    }
    let config = config_file::load(&flags.config).map(with_credentials);
    match config {
        Ok(config) if flags.receives() => serve(config),
        Ok(config) => conclude(command_done(flags, &config)),
        Err(error) if flags.receives() => {
            log_error(&error, Some(failure::config_help(&error)));
            ExitCode::from(CONFIG)
        }
        Err(error) => conclude(Err(Failure::of_config(&error))),
    }
}

/// Runs the command and returns the exit code.
fn command_done(flags: &Flags, config: &ReceiverConfig) -> Result<u8, Failure> {
    match (&flags.unit_settings, &flags.command) {
        _ if flags.check_config => check::run(&flags.config, config)?,
        (Some(unit), _) => terminal::print(unit_settings::text(*unit, config).trim_end())?,
        (None, Some(Command::Token(command))) => token::run(command, config, system_time())?,
        (None, Some(Command::Admit(admit))) => {
            admit::run(admit, config, &RequestOrigin { user: user(), now: system_time() })?;
        }
        (None, Some(Command::Status(flags))) => return status::run(flags, config),
        (None, None) => {}
    }
    Ok(DONE)
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
fn with_credentials(mut config: ReceiverConfig) -> ReceiverConfig {
    if let Some(dir) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        unit_settings::take_credentials(&mut config, Path::new(&dir));
    }
    config
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
fn start_logging(flags: OutputFlags) -> Result<(), BadFilter> {
    let filter = Filter::new(flags.verbose, flags.quiet, std::env::var("RUST_LOG").ok().as_deref())?;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let destination = if journal { Destination::Journal } else { Destination::Terminal };
    telemetry::init(destination, filter);
    Ok(())
}

/// Logs the error that ends the service.
fn log_error(error: &dyn Display, help: Option<String>) {
    if let Some(help) = help { error!(help, "{error}") } else { error!("{error}") }
}

/// Returns the person who runs the command, even through sudo; `None` if no variable names one.
#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}

fn serve(config: ReceiverConfig) -> ExitCode {
    let passed = match activation::take(&config) {
        Ok(passed) => passed,
        Err(error) => {
            log_error(&error, None);
            return ExitCode::from(CONFIG);
        }
    };
    if let Some(passed) = &passed {
        let urls = passed.urls(config.server.tls.is_some()).join(", ");
        info!(%urls, "using the sockets from systemd, not server.listen");
    }
    let system = actix::System::new();
    let outcome = system.block_on(async {
        let stop = stop_signal()?;
        run::run(config, passed, announce, stop).await.map_err(anyhow::Error::from)
    });
    // Dropping it would wait for every thread that a hung file system blocks. The uploads have been drained.
    std::mem::forget(system);
    match outcome {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let known = error.downcast_ref::<RunError>();
            log_error(&error, known.and_then(RunError::remedy));
            match known {
                Some(RunError::Credentials(_)) => ExitCode::from(CONFIG),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn announce(urls: &[String]) {
    let urls = urls.join(", ");
    info!(%urls, "accepting uploads");
    service::ready(&format!("accepting on {urls}"));
}

/// Resolves at the first SIGTERM or SIGINT; both let uploads in flight finish.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping, waiting for uploads in flight");
    })
}

mod admit;
mod check;
mod clone;
mod complete;
mod failure;
mod status;
mod table;
mod token;
mod unit_settings;
mod until;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_pages_and_completions_know_every_flag_but_hidden_ones() {
        let shown = |command: clap::Command| command.clone().render_long_help().to_string();
        assert_eq!(shown(command()), shown(Flags::command()));
        assert!(command().get_arguments().all(|arg| arg.get_id() != "unit_settings"));
    }
}
