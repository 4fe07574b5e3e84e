//! The episode archive: a tar.zst whose first member is `meta.json` (protocol section 3.3).
pub mod pack;
pub mod read;
