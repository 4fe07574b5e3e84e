//! The command line: flags, what is printed, and exit codes. Nothing else is decided here.
//!
//! | code | when |
//! |---|---|
//! | 0 | the daemon was asked to stop; `--once` left nothing to do; `--ping` was answered; a command was done, or the reader of its output has closed the pipe |
//! | 1 | anything that has no code of its own, such as a second shipper on the same data directory, or a result that could not be printed |
//! | 2 | flags that do not exist, or a `RUST_LOG` that means nothing |
//! | 65 | `--once`: something was refused or conflicts |
//! | 69 | `--ping`: no answer, or not the right one |
//! | 75 | `--once`: something must be tried again; wins over 65, since it asks for another run |
//! | 78 | the configuration, or a file that it names, cannot be used, whatever was asked for; the service manager does not try again |
//!
//! Results go to standard output, `error:` and `help:` lines to standard error ([`terminal`]).
//! Another program can embed the shipper by calling [`run()`] on a thread that runs no async code.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cis490_shared::completion::{self, without_hidden};
use cis490_shared::terminal::{self, CannotPrint, Color, OutputFlags};
use clap::{CommandFactory, Parser, Subcommand};

use self::ping::PingError;
use crate::config::{self, Config};
use crate::http::target::TargetError;
use crate::run::Mode;

mod check;
mod config_help;
pub mod ping;
mod quarantine;
mod ship;
mod status;
mod unit_settings;

/// Ships finished episodes of this lab host to the collector.
#[derive(Debug, Parser)]
#[command(name = "cis490-shipper", version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag, and clap keeps them apart")]
struct Flags {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    #[command(flatten)]
    output: OutputFlags,
    /// Ship what can be shipped now, then exit: 0 nothing left to do, 75 something must be tried again,
    /// 65 something was refused.
    #[arg(long, conflicts_with_all = ["ping", "check_config"])]
    once: bool,
    /// Prove the whole path to the receiver, and ask its gate about what waits here, then exit: 0 or 69.
    #[arg(long, conflicts_with = "check_config")]
    ping: bool,
    /// Read the configuration and the files that it names, look at the directories, then exit: 0, 78, or 1 where the
    /// service could not work on the directories.
    #[arg(long)]
    check_config: bool,
    /// Print what the configuration means for a unit of systemd, as a drop-in, and exit.
    #[arg(long, hide = true)]
    unit_settings: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is done instead of shipping.
#[derive(Debug, Subcommand)]
enum Command {
    /// Refused episodes: what they are, and to send them again
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Show backlog, upload rate and current problem; exits with 0 whatever it finds, 1 where it cannot look
    Status(status::Flags),
}

const AS_THE_SERVICE: &str = "ask as the user of the shipper: sudo -u cis490 cis490-shipper ...";

const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
const BAD_CONFIG: u8 = 78;

/// Every flag and command that is not hidden, for manual pages and completions.
pub fn command() -> clap::Command {
    without_hidden("cis490-shipper", env!("CARGO_PKG_VERSION"), &Flags::command())
}

/// Runs the program with these arguments, the first of which is its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Some(answered) = completion::answer(command) {
        return answered;
    }
    let args: Vec<OsString> = args.into_iter().collect();
    // Before parsing: what clap says about wrong flags has colours as well.
    Color::among(&args).set();
    let done = match Flags::try_parse_from(args) {
        Ok(flags) => {
            flags.output.color.set();
            start(&flags)
        }
        Err(answer) if !answer.use_stderr() => {
            terminal::print(answer.render().ansi().to_string().trim_end()).map(|()| SUCCESS)
        }
        Err(error) => {
            // Where standard error is closed too, the exit code is all that is left to say.
            let _ = error.print();
            Ok(USAGE)
        }
    };
    ExitCode::from(done.unwrap_or_else(|cannot| cannot.report()))
}

/// Does what the flags ask for, and returns the exit code.
fn start(flags: &Flags) -> Result<u8, CannotPrint> {
    let path = &flags.config;
    let mut config = match config::load(path) {
        Ok(config) => config,
        Err(error) => return Ok(failed(BAD_CONFIG, &error, Some(&config_help::unreadable(&error, path)))),
    };
    take_credentials(&mut config);
    match flags {
        Flags { command: Some(Command::Quarantine(command)), .. } => manage_quarantine(command, &config),
        Flags { unit_settings: true, .. } => done(unit_settings::text(&config).trim_end()),
        Flags { command: Some(Command::Status(flags)), .. } => show_status(flags, &config),
        Flags { check_config: true, .. } => check::run(&config, path),
        Flags { ping: true, .. } => ping(&config, path),
        Flags { once: true, .. } => Ok(ship::run(&config, flags, Mode::Once)),
        _ => Ok(ship::run(&config, flags, Mode::Daemon)),
    }
}

#[expect(clippy::disallowed_methods, reason = "as for logging: the environment is read here")]
fn take_credentials(config: &mut Config) {
    if let Some(dir) = env::var_os("CREDENTIALS_DIRECTORY") {
        unit_settings::take_credentials(&mut config.receiver, Path::new(&dir));
    }
}

fn manage_quarantine(command: &quarantine::Command, config: &Config) -> Result<u8, CannotPrint> {
    match quarantine::run(command, config) {
        Ok(()) => Ok(SUCCESS),
        Err(quarantine::QuarantineError::Print(cannot)) => Err(cannot),
        Err(error) => Ok(failed(FAILURE, &error, error.remedy())),
    }
}

fn show_status(flags: &status::Flags, config: &Config) -> Result<u8, CannotPrint> {
    match status::run(flags, config) {
        Ok(text) => done(text.trim_end()),
        Err(error) => Ok(failed(FAILURE, &error, Some(error.remedy()))),
    }
}

fn ping(config: &Config, path: &Path) -> Result<u8, CannotPrint> {
    match ping::ping(config) {
        Ok(pong) => {
            terminal::print(&pong.to_string())?;
            pong.warnings().iter().for_each(|warning| terminal::warning(warning));
            Ok(SUCCESS)
        }
        Err(PingError::Target(error)) => Ok(bad_files(&error, path)),
        Err(error) => Ok(failed(UNAVAILABLE, &error, Some(error.remedy()))),
    }
}

/// A file that the configuration names cannot be used.
fn bad_files(error: &TargetError, path: &Path) -> u8 {
    failed(BAD_CONFIG, error, Some(&config_help::bad_file(error, path)))
}

fn failed(code: u8, error: &dyn std::error::Error, help: Option<&str>) -> u8 {
    terminal::error(&error, help);
    code
}

/// Prints a result, which is all that was asked for.
fn done(text: &str) -> Result<u8, CannotPrint> {
    terminal::print(text).map(|()| SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_ones_that_clap_takes() {
        command().debug_assert();
    }
}
