//! Sockets that the service manager listens on for the receiver (sd_listen_fds(3)).
//!
//! They outlive the process, so a restart refuses no client: clients that connect meanwhile wait. If there are any,
//! they replace `server.listen`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use listenfd::ListenFd;
use socket2::SockRef;

use super::listeners::Listeners;
use crate::config::ReceiverConfig;

/// The error for a passed socket that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// A datagram socket, a FIFO or a file.
    #[error(
        "socket {number} that the service manager passed is neither a TCP nor a Unix stream socket; name an address \
         or a path with `ListenStream=` in cis490-receiver.socket"
    )]
    Kind {
        /// The number of the socket, counted from 1 in the order of the socket unit.
        number: usize,
    },
    /// A connection, or a socket on which no program called listen(2).
    #[error(
        "socket {number} that the service manager passed does not listen; set `Accept=no` in cis490-receiver.socket"
    )]
    NotListening {
        /// The number of the socket, counted from 1.
        number: usize,
    },
    /// A socket on which everybody could upload.
    #[error(
        "socket {number} that the service manager passed is `{address}`, where anybody could upload: say in `[auth]` \
         who may, let cis490-receiver.socket listen on loopback or a Unix socket, or set `allow_unauthenticated = true`"
    )]
    Open {
        /// The number of the socket, counted from 1.
        number: usize,
        /// The address on which it listens.
        address: SocketAddr,
    },
    /// The system returns no information about the socket.
    #[error("socket {number} that the service manager passed cannot be used: {source}")]
    Broken {
        /// The number of the socket, counted from 1.
        number: usize,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Takes all sockets that were passed, or fails if one cannot be used. Returns `None` if no socket was passed.
///
/// Must be called once, before other threads exist, because it removes the variables that name the sockets from the
/// environment. No child inherits the sockets.
pub fn take(config: &ReceiverConfig) -> Result<Option<Listeners>, ActivationError> {
    let mut passed = ListenFd::from_env();
    let is_asked = config.auth.asks() || config.server.allow_unauthenticated;
    let mut listeners = Listeners::default();
    for index in 0..passed.len() {
        let number = index + 1;
        let broken = |source| ActivationError::Broken { number, source };
        if let Ok(Some(bound)) = passed.take_tcp_listener(index) {
            ensure_it_listens(&bound, number)?;
            let address = bound.local_addr().map_err(broken)?;
            if !address.ip().is_loopback() && !is_asked {
                return Err(ActivationError::Open { number, address });
            }
            listeners.tcp.push(bound);
        } else if let Ok(Some(bound)) = passed.take_unix_listener(index) {
            ensure_it_listens(&bound, number)?;
            let address = bound.local_addr().map_err(broken)?;
            let path = address.as_pathname().unwrap_or("(without a path)".as_ref()).to_owned();
            listeners.unix.push((bound, path));
        } else {
            return Err(ActivationError::Kind { number });
        }
    }
    Ok((passed.len() > 0).then_some(listeners))
}

fn ensure_it_listens(bound: &impl AsFd, number: usize) -> Result<(), ActivationError> {
    match SockRef::from(bound).is_listener() {
        Ok(true) => Ok(()),
        Ok(false) => Err(ActivationError::NotListening { number }),
        Err(source) => Err(ActivationError::Broken { number, source }),
    }
}
