//! `cis490-demo`, as a new user runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Returns the demo with a temporary directory of its own, so that leftovers can be seen.
fn demo(temporary: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cis490-demo"));
    command.env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn is_empty(dir: &std::path::Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn the_demo_tells_the_whole_story_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "telemetry-proc.jsonl",
        "status=201",
        "status=200",
        "\"admitted\":true",
        "git pull origin main",
        "\"error\": \"commit-not-in-window\"",
        "backfilled 1 rows into",
        "\"backfilled\":true",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    assert!(is_empty(temporary.path()));
}

#[test]
fn what_is_kept_running_answers_until_it_is_interrupted() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = demo(temporary.path()).arg("--keep").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_health = |line: &String| line.contains("curl -s http://") && line.contains("/v1/health");
    let line = lines.by_ref().map(Result::unwrap).find(is_health).unwrap();
    let last = lines.by_ref().map(Result::unwrap).find(|line| line.contains("/quarantine")).unwrap();
    assert!(last.contains("ls "));
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /v1/health HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK") && answer.contains("\"status\":\"ok\""), "{answer}");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(is_empty(temporary.path()));
}
