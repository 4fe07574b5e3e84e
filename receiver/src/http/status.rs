//! The status socket: a Unix socket in the state directory on which a receiver reports its health to users of the machine.
//!
//! `cis490-receiver status` asks there, so it needs to know neither where the receiver listens nor a certificate or a
//! token. Nothing can be changed there, so requests need no name; the mode of the socket says which users may ask.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use cis490_shared::durable;
use serde::Serialize;
use tracing::warn;

use super::api::Api;
use super::health::{self, Health};
use super::listeners::bind_unix;
use crate::config::limits::Bounds;

/// Its name in the state directory.
const NAME: &str = "status.sock";
/// The path of the status, on that socket.
pub const PATH: &str = "/v1/status";
/// Connections to it; they are none of those that clients have, so that a flood of these does not hide the status.
pub(super) const CONNECTIONS: Bounds = Bounds { in_all: 16, per_peer: 16, stall: Duration::from_secs(10) };
/// The longest path of a Unix socket (unix(7)).
const MAX_PATH: usize = 107;

/// Where the socket is.
pub fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// The open socket, and what else is told there.
#[derive(Debug)]
pub struct StatusSocket {
    pub(super) bound: UnixListener,
    pub(super) listening: Vec<String>,
    path: PathBuf,
}

impl StatusSocket {
    /// Opens it. A receiver without one works as well, and the log says so.
    pub fn open(state_dir: &Path, listening: &[String]) -> Option<Self> {
        let path = path_in(state_dir);
        match with_short_path(&path, bind_unix) {
            Ok(bound) => Some(Self { bound, listening: listening.to_owned(), path }),
            Err(error) => {
                warn!(
                    %error,
                    path = %path.display(),
                    help = "use GET /v1/health instead of `cis490-receiver status`",
                    "cannot open the status socket"
                );
                None
            }
        }
    }
}

impl Drop for StatusSocket {
    /// Removes it. One that a killed receiver has left is replaced at the next start.
    fn drop(&mut self) {
        // Nobody needs it to be gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reaches a socket whose path may be longer than an address can hold, by way of its directory.
pub fn with_short_path<T>(path: &Path, reach: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= MAX_PATH {
        return reach(path);
    }
    let dir = File::open(durable::parent(path))?;
    let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
    reach(&short.join(path.file_name().unwrap_or_default()))
}

/// The addresses that clients connect to.
#[derive(Debug, Clone)]
pub(super) struct Listening(pub(super) Vec<String>);

#[derive(Serialize)]
struct Status<'a> {
    listening: &'a [String],
    pid: u32,
    #[serde(flatten)]
    health: Health,
}

/// Health, and what only people on the machine are told.
pub(super) async fn status(api: web::Data<Api>, listening: web::Data<Listening>) -> HttpResponse {
    match health::observe(&api).await {
        Ok(health) => {
            HttpResponse::Ok().json(Status { listening: &listening.0, pid: std::process::id(), health })
        }
        Err(refusal) => api.refuse(&refusal),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_reached_however_long_its_path_is() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        for state_dir in [dir.path(), &deep] {
            let socket = StatusSocket::open(state_dir, &[]).unwrap();
            with_short_path(&path_in(state_dir), |path| UnixStream::connect(path)).unwrap();
            let again = with_short_path(&path_in(state_dir), bind_unix);
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
            drop(socket);
            assert!(!path_in(state_dir).try_exists().unwrap());
        }
    }
}
