//! `cis490-receiver token`, as a maintainer types it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use cis490_receiver::auth::file;
use serde_json::Value;

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
    let listed = printed(&receiver(dir.path(), &["token", "list"]));
    assert_eq!(listed.lines().filter(|line| line.starts_with("lab-1 ")).count(), 2, "{listed}");
    assert_eq!(printed(&receiver(dir.path(), &["token", "remove", "lab-1"])), "");
    assert_eq!(printed(&receiver(dir.path(), &["token", "list"])), "No token is accepted.\n");
    assert_eq!(printed(&receiver(dir.path(), &["token", "list", "--json"])), "");
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
    for nobody in [&["token", "remove", "lab-1"][..], &["token", "rotate", "lab-1"]] {
        let refused = receiver(dir.path(), nobody);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.starts_with("error: `lab-1` has no token\nhelp: "), "{said}");
    }
}

/// What `token list --json` prints.
fn tokens(dir: &Path) -> Vec<Value> {
    let lines = printed(&receiver(dir, &["token", "list", "--json"]));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_token_is_changed_without_a_time_in_which_none_counts() {
    let dir = configured("[auth]\ntokens_file = \"{dir}/tokens\"\n");
    let dir = dir.path();
    printed(&receiver(dir, &["token", "add", "lab-2"]));
    printed(&receiver(dir, &["token", "add", "lab-1"]));
    let before = tokens(dir);
    let names: Vec<_> = before.iter().map(|token| token["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lab-1", "lab-2"]);
    let old = before[0]["id"].as_str().unwrap();
    assert!(before[0]["made"].is_string() && before[0]["last_use"].is_null(), "{}", before[0]);

    let rotated = receiver(dir, &["token", "rotate", "lab-1"]);
    let token = printed(&rotated);
    let said = String::from_utf8_lossy(&rotated.stderr).into_owned();
    assert_eq!(token.lines().count(), 1, "only the token, for a file: {token}");
    let command = format!("cis490-receiver token remove lab-1 --id {old}\n");
    assert!(said.starts_with("help: the old token stays valid") && said.ends_with(&command), "{said}");
    assert_eq!(tokens(dir).len(), 3);

    let used = format!("{{\"{old}\": \"2025-10-09T08:53:20Z\"}}");
    std::fs::write(dir.join("token-use.json"), used).unwrap();
    let of_old = tokens(dir).into_iter().find(|token| token["id"] == old).unwrap();
    assert_eq!(of_old["last_use"], "2025-10-09T08:53:20Z");
    printed(&receiver(dir, &["token", "remove", "lab-1", "--id", old]));
    let owner = file::list(&dir.join("tokens")).unwrap().owner(token.trim()).map(ToString::to_string);
    assert_eq!((tokens(dir).len(), owner.as_deref()), (2, Some("lab-1")));
    let again = receiver(dir, &["token", "remove", "lab-1", "--id", old]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("no token with the id"));
    assert_eq!(receiver(dir, &["token", "remove", "lab-1", "--id", "x"]).status.code(), Some(2));
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
