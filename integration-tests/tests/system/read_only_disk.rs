//! Tests of an ext4 that gives up after an error, as on a dying disk. From then on it is read-only, its mount options
//! do not show that, and open descriptors stay open.

use cis490_shared::ids::CommitHash;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run};
use integration_tests::small_disk::SmallDisk;
use integration_tests::upload::Upload;

#[test]
fn health_says_that_nothing_can_be_stored_once_the_file_system_has_given_up() {
    let sandbox = Sandbox::new();
    let state = sandbox.dir("state");
    let disk = SmallDisk::ext4(&sandbox, &state, 64 << 20);
    let receiver = Receiver::start(&sandbox, Options { state: Some(state.clone()), ..Options::open() });
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let put = |id: &str| Upload::new("lab-1", id, &commit, id.as_bytes()).put(receiver.url());
    assert_eq!(put("before").status, 201);
    assert_eq!(receiver.get("/v1/health").status, 200);

    // ext4 does this by itself with `errors=remount-ro`.
    run(sandbox.command("mount").args(["-o", "remount,abort"]).arg(&state));
    assert_eq!(put("during").status, 500);
    let health = receiver.get("/v1/health");
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["store"]["problem"], "the disk failed, and nothing was stored since");
    assert!(receiver.log().contains("Read-only file system"), "{}", receiver.log());
    // The stored episode is still found, without an upload.
    assert_eq!(put("before").status, 200);
    assert_eq!(receiver.get("/v1/health").status, 503, "a file that is found says nothing about storing");
    drop(receiver);
    drop(disk);
}
