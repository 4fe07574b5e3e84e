//! Tests that an event which a client can repeat at will is logged only once.

use cis490_shared::ids::CommitHash;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::upload::Upload;

#[test]
fn conflicts_of_a_host_are_one_line_however_many_there_are() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let put = |host: &str, episode: &str, body: &[u8]| {
        Upload::new(host, episode, &commit, body).put(receiver.url()).status
    };
    for host in ["lab-1", "lab-2"] {
        for number in 0..30 {
            let episode = format!("e{number}");
            assert_eq!(put(host, &episode, b"an archive"), 201);
            assert_eq!(put(host, &episode, b"another one"), 409);
        }
    }
    receiver.stop();
    let log = receiver.log();
    assert_eq!(log.matches("other bytes are stored under this id").count(), 2, "{log}");
}
