//! The names that a request can carry.

use std::fmt;

use cis490_shared::ids::HostId;

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody is asked for a name here.
    Anybody,
    /// A lab host: may do everything that concerns itself.
    Host(HostId),
    /// A person or a trainer: may read.
    Reader(HostId),
}

impl Principal {
    /// The principal of a name that was proved; `readers` are the names that may only read.
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
