//! Time limits on connections that the configuration does not set.

use std::time::Duration;

/// The longest time for the head of a request.
pub const HEAD: Duration = Duration::from_secs(10);
/// How long an idle connection is kept. The shipper's pool keeps its end longer and notices the close.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The time that a client gets after a refusal to finish sending its body and then to read the answer. A client that
/// sends no Expect may be in the middle of a large body. Without this time, an earlier shipper would only see a broken
/// pipe.
pub const LINGER: Duration = Duration::from_mins(2);
/// The time that a client gets to read the answer after it was given up because it does not send its body.
pub const GIVEN_UP: Duration = Duration::from_secs(5);
/// The time for the last bytes of a long answer in the buffers of the server: up to 64 KiB, at the default lowest rate
/// of bodies (1 KiB a second).
pub const WRITTEN: Duration = Duration::from_secs(64);
