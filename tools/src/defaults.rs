//! What the tools assume where a flag does not say: the same for all of them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cis490_shared::durable;

/// The index of a store: `index.jsonl` beside its episodes directory.
pub fn index_beside(episodes_root: &Path) -> PathBuf {
    match episodes_root.file_name() {
        Some(_) => durable::parent(episodes_root).join("index.jsonl"),
        // A root like `.` or `/` has no name whose parent could be taken.
        None => episodes_root.join("../index.jsonl"),
    }
}

/// As many jobs as there are cores.
pub fn one_per_core() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
