//! The listeners: TCP ports and Unix sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::config::Listen;

/// The mode of a Unix socket, whatever the umask.
const SOCKET_MODE: u32 = 0o660;

/// The error for an address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}`: {source}")]
pub struct BindError {
    /// The address, as in the configuration.
    pub address: String,
    /// The error of the operating system.
    pub source: io::Error,
}

/// Open listeners.
#[derive(Debug, Default)]
pub struct Listeners {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) unix: Vec<(UnixListener, PathBuf)>,
}

impl Listeners {
    /// Binds all addresses or none.
    pub fn bind(listen: &[Listen]) -> Result<Self, BindError> {
        let mut listeners = Self::default();
        for entry in listen {
            match entry {
                Listen::Tcp(address) => {
                    let bound = TcpListener::bind(address)
                        .map_err(|source| BindError { address: address.to_string(), source })?;
                    listeners.tcp.push(bound);
                }
                Listen::Unix(path) => {
                    let bound = bind_unix(path).map_err(|source| BindError {
                        address: format!("unix:{}", path.display()),
                        source,
                    })?;
                    listeners.unix.push((bound, path.clone()));
                }
            }
        }
        Ok(listeners)
    }

    /// Returns the first address that other machines can reach.
    pub fn from_elsewhere(&self) -> Option<SocketAddr> {
        let mut addresses = self.tcp.iter().filter_map(|bound| bound.local_addr().ok());
        addresses.find(|address| !address.ip().is_loopback())
    }

    /// Returns the URLs for clients: `http://127.0.0.1:8444` or `https://...`, `unix:/run/...`.
    pub fn urls(&self, speak_tls: bool) -> Vec<String> {
        let scheme = if speak_tls { "https" } else { "http" };
        let tcp = self.tcp.iter().filter_map(|bound| bound.local_addr().ok());
        let unix = self.unix.iter().map(|(_, path)| format!("unix:{}", path.display()));
        tcp.map(|address| format!("{scheme}://{address}")).chain(unix).collect()
    }
}

/// A socket that a crashed run left behind is in the way and goes; one that somebody listens on stays.
pub(super) fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        _ => {}
    }
    let bound = UnixListener::bind(path)?;
    // Connecting needs write permission: a proxy in the service's group has it, strangers do not.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(bound)
}
