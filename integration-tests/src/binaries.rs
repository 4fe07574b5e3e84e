//! The programs of this workspace, in the profile of the calling test.
//!
//! A test must never run an outdated program. `cargo test -p integration-tests` builds the libraries but not the
//! programs of the other members, so each test process asks cargo once. If the programs are fresh, that takes a
//! fraction of a second. A runner that starts a process for each test builds the programs once and names their
//! directory in `CIS490_PROGRAMS`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of the program `name`: from `CIS490_PROGRAMS`, or built from the current sources.
pub fn path(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let path = PROGRAMS.get_or_init(|| chosen().unwrap_or_else(build)).join(name);
    assert!(
        path.is_file(),
        "`{}` is not there: no member of the workspace builds a program `{name}`",
        path.display()
    );
    path
}

#[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
fn chosen() -> Option<PathBuf> {
    std::env::var_os("CIS490_PROGRAMS").map(PathBuf::from)
}

/// Builds all programs and returns the directory that holds them.
///
/// Like `cargo test --workspace`, the command names a test, so that cargo includes the features of development
/// dependencies. Otherwise cargo would compile all dependencies of the programs again and replace them.
fn build() -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows its own path");
    let Place { target, profile } = Place::of_test(&exe);
    let directory = target.join(&profile);
    // The `dev` profile is the only one whose directory has another name.
    let profile = if profile == "debug" { "dev" } else { &profile };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--bins", "--test", "tidy", "--locked", "--quiet"]);
    cargo.args(["--profile", profile]).arg("--target-dir").arg(&target);
    cargo.current_dir(workspace());
    for name in test_only_variables() {
        cargo.env_remove(name);
    }
    let output = cargo.output().expect("cargo can be run");
    assert!(
        output.status.success(),
        "the programs do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory
}

/// Returns the top of the checkout.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

/// Returns the variables that `cargo test` sets for a test but a build lacks, because they would make build scripts run
/// again.
fn test_only_variables() -> Vec<std::ffi::OsString> {
    const OF_THE_PACKAGE: [&str; 6] = [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO",
        "LD_LIBRARY_PATH",
    ];
    let set_for_tests = |name: &str| {
        OF_THE_PACKAGE.contains(&name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_")
    };
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(set_for_tests))
        .collect()
}

/// The location of a test program: `TARGET/PROFILE/deps/NAME-HASH`.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    target: PathBuf,
    profile: String,
}

impl Place {
    fn of_test(exe: &Path) -> Self {
        let mut up = exe.ancestors().skip(2);
        let (directory, target) = (up.next(), up.next());
        let profile = directory.and_then(Path::file_name).and_then(|name| name.to_str());
        match (target, profile) {
            (Some(target), Some(profile)) => Self { target: target.to_owned(), profile: profile.to_owned() },
            _ => panic!("`{}` does not lie in a target directory", exe.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_test_tells_target_and_profile() {
        let place = Place::of_test(Path::new("/w/target/release/deps/tidy-0a1b"));
        assert_eq!(place, Place { target: "/w/target".into(), profile: "release".into() });
    }
}
