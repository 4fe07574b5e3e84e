//! The episode archive: a tar.zst whose first member is `meta.json` (protocol section 3.3).
//!
//! [`pack`] writes an archive and blocks; [`read`] extracts `meta.json` from one as a stream. No code here unpacks an
//! archive to disk or decides what happens to an episode. Packing the same directory twice gives the same bytes, so
//! that sending an episode again is never a conflict (invariant I4).

pub mod pack;
pub mod read;
pub mod whole;

/// The file that the recorder writes last: a directory without it is not finished.
pub const DONE_MARKER: &str = "done.marker";

/// The shipper's note beside a refused episode. It is not part of the episode and is never packed.
pub const REASON_NAME: &str = "quarantine_reason.json";
