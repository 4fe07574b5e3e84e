//! Defaults of flags, the same for all tools.

use std::num::NonZeroUsize;

/// Returns the number of cores, for one job on each.
pub fn one_per_core() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
