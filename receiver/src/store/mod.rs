//! The archives on disk: `episodes/<host>/<episode>.tar.zst`, immutable once they have that name.
//!
//! - [`layout`]: every path under the root
//! - [`host_dir`]: the directory of one host, which no link leads out of
//! - [`stored`]: what is stored under a name: its size and hash
//! - [`space`]: what the file system has room for
//! - [`condition`]: how the store is, without asking the disk; [`verified`]: what cis490-verify last said of it
//! - [`spool`]: uploads on their way, and what a crash left of them
//! - [`scan`]: which archives there are
//! - [`examine`]: what an archive says about itself, from one read
//! - [`reconcile`]: the store against its index
//! - [`host_reports`]: host-health/, the reports of the lab hosts
//!
//! Everything here blocks.

pub mod condition;
pub mod examine;
pub mod host_dir;
pub mod host_reports;
pub mod layout;
pub mod reconcile;
pub mod scan;
pub mod space;
pub mod spool;
pub mod stored;
pub mod verified;
