//! Raises the limit of open files and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Open files besides connections and uploads: listeners, index, locks, git, threads and the like.
const OTHERS: u64 = 64;
/// Open files of one upload in flight: its temp file, and the directory of its host or a stored archive.
const OF_AN_UPLOAD: u64 = 2;

/// Raises the limit of open files as far as the system permits. Warns if the configuration may need more.
///
/// The default soft limit of 1024 protects programs that use `select`; the receiver does not use it.
pub fn provide_for(connections: usize, uploads: usize) {
    let needed = connections as u64 + OF_AN_UPLOAD * uploads as u64 + OTHERS;
    let available = raise();
    if available.is_some_and(|available| available < needed) {
        warn!(
            available,
            needed,
            help = "raise `LimitNOFILE=` of the unit, or lower `server.max_connections`",
            "the open file limit may be too low"
        );
    }
}

/// Raises the soft limit to the hard one. Returns the limit then in force; `None` if there is no limit.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    // If the system refuses, the old limit stays in force.
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_may_be_had_is_taken() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        assert_eq!(raise(), maximum);
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: maximum, maximum });
    }
}
