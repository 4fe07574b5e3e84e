//! `cis490-receiver token`, as a maintainer types it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use cis490_receiver::auth::file;

fn receiver(dir: &Path, arguments: &[&str]) -> Output {
    let config = dir.join("receiver.toml");
    Command::new(env!("CARGO_BIN_EXE_cis490-receiver"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env_remove("JOURNAL_STREAM")
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn configured(auth: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let text = format!(
        "[store]\nepisodes_root = \"{at}/episodes\"\nindex = \"{at}/index.jsonl\"\n[version_gate]\nenabled = false\n{}",
        auth.replace("{dir}", &at.to_string())
    );
    std::fs::write(dir.path().join("receiver.toml"), text).unwrap();
    dir
}

#[test]
fn a_token_is_printed_once_and_only_its_hash_is_kept() {
    let dir = configured("[auth]\ntokens_file = \"{dir}/tokens\"\n");
    let at = |name: &str| dir.path().join(name);
    let token = printed(&receiver(dir.path(), &["token", "add", "lab-1"]));
    let second = printed(&receiver(dir.path(), &["token", "add", "lab-1"]));
    assert_ne!(token, second);
    let kept = std::fs::read_to_string(at("tokens")).unwrap();
    assert!(!kept.contains(token.trim()), "{kept}");
    assert_eq!(std::fs::metadata(at("tokens")).unwrap().permissions().mode() & 0o777, 0o640);
    let owner = file::list(&at("tokens")).unwrap().owner(token.trim()).map(ToString::to_string);
    assert_eq!(owner.as_deref(), Some("lab-1"));
    assert_eq!(printed(&receiver(dir.path(), &["token", "list"])), "lab-1\nlab-1\n");
    assert_eq!(printed(&receiver(dir.path(), &["token", "remove", "lab-1"])), "");
    assert_eq!(printed(&receiver(dir.path(), &["token", "list"])), "");
    let none = receiver(dir.path(), &["token", "remove", "lab-1"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let without = configured("");
    let refused = receiver(without.path(), &["token", "add", "lab-1"]);
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("tokens_file"), "{said}");
    let dir = configured("[auth]\ntokens_file = \"{dir}/tokens\"\n");
    assert_eq!(receiver(dir.path(), &["token", "add", "../x"]).status.code(), Some(2));
    // A receiver whose token file is missing would refuse everybody, so it does not start.
    let started = receiver(dir.path(), &[]);
    assert_eq!(started.status.code(), Some(78));
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(said.contains("tokens") && said.contains("cannot be opened"), "{said}");
}

#[test]
fn a_hangup_is_no_end() {
    let dir = configured("[auth]\ntokens_file = \"{dir}/tokens\"\n");
    std::fs::write(dir.path().join("tokens"), "").unwrap();
    let config = dir.path().join("receiver.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("[server]\nlisten = [\"127.0.0.1:0\"]\n{text}")).unwrap();
    let ready = dir.path().join("ready.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&ready).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cis490-receiver"))
        .arg("--config")
        .arg(&config)
        .env("NOTIFY_SOCKET", &ready)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut told = [0; 1024];
    let is_ready = socket.recv(&mut told).is_ok();
    let signal = |signal| {
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    signal(rustix::process::Signal::HUP);
    signal(rustix::process::Signal::TERM);
    let ended = child.wait().unwrap();
    assert!(is_ready);
    assert_eq!(ended.code(), Some(0), "a hangup kills whoever does not mind it");
}
