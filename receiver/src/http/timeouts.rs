//! How long a connection is waited for where the configuration does not say.

use std::time::Duration;

/// The head of a request must be there within this time.
pub const HEAD: Duration = Duration::from_secs(10);
/// An idle connection is kept for this long; the shipper's pool keeps its end longer and notices.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A client that sends no Expect may be in the middle of a large body when it is refused. It gets this long to
/// finish sending and then to read the answer; an earlier shipper would otherwise see a broken pipe only.
pub const LINGER: Duration = Duration::from_mins(2);
/// A client that does not send its body is given up, and gets this long to read why.
pub const GIVEN_UP: Duration = Duration::from_secs(5);
/// The last bytes of a long answer are in the buffers of the server: up to 64 KiB, at the lowest rate that is asked of
/// bodies if nothing else is configured.
pub const WRITTEN: Duration = Duration::from_secs(64);
