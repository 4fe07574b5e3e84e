//! The real `cis490-verify` as the last word on a store.

use std::fmt;
use std::path::Path;

use crate::binaries;
use crate::sandbox::Sandbox;

/// Fails unless `cis490-verify` finds the store and its index in order, without any time to settle.
///
/// `point` tells what happened before, for people.
pub fn assert_clean(sandbox: &Sandbox, episodes_root: &Path, point: &dyn fmt::Display) {
    let mut verify = sandbox.command(binaries::path("cis490-verify"));
    verify.arg("--episodes-root").arg(episodes_root).args(["--settle", "0"]);
    let said = verify.output().expect("it can be run");
    let text = [said.stdout, said.stderr].concat();
    assert!(said.status.success(), "{point}: {}", String::from_utf8_lossy(&text));
}
