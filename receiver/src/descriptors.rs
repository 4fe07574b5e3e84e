//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What the process has open beside connections and uploads: listeners, index, locks, git, threads and the like.
const OTHERS: u64 = 64;
/// An upload in flight has its temporary file open, and the directory of its host or a stored archive.
const OF_AN_UPLOAD: u64 = 2;

/// Takes all descriptors that the process may have, and says so where these are fewer than its limits may need.
///
/// The soft limit is 1024 by default, for the sake of programs that use `select`; this one does not.
pub fn provide_for(connections: usize, uploads: usize) {
    let needed = connections as u64 + OF_AN_UPLOAD * uploads as u64 + OTHERS;
    let available = raise();
    if available.is_some_and(|available| available < needed) {
        warn!(
            available,
            needed,
            help = "raise `LimitNOFILE=` of the unit, or lower `server.max_connections`",
            "there may be more connections than the process may have files open"
        );
    }
}

/// Raises the soft limit to the hard one; gives back what holds then, none where there is no limit.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    // Where it is refused, what was there before goes on to hold.
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
