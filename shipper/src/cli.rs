//! The command line: flags, what is printed, and exit codes. Nothing else is decided here.
//!
//! | code | when |
//! |---|---|
//! | 0 | the daemon was asked to stop; `--once` left nothing to do; `--ping` was answered; a command was done |
//! | 1 | anything that has no code of its own, such as a second shipper on the same data directory |
//! | 2 | flags that do not exist |
//! | 65 | `--once`: something was refused or conflicts |
//! | 69 | `--ping`: no answer, or not the right one |
//! | 75 | `--once`: something must be tried again; wins over 65, since it asks for another run |
//! | 78 | the configuration cannot be used; the service manager does not try again |
//!
//! Another program can embed the shipper by calling [`run()`] on a thread that runs no async code.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cis490_shared::config_file::ConfigError;
use clap::{CommandFactory, Parser, Subcommand};

use self::ping::PingError;
use crate::config::local_time::Zone;
use crate::config::rate_limit::RateLimit;
use crate::config::{self, Config};
use crate::http::target::TargetFiles;
use crate::run::Mode;

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
    /// Ship what can be shipped now, then exit: 0 nothing left to do, 75 something must be tried again,
    /// 65 something was refused.
    #[arg(long, conflicts_with_all = ["ping", "check_config"])]
    once: bool,
    /// Prove the whole path to the receiver, then exit: 0 or 69.
    #[arg(long, conflicts_with = "check_config")]
    ping: bool,
    /// Read the configuration and the files that it names, then exit: 0 or 78.
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
    /// How the shipper does: backlog, rate, what waits and why; exits with 0 whatever it finds, 1 where it cannot look
    Status(status::Flags),
}

const AS_THE_SERVICE: &str = "ask as the user of the shipper: sudo -u cis490 cis490-shipper ...";

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
const BAD_CONFIG: u8 = 78;

/// Every flag, for manual pages and completions.
pub fn command() -> clap::Command {
    Flags::command()
}

/// Runs the program with these arguments, the first of which is its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Flags::try_parse_from(args) {
        Ok(flags) => start(&flags),
        Err(error) => {
            // Nobody is left to hear that the help could not be printed.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILURE))
        }
    }
}

fn start(flags: &Flags) -> ExitCode {
    let path = &flags.config;
    let mut config = match config::load(path) {
        Ok(config) => config,
        Err(error) if flags.command.is_some() && may_not_read(&error) => {
            return failed(FAILURE, &error, Some(AS_THE_SERVICE));
        }
        Err(error) => return bad_config(&error, path),
    };
    take_credentials(&mut config);
    match flags {
        Flags { command: Some(Command::Quarantine(command)), .. } => manage_quarantine(command, &config),
        Flags { unit_settings: true, .. } => {
            print(unit_settings::text(&config).trim_end());
            ExitCode::SUCCESS
        }
        Flags { command: Some(Command::Status(flags)), .. } => show_status(flags, &config),
        Flags { check_config: true, .. } => check_config(&config, path),
        Flags { ping: true, .. } => ping(&config, path),
        Flags { once: true, .. } => ship::run(&config, path, Mode::Once),
        _ => ship::run(&config, path, Mode::Daemon),
    }
}

#[expect(clippy::disallowed_methods, reason = "as for logging: the environment is read here")]
fn take_credentials(config: &mut Config) {
    if let Some(dir) = env::var_os("CREDENTIALS_DIRECTORY") {
        unit_settings::take_credentials(&mut config.receiver, Path::new(&dir));
    }
}

fn check_config(config: &Config, path: &Path) -> ExitCode {
    if let Err(error) = TargetFiles::read(&config.receiver) {
        return bad_config(&error, path);
    }
    let Config { host_id, paths, receiver, queue, retention } = config;
    print(&format!("configuration ok: {}", path.display()));
    print(&format!("host_id: {host_id}"));
    print(&format!("data_root: {}", paths.data_root.display()));
    print(&format!("receiver: {}", receiver.url));
    print(&format!("rate limit: {}", rate_limit(&queue.rate_limit)));
    print(&format!(
        "queue: every {} s, {} at a time, level {}, quarantine kept {}",
        queue.scan_interval_s,
        queue.parallel_uploads,
        queue.compression_level,
        match queue.quarantine_keep_days {
            0 => "for ever".to_owned(),
            days => format!("{days} days"),
        }
    ));
    print(&format!("retention: {retention}"));
    ExitCode::SUCCESS
}

fn manage_quarantine(command: &quarantine::Command, config: &Config) -> ExitCode {
    match quarantine::run(command, config, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(FAILURE, &error, error.remedy()),
    }
}

/// What is configured, and what holds now.
fn rate_limit(limit: &RateLimit) -> String {
    if limit.is_none() {
        return "none".to_owned();
    }
    if !limit.has_hours() {
        return limit.to_string();
    }
    let (zone, note) = match Zone::of_this_host() {
        Ok(zone) => (zone, String::new()),
        Err(error) => (Zone::utc(), format!("; {error}")),
    };
    let local = zone.now();
    let now = limit.text_at(local).unwrap_or("none");
    format!("{limit}; on {} {zone}: {now}{note}", local.strftime("%a %H:%M"))
}

fn show_status(flags: &status::Flags, config: &Config) -> ExitCode {
    match status::run(flags, config) {
        Ok(text) => {
            print(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => failed(FAILURE, &error, Some(error.remedy())),
    }
}

fn ping(config: &Config, path: &Path) -> ExitCode {
    match ping::ping(config) {
        Ok(pong) => {
            print(&pong.to_string());
            ExitCode::SUCCESS
        }
        Err(PingError::Target(error)) => bad_config(&error, path),
        Err(error) => failed(UNAVAILABLE, &error, Some(error.remedy())),
    }
}

/// Whoever asks for something may be somebody who cannot read the configuration; it is none the worse for that.
fn may_not_read(error: &ConfigError) -> bool {
    matches!(error, ConfigError::Read(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

fn bad_config(error: &dyn std::error::Error, path: &Path) -> ExitCode {
    let check = format!("edit it, then: cis490-shipper --check-config --config {}", path.display());
    failed(BAD_CONFIG, error, Some(&check))
}

fn failed(code: u8, error: &dyn std::error::Error, remedy: Option<&str>) -> ExitCode {
    let mut stderr = io::stderr().lock();
    // Nobody is left to hear that this could not be printed.
    let _ = writeln!(stderr, "error: {error}");
    if let Some(remedy) = remedy {
        let _ = writeln!(stderr, "help: {remedy}");
    }
    ExitCode::from(code)
}

fn print(line: &str) {
    // As above.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use cis490_shared::fs_error::FsError;

    use super::*;

    #[test]
    fn a_configuration_that_one_may_not_read_is_told_from_one_that_cannot_be_used() {
        let read =
            |kind: io::ErrorKind| ConfigError::Read(FsError::at("read", Path::new("/etc/x"))(kind.into()));
        assert!(may_not_read(&read(io::ErrorKind::PermissionDenied)));
        assert!(!may_not_read(&read(io::ErrorKind::NotFound)));
    }
}
