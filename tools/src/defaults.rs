//! What the tools assume where a flag does not say: the same for all of them.

use std::num::NonZeroUsize;

/// As many jobs as there are cores.
pub fn one_per_core() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
