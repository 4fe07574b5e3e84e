//! `cis490-receiver status`, beside a receiver that runs and without one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use cis490_shared::durable::FileLock;
use serde_json::Value;

use crate::support::tls::{Authority, GOOD};
use crate::support::{Request, TestReceiver};

fn status(dir: &Path, arguments: &[&str]) -> Output {
    let config = dir.join("status.toml");
    let at = dir.display();
    let text = format!(
        "[store]\nepisodes_root = \"{at}/episodes\"\nindex = \"{at}/index.jsonl\"\n[version_gate]\nenabled = false\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cis490-receiver"));
    command.arg("status").args(arguments).arg("--config").arg(&config).env_remove("RUST_LOG");
    command.output().unwrap()
}

fn first_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_receiver_tells_how_it_does_whatever_it_demands_of_clients() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let authority = Authority::new("lab");
    let identity = authority.issue(&["localhost"], "localhost", GOOD);
    std::fs::write(at("ca.pem"), authority.pem()).unwrap();
    std::fs::write(at("cert.pem"), identity.certificate.pem()).unwrap();
    std::fs::write(at("key.pem"), identity.key.serialize_pem()).unwrap();
    let path = |name: &str| at(name).display().to_string();
    let server = format!(
        "tls = {{ cert_file = \"{}\", key_file = \"{}\" }}\n[auth]\nclient_ca_file = \"{}\"\n",
        path("cert.pem"),
        path("key.pem"),
        path("ca.pem")
    );
    let receiver = TestReceiver::start_with(&server, "");
    let state = receiver.dir.path();
    let human = status(state, &[]);
    assert_eq!((human.status.code(), first_line(&human).as_str()), (Some(0), "ok"));
    let text = String::from_utf8_lossy(&human.stdout).into_owned();
    let listening = format!("listening    https://{}\n", receiver.address);
    assert!(text.contains(&listening) && text.contains("certificate  ends 2090"), "{text}");
    let told: Value = serde_json::from_slice(&status(state, &["--json"]).stdout).unwrap();
    assert_eq!(
        (&told["status"], &told["running"], &told["problem"]),
        (&"ok".into(), &true.into(), &Value::Null)
    );
    assert_eq!(told["gate"]["head_commit"], receiver.head.as_str());
    let socket = state.join("status.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    drop(receiver);
}

#[test]
fn the_status_socket_takes_nothing_and_tells_nothing_else() {
    let receiver = TestReceiver::start();
    let ask = |method: &str, path: &str| {
        let stream =
            std::os::unix::net::UnixStream::connect(receiver.dir.path().join("status.sock")).unwrap();
        crate::support::Connection::over(stream).ask(&Request::new(method, path)).unwrap().status
    };
    assert_eq!(ask("GET", "/v1/health"), 200);
    assert_eq!(ask("GET", "/v1/status"), 200);
    for (method, path) in [
        ("GET", "/v1/gate"),
        ("GET", "/v1/host-health"),
        ("HEAD", "/v1/episodes/lab-1/e.tar.zst"),
        ("PUT", "/v1/episodes/lab-1/e.tar.zst"),
        ("POST", "/v1/ping"),
        ("PUT", "/v1/health"),
    ] {
        assert!([404, 405].contains(&ask(method, path)), "{method} {path}");
    }
    assert_eq!(receiver.get("/v1/status").status, 404, "only people on the machine are told more");
}

#[test]
fn without_an_answer_it_is_said_whether_a_receiver_runs() {
    let dir = tempfile::tempdir().unwrap();
    let none = status(dir.path(), &[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(first_line(&none).starts_with("unavailable: no receiver runs for "), "{none:?}");
    let text = String::from_utf8_lossy(&none.stdout).into_owned();
    assert!(text.contains("\nhelp: sudo systemctl start cis490-receiver"), "{text}");
    let _lock = FileLock::take(&dir.path().join("receiver.lock"), std::time::Duration::ZERO).unwrap();
    let silent = status(dir.path(), &["--json"]);
    assert_eq!(silent.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&silent.stdout).unwrap();
    assert_eq!((&told["status"], &told["running"]), (&"unavailable".into(), &true.into()));
    assert!(told["problem"]["what"].as_str().unwrap().contains("it is starting, or stuck"), "{told}");
}

#[test]
fn a_stop_removes_the_status_socket_and_one_that_was_left_is_replaced() {
    let receiver = TestReceiver::start();
    let socket = receiver.dir.path().join("status.sock");
    assert!(socket.try_exists().unwrap());
    let dir = receiver.dir.path().to_owned();
    let again = receiver.restart();
    assert_eq!(status(&dir, &[]).status.code(), Some(0));
    drop(again);
}
