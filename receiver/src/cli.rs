//! The command line of `cis490-receiver`: flags, logging, signals, exit codes (protocol section 4).
//!
//! | code | when |
//! |---|---|
//! | 0 | the service was asked to stop; a command was done, also where the reader closed the pipe early |
//! | 1 | not done: the reason is on standard error; `status`: uploads are not taken, or no receiver runs |
//! | 2 | flags, their values or the environment mean nothing |
//! | 78 | the configuration, or what it names, cannot be used; the service manager does not try again |
//!
//! A command prints its result on standard output, and `error:` and `help:` on standard error. The service alone logs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cis490_shared::clock::system_time;
use cis490_shared::config_file;
use cis490_shared::service;
use cis490_shared::telemetry::{self, BadFilter, Destination, Filter};
use cis490_shared::terminal;
use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use self::admit::RequestOrigin;
use self::token::TokenError;
use crate::config::ReceiverConfig;
use crate::http::activation;
use crate::run::credentials::Credentials;
use crate::run::{self, RunError};

/// EX_CONFIG of sysexits(3); the unit does not restart on it.
const EXIT_CONFIG: u8 = 78;
/// Flags or an environment that mean nothing.
const EXIT_USAGE: u8 = 2;

/// Takes episodes from lab hosts, proves them and stores them durably.
#[derive(Debug, Parser)]
#[command(name = "cis490-receiver", version)]
struct Flags {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/cis490/receiver.toml")]
    config: PathBuf,
    /// Check the configuration file and exit.
    #[arg(long)]
    check_config: bool,
    /// Print what the configuration means for a unit of systemd, as a drop-in, and exit.
    #[arg(long, hide = true, value_name = "UNIT")]
    unit_settings: Option<unit_settings::Unit>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is done instead of receiving.
#[derive(Debug, Subcommand)]
enum Command {
    /// Bearer tokens: who may upload without a certificate
    #[command(subcommand)]
    Token(token::Command),
    /// Admit a commit that is outside the window, by name
    Admit(admit::Admit),
}

/// Every flag and command, for manual pages and completions.
pub fn command() -> clap::Command {
    Flags::command()
}

/// Runs the program with these arguments, the first of which is its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let flags = match Flags::try_parse_from(args) {
        Ok(flags) => flags,
        Err(error) => return usage(&error),
    };
    if let Err(error) = start_logging() {
        terminal::error(&error, None);
        return ExitCode::from(EXIT_USAGE);
    }
    match config_file::load(&flags.config).map(with_credentials) {
        Err(error) => {
            error!("{error}");
            ExitCode::from(EXIT_CONFIG)
        }
        Ok(config) if flags.check_config => check(&flags, &config),
        Ok(config) if flags.unit_settings.is_some() => unit_settings(&flags, &config),
        Ok(config) => match &flags.command {
            Some(Command::Token(command)) => manage_tokens(command, &config),
            Some(Command::Admit(admit)) => manage_amnesties(admit, &config),
            None => serve(config),
        },
    }
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
fn with_credentials(mut config: ReceiverConfig) -> ReceiverConfig {
    if let Some(dir) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        unit_settings::take_credentials(&mut config, Path::new(&dir));
    }
    config
}

/// Help and version are answers, everything else that clap says is an error of usage.
fn usage(error: &clap::Error) -> ExitCode {
    // Nowhere is left to report that the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
fn start_logging() -> Result<(), BadFilter> {
    let filter = Filter::new(0, 0, std::env::var("RUST_LOG").ok().as_deref())?;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let destination = if journal { Destination::Journal } else { Destination::Terminal };
    telemetry::init(destination, filter);
    Ok(())
}

/// What the configuration names is looked at as well: a key that the service cannot read is found now, not at a start.
fn check(flags: &Flags, config: &ReceiverConfig) -> ExitCode {
    match Credentials::open(config) {
        Ok(_) => summarise(flags, config),
        Err(error) => {
            error!("{error}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the flag asks for")]
fn summarise(flags: &Flags, config: &ReceiverConfig) -> ExitCode {
    println!("configuration ok: {}", flags.config.display());
    println!("  listens on   {}", config.server.listen.join(", "));
    println!("  episodes in  {}", config.store.episodes_root.display());
    println!("  index        {}", config.store.index.display());
    let gate = &config.version_gate;
    if gate.enabled {
        println!(
            "  gate         last {} commits of {} in {}",
            gate.window,
            gate.reference,
            gate.repo_path.display()
        );
    } else {
        println!("  gate         off: episodes of any commit are collected");
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "this is what the flag asks for")]
fn unit_settings(flags: &Flags, config: &ReceiverConfig) -> ExitCode {
    if let Some(unit) = flags.unit_settings {
        print!("{}", unit_settings::text(unit, config));
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn print(lines: &[String]) -> ExitCode {
    for line in lines {
        println!("{line}");
    }
    ExitCode::SUCCESS
}

fn manage_amnesties(admit: &admit::Admit, config: &ReceiverConfig) -> ExitCode {
    match admit::run(admit, config, &RequestOrigin { user: user(), now: system_time() }) {
        Ok(lines) => print(&lines),
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Who types this, also where he has become root for it; none where nothing says so.
#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}

fn manage_tokens(command: &token::Command, config: &ReceiverConfig) -> ExitCode {
    match token::run(command, &config.auth) {
        Ok(lines) => print(&lines),
        Err(error) => {
            error!("{error}");
            match error {
                TokenError::NoFile => ExitCode::from(EXIT_CONFIG),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn serve(config: ReceiverConfig) -> ExitCode {
    let passed = match activation::take(&config) {
        Ok(passed) => passed,
        Err(error) => {
            error!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Some(passed) = &passed {
        info!(urls = %passed.urls(config.server.tls.is_some()).join(", "), "the service manager's sockets are taken, not those of server.listen");
    }
    let system = actix::System::new();
    let outcome = system.block_on(async {
        let stop = stop_signal()?;
        run::run(config, passed, announce, stop).await.map_err(anyhow::Error::from)
    });
    // Taking it down would wait for every thread that a hanging file system holds; what counts has been drained.
    std::mem::forget(system);
    match outcome {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            error!("{error}");
            match error.downcast_ref() {
                Some(RunError::Credentials(_)) => ExitCode::from(EXIT_CONFIG),
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

/// Resolves at the first SIGTERM or SIGINT; both let uploads in flight come to their end.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping, uploads in flight come to their end");
    })
}

mod admit;
mod token;
mod unit_settings;
mod until;
