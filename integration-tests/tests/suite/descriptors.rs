//! Tests that the receiver may open as many files as its connections need, or reports that it may not.

use std::fs;

use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns the soft and the hard limit of open files.
fn limits(receiver: &mut Receiver<'_>) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", receiver.process().pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
    (soft.to_owned(), hard.to_owned())
}

#[test]
fn all_descriptors_that_may_be_had_are_taken_and_too_few_are_told_at_the_start() {
    let sandbox = Sandbox::new();
    // The receiver starts with this soft limit, as under systemd.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1000), maximum }).unwrap();
    for (connections, told) in [("16", 0), ("4000000000000", 1)] {
        let server = format!("max_connections = {connections}");
        let mut receiver = Receiver::start(&sandbox, Options { server, ..Options::open() });
        let (soft, hard) = limits(&mut receiver);
        assert_eq!((&soft, soft == "1000"), (&hard, false));
        let log = receiver.log();
        assert_eq!(log.matches("the open file limit may be too low").count(), told, "{log}");
        assert_eq!(log.matches("raise `LimitNOFILE=` of the unit").count(), told, "{log}");
        receiver.stop();
    }
}
