//! The version gate: only episodes that recent code recorded get into the data set.
//!
//! - [`window`]: the admitted commits, and the verdict for one of them (pure)
//! - [`advice`]: what to do about a clone that cannot be read
//! - [`amnesty`]: commits that are admitted by name, whatever the window says (pure)
//! - [`amnesty_file`]: admitted.json, where these are kept
//! - [`clone_paths`]: where the files of the clone are
//! - [`rev_list`]: reading the window from the maintainer's clone with git
//! - [`shallow`]: whether a shallow clone cuts the window
//! - [`window_file`]: gate.json, the last good window on disk
//! - [`used`]: which commits hosts use, for a warning before they notice

pub mod advice;
pub mod amnesty;
pub mod amnesty_file;
pub mod clone_paths;
pub mod rev_list;
pub mod shallow;
pub mod used;
pub mod window;
pub mod window_file;
