//! The kinds of senders of a request.

use std::fmt;

use cis490_shared::ids::HostId;

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Any client, because the configuration asks for no name.
    Anybody,
    /// A lab host, which may read and write its own data.
    Host(HostId),
    /// A person or a training program, which may only read.
    Reader(HostId),
}

impl Principal {
    /// Returns the principal of a proven name; `readers` are the names that may only read.
    pub fn named(name: HostId, readers: &[HostId]) -> Self {
        if readers.contains(&name) { Self::Reader(name) } else { Self::Host(name) }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("anybody"),
            Self::Host(name) => write!(f, "host `{name}`"),
            Self::Reader(name) => write!(f, "reader `{name}`"),
        }
    }
}
