//! The final check of a store by the real `cis490-verify`.

use std::fmt;
use std::path::Path;

use crate::binaries;
use crate::sandbox::Sandbox;

/// Fails unless `cis490-verify` finds the store and its index in order, with a settle time of zero.
///
/// `point` describes for people what happened before.
pub fn assert_clean(sandbox: &Sandbox, episodes_root: &Path, point: &dyn fmt::Display) {
    let mut verify = sandbox.command(binaries::path("cis490-verify"));
    verify.arg("--episodes-root").arg(episodes_root).args(["--settle", "0"]);
    let said = verify.output().expect("it can be run");
    let text = [said.stdout, said.stderr].concat();
    assert!(said.status.success(), "{point}: {}", String::from_utf8_lossy(&text));
}
