//! `cis490-receiver status`: the health of the receiver of this configuration. It asks the running receiver through its
//! status socket. Without an answer it prints whether a receiver runs. It changes nothing. Blocks.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use cis490_shared::durable::{self, FileLock};
use cis490_shared::fs_error::FsError;
use cis490_shared::terminal;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use self::text::Problem;
use super::failure::{Failure, NOT_DONE};
use crate::config::ReceiverConfig;
use crate::http::status;
use crate::run::RECEIVER_LOCK;

mod text;

/// The time limit for an answer; a receiver that works answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// The size limit of an answer, in bytes; any status is shorter.
const MAX_ANSWER: u64 = 1 << 20;

/// The flags of `status`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Print the status as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// The state of the receiver.
#[derive(Debug, Serialize)]
struct Report {
    running: bool,
    /// The worst problem and the next step.
    problem: Option<Problem>,
    /// `ok`, `degraded` or `unavailable`.
    status: String,
    /// The receiver's answer.
    #[serde(flatten)]
    told: Value,
}

impl Report {
    fn of(mut told: Value, config: &ReceiverConfig) -> Self {
        let status = told.as_object_mut().and_then(|members| members.remove("status"));
        let status = status.and_then(|status| status.as_str().map(str::to_owned));
        let status = status.unwrap_or_else(|| UNAVAILABLE.to_owned());
        let problem = (status != "ok").then(|| text::problem(&told, config));
        Self { running: true, problem, status, told }
    }

    fn without_answer(running: bool, problem: Problem) -> Self {
        let told = Value::Object(serde_json::Map::new());
        Self { running, problem: Some(problem), status: UNAVAILABLE.to_owned(), told }
    }
}

const UNAVAILABLE: &str = "unavailable";

/// Prints the receiver's status and returns the exit code.
pub(super) fn run(flags: &Flags, config: &ReceiverConfig) -> Result<u8, Failure> {
    let report = inspect(config).map_err(|error| {
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let help = "ask as root or as the service: sudo -u cis490 cis490-receiver status";
        Failure::new(NOT_DONE, &error).with_help(is_denied.then_some(help))
    })?;
    terminal::print(&match flags.json {
        // A parsed value can always be serialised.
        true => serde_json::to_string_pretty(&report).unwrap_or_default(),
        false => text::render(&report),
    })?;
    Ok(if report.status == UNAVAILABLE { NOT_DONE } else { 0 })
}

fn inspect(config: &ReceiverConfig) -> Result<Report, FsError> {
    let state_dir = durable::parent(&config.store.index);
    let socket = status::path_in(state_dir);
    let silence = match ask(&socket) {
        Ok(told) => return Ok(Report::of(told, config)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(FsError::at("ask by", &socket)(error));
        }
        Err(error) => error,
    };
    let lock = state_dir.join(RECEIVER_LOCK);
    let is_held = FileLock::is_held(&lock).map_err(FsError::at("look at", &lock))?;
    Ok(Report::without_answer(is_held, text::silence(is_held, &silence, config)))
}

/// Asks the receiver through its status socket.
fn ask(socket: &Path) -> io::Result<Value> {
    let mut stream = status::with_short_path(socket, |path| UnixStream::connect(path))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", status::PATH)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let body = answer.split_once("\r\n\r\n").filter(|(head, _)| head.starts_with("HTTP/1.1 200 "));
    let (_, body) = body.ok_or_else(|| io::Error::other("the answer is not that of a working receiver"))?;
    Ok(serde_json::from_str(body)?)
}
