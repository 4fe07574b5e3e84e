//! The command line: flags, output and exit codes. Nothing else is decided here.
//!
//! | code | when |
//! |---|---|
//! | 0 | stopped on request; `--once`: nothing left; `--ping`: answered; a command succeeded, even on a closed pipe |
//! | 1 | another failure, such as a second shipper on the same data directory, or a result that could not be printed |
//! | 2 | wrong flags, or an invalid `RUST_LOG` |
//! | 65 | `--once`: an episode was refused or conflicts |
//! | 69 | `--ping`: no answer, or a wrong one |
//! | 75 | `--once`: something must be retried; takes precedence over 65, because another run is needed |
//! | 78 | any command: the configuration, or a file that it names, cannot be used; the service manager does not retry |
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
    /// Ship all episodes that can be shipped now, then exit: 0 nothing left to do, 75 another run needed, 65 episodes
    /// refused.
    #[arg(long, conflicts_with_all = ["ping", "check_config"])]
    once: bool,
    /// Test the whole path to the receiver, ask its gate about the commits of waiting episodes, then exit: 0 or 69.
    #[arg(long, conflicts_with = "check_config")]
    ping: bool,
    /// Check the configuration, the files that it names and the directories, then exit: 0, 78, or 1 if the service
    /// could not use the directories.
    #[arg(long)]
    check_config: bool,
    /// Print the settings that the configuration implies for the systemd unit, as a drop-in, and exit.
    #[arg(long, hide = true)]
    unit_settings: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands, which run instead of the shipper.
#[derive(Debug, Subcommand)]
enum Command {
    /// List refused episodes, or send them again
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Show backlog, upload rate and current problem; exit with 0 even for a problem, with 1 if they cannot be read
    Status(status::Flags),
}

const AS_THE_SERVICE: &str = "ask as the user of the shipper: sudo -u cis490 cis490-shipper ...";

const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
const BAD_CONFIG: u8 = 78;

/// Returns every flag and command that is not hidden, for manual pages and completions.
pub fn command() -> clap::Command {
    without_hidden("cis490-shipper", env!("CARGO_PKG_VERSION"), &Flags::command())
}

/// Runs the program with these arguments; the first is its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Some(answered) = completion::answer(command) {
        return answered;
    }
    let args: Vec<OsString> = args.into_iter().collect();
    // Before parsing, because clap's messages about wrong flags have colours too.
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
            // If standard error is closed, only the exit code can report the failure.
            let _ = error.print();
            Ok(USAGE)
        }
    };
    ExitCode::from(done.unwrap_or_else(|cannot| cannot.report()))
}

/// Runs the command that the flags name, and returns the exit code.
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

/// Prints the error for a file that the configuration names, and returns the exit code.
fn bad_files(error: &TargetError, path: &Path) -> u8 {
    failed(BAD_CONFIG, error, Some(&config_help::bad_file(error, path)))
}

fn failed(code: u8, error: &dyn std::error::Error, help: Option<&str>) -> u8 {
    terminal::error(&error, help);
    code
}

/// Prints a result and returns the exit code of success.
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
