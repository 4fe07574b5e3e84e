//! The archives on disk: `episodes/<host>/<episode>.tar.zst`, immutable once they have that name.
//!
//! - [`layout`]: every path under the root
//! - [`host_dir`]: the directory of one host, which no link leads out of
//! - [`stored`]: size and hash of a stored archive
//! - [`space`]: the free space of the file system
//! - [`condition`]: the condition of the store, without asking the disk; [`verified`]: the last report of cis490-verify
//! - [`spool`]: uploads in flight, and the files that a crash left of them
//! - [`scan`]: lists the archives
//! - [`examine`]: row and commit of an archive, from one read
//! - [`reconcile`]: compares the store with its index
//! - [`host_reports`]: host-health/, the reports of the lab hosts
//!
//! Functions here that touch the disk block.

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
