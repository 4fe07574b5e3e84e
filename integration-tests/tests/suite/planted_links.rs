//! Tests of a link in the place of a host's directory: the receiver does not follow it, and the log says what to do.

use std::fs;
use std::os::unix::fs::symlink;

use cis490_shared::ids::CommitHash;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::upload::Upload;

#[test]
fn a_link_in_the_place_of_a_host_is_told_once_with_its_path_and_what_to_do() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let (elsewhere, planted) = (sandbox.dir("elsewhere"), receiver.state().join("episodes/lab-1"));
    symlink(&elsewhere, &planted).unwrap();
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    for episode in ["E1", "E2"] {
        let answer = Upload::new("lab-1", episode, &commit, b"an archive").put(receiver.url());
        assert_eq!((answer.status, answer.json()["error"].as_str()), (500, Some("storage")));
    }
    let log = receiver.log();
    let told = format!("`{}` is a link or no directory", planted.display());
    assert_eq!(log.matches(&told).count(), 1, "{log}");
    assert!(log.contains("the whole store lies on one file system"), "{log}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

    fs::remove_file(&planted).unwrap();
    assert_eq!(Upload::new("lab-1", "E1", &commit, b"an archive").put(receiver.url()).status, 201);
    receiver.stop();
}
