//! Tests of sockets that a service manager passes to the receiver, here without systemd. `system/units.sh` tests them
//! with systemd, over restarts.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use integration_tests::binaries;
use integration_tests::http;
use integration_tests::process::Process;
use integration_tests::sandbox::Sandbox;

/// The configured address of a receiver that gets no socket.
const CONFIGURED: &str = "listen = [\"127.0.0.1:0\"]";

/// Starts a receiver and passes it sockets of these kinds.
fn start(sandbox: &Sandbox, kinds: &str, server: &str, environment: &[(&str, &str)]) -> Process {
    let state = sandbox.dir("collector");
    let (state, config) = (state.display(), sandbox.free("receiver", ".toml"));
    let text = format!(
        "[server]\n{server}\n[store]\nepisodes_root = \"{state}/episodes\"\nindex = \"{state}/index.jsonl\"\n\
         [version_gate]\nenabled = false\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = sandbox.command("python3");
    command.arg(binaries::workspace().join("integration-tests/src/activate.py")).arg(kinds);
    command.arg(binaries::path("cis490-receiver")).arg("--config").arg(&config);
    command.envs(environment.iter().copied());
    Process::start(sandbox, "receiver", command)
}

/// Returns the addresses on which it reports to accept connections.
fn accepting(receiver: &mut Process) -> Vec<String> {
    receiver.wait_for_notice("where it accepts connections", |line| {
        let urls = line.strip_prefix("STATUS=")?.split_once("accepting on ")?.1;
        Some(urls.split(", ").map(str::to_owned).collect())
    })
}

#[test]
fn sockets_that_are_passed_are_taken_instead_of_configured_ones_and_no_child_gets_them() {
    let sandbox = Sandbox::new();
    let path = sandbox.free("receiver", ".sock");
    // No program can listen there, so an attempt would fail visibly.
    let unusable = "listen = [\"unix:/proc/receiver.sock\"]";
    let mut receiver = start(&sandbox, &format!("tcp,unix:{}", path.display()), unusable, &[]);
    let urls = accepting(&mut receiver);
    assert_eq!(urls.len(), 2, "{urls:?}");
    assert_eq!(urls[1], format!("unix:{}", path.display()));
    assert_eq!(http::get(&urls[0], "/v1/health").status, 200);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    for number in [3, 4] {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", receiver.pid())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = u32::from_str_radix(flags, 8).unwrap();
        assert_ne!(flags & 0o2_000_000, 0, "socket {number} is not closed for children: {info}");
    }
    assert_eq!(receiver.terminate().code(), Some(0), "{}", receiver.log());
    assert!(fs::symlink_metadata(&path).is_ok(), "the socket is the service manager's to remove");
}

#[test]
fn sockets_that_cannot_be_used_are_a_configuration_error_that_names_the_unit() {
    let sandbox = Sandbox::new();
    for (kinds, told) in [
        ("udp", "socket 1 that the service manager passed is neither a TCP nor a Unix stream socket"),
        ("tcp,file", "socket 2 that the service manager passed is neither"),
        ("tcp-unheard", "socket 1 that the service manager passed does not listen"),
        ("tcp-everywhere", "where anybody could upload"),
    ] {
        let mut receiver = start(&sandbox, kinds, CONFIGURED, &[]);
        assert_eq!(receiver.wait().code(), Some(78), "{kinds}: {}", receiver.log());
        assert!(receiver.log().contains(told), "{kinds}: {}", receiver.log());
        assert!(receiver.log().contains("cis490-receiver.socket"), "{kinds}: {}", receiver.log());
    }
}

#[test]
fn a_socket_for_everybody_is_taken_where_everybody_may_upload() {
    let sandbox = Sandbox::new();
    let open = format!("{CONFIGURED}\nallow_unauthenticated = true");
    let mut receiver = start(&sandbox, "tcp-everywhere", &open, &[]);
    let [url] = accepting(&mut receiver).try_into().unwrap();
    assert!(url.starts_with("http://0.0.0.0:"), "{url}");
    assert_eq!(http::get(&url.replace("0.0.0.0", "127.0.0.1"), "/v1/health").status, 200);
    assert_eq!(receiver.terminate().code(), Some(0));
}

#[test]
fn sockets_of_another_process_are_not_taken() {
    let sandbox = Sandbox::new();
    // The sockets were meant for the parent process, and would be the wrong files here.
    let mut receiver = start(&sandbox, "udp", CONFIGURED, &[("LISTEN_PID", "1")]);
    let [url] = accepting(&mut receiver).try_into().unwrap();
    assert_eq!(http::get(&url, "/v1/health").status, 200);
    assert_eq!(receiver.terminate().code(), Some(0));
}
