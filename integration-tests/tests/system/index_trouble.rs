//! Tests of an index that the service may no longer write, while its open descriptor would still work (accident 1).
//!
//! Each batch notices it, the sender gets a 500, and the log says once what to do. After that the next upload succeeds
//! without a restart. Another file at the path and a truncated index are in incidents.rs and the receiver's own tests.
//! Both tests need root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use cis490_shared::ids::CommitHash;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run};
use integration_tests::upload::Upload;

/// The user that the service runs as.
const SERVICE: u32 = 65534;

fn put(receiver: &Receiver<'_>, episode: &str) -> (u16, Option<String>) {
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let answer = Upload::new("lab-1", episode, &commit, b"an archive").put(receiver.url());
    (answer.status, answer.json()["error"].as_str().map(str::to_owned))
}

/// A file under a read-only mount, which lasts until this is dropped.
struct ReadOnlyMount(PathBuf);

impl ReadOnlyMount {
    fn over(sandbox: &Sandbox, file: &Path) -> Self {
        run(sandbox.command("mount").arg("--bind").args([file, file]));
        let mount = Self(file.to_owned());
        run(sandbox.command("mount").args(["-o", "remount,bind,ro"]).arg(file));
        mount
    }
}

impl Drop for ReadOnlyMount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Runs the test: `spoil` makes the index unwritable, and `mend` does what the log says. The log contains `remedy`.
fn is_noticed_and_heals<T>(remedy: &str, spoil: impl Fn(&Sandbox, &Path) -> T, mend: impl Fn(T, &Path)) {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options { user: Some(SERVICE), ..Options::open() });
    assert_eq!(put(&receiver, "before"), (201, None));
    let trouble = spoil(&sandbox, &receiver.index());
    for _ in 0..2 {
        assert_eq!(put(&receiver, "during"), (500, Some("storage".to_owned())));
    }
    assert_eq!(receiver.rows().len(), 1, "nothing was appended behind the maintainer's back");
    assert_eq!(receiver.get("/v1/health").status, 503);
    let log = receiver.log();
    assert_eq!(log.matches("the index cannot be appended to").count(), 1, "{log}");
    assert!(log.contains(remedy), "the log says what to do:\n{log}");

    mend(trouble, &receiver.index());
    assert_eq!(put(&receiver, "during"), (200, None));
    assert_eq!(put(&receiver, "after"), (201, None));
    assert_eq!(receiver.rows().len(), 3);
    assert_eq!(receiver.get("/v1/health").status, 200);
    receiver.stop();
}

#[test]
fn an_index_whose_permission_was_taken_away_is_noticed_and_heals() {
    is_noticed_and_heals(
        "chown",
        |_, index| {
            chown(index, Some(0), Some(0)).unwrap();
            fs::set_permissions(index, Permissions::from_mode(0o644)).unwrap();
        },
        |(), index| chown(index, Some(SERVICE), Some(SERVICE)).unwrap(),
    );
}

#[test]
fn an_index_on_a_read_only_file_system_is_noticed_and_heals() {
    is_noticed_and_heals("is read-only", ReadOnlyMount::over, |mount, _| drop(mount));
}
