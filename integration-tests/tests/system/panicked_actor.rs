//! Tests that the process ends after an actor has panicked, because the actor does not come back (ADR 0003, accident
//! 7).

use std::fs;

use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::strace::{Fault, Strace};

/// Returns the thread of IndexWriterActor: the first arbiter that the receiver starts.
fn index_writer_thread(pid: u32) -> u32 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let is_arbiter =
        |path: &std::path::Path| fs::read_to_string(path.join("comm")).unwrap().starts_with("actix-rt");
    let arbiters = threads.filter(|thread| is_arbiter(&thread.path()));
    arbiters.map(|thread| thread.file_name().to_str().unwrap().parse().unwrap()).min().unwrap()
}

#[test]
fn incident_07_an_actor_that_panicked_ends_the_process_with_an_error_that_names_it() {
    let sandbox = Sandbox::new();
    let mut receiver = Receiver::start(&sandbox, Options::open());
    let thread = index_writer_thread(receiver.process().pid());
    // tokio panics if it cannot wait for work any more: a real panic on the actor's own thread.
    let strace = Strace::inject_in_thread(&sandbox, thread, "epoll_wait", Fault::Eio);
    let status = receiver.process().wait();
    assert!(strace.detach().has_fired());
    assert_eq!(status.code(), Some(1), "{}", receiver.log());
    assert!(receiver.log().contains("IndexWriterActor is gone"), "{}", receiver.log());
    receiver.restart();
    assert_eq!(receiver.get("/v1/health").status, 200);
    receiver.stop();
}
