//! The real `cis490-verify` as the last word on a store.

use std::path::Path;

use crate::binaries;
use crate::sandbox::{Sandbox, run};

/// Fails unless `cis490-verify` finds the store and its index in order, without any time to settle.
pub fn assert_clean(sandbox: &Sandbox, episodes_root: &Path) {
    let mut verify = sandbox.command(binaries::path("cis490-verify"));
    verify.arg("--episodes-root").arg(episodes_root).args(["--settle", "0"]);
    run(&mut verify);
}
