//! The version gate: only episodes that recent code recorded get into the data set.
//!
//! - [`window`]: the admitted commits, and the verdict on one commit (pure)
//! - [`advice`]: the next step when the clone cannot be read
//! - [`amnesty`]: commits that are admitted by name, whatever the window holds (pure)
//! - [`amnesty_file`]: admitted.json, the amnesties on disk
//! - [`clone_paths`]: finds the files of the clone
//! - [`rev_list`]: reads the window from the maintainer's clone with git
//! - [`shallow`]: detects a shallow clone that cuts the window
//! - [`window_file`]: gate.json, the last good window on disk
//! - [`used`]: the commits that hosts use, for a warning when one poll removes them

pub mod advice;
pub mod amnesty;
pub mod amnesty_file;
pub mod clone_paths;
pub mod rev_list;
pub mod shallow;
pub mod used;
pub mod window;
pub mod window_file;
