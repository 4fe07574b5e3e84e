//! `cis490-receiver admit`, as a maintainer types it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const COMMIT: &str = "abababababababababababababababababababab";

fn receiver(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cis490-receiver"))
        .args(arguments)
        .arg("--config")
        .arg(dir.join("receiver.toml"))
        .env_remove("JOURNAL_STREAM")
        .env("SUDO_USER", "alice")
        .env("USER", "root")
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs a command that must fail and change nothing; returns its error text.
fn refused(dir: &Path, arguments: &[&str], code: i32) -> String {
    let before = std::fs::read(dir.join("admitted.json")).ok();
    let output = receiver(dir, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    assert_eq!(std::fs::read(dir.join("admitted.json")).ok(), before, "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn configured(gate: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let text = format!(
        "[store]\nepisodes_root = \"{at}/episodes\"\nindex = \"{at}/index.jsonl\"\n[version_gate]\n{gate}"
    );
    std::fs::write(dir.path().join("receiver.toml"), text).unwrap();
    dir
}

fn entries(dir: &Path) -> Vec<Value> {
    let lines = printed(&receiver(dir, &["admit", "list", "--json"]));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_admitted_is_listed_replaced_and_revoked() {
    let dir = configured("repo_path = \"/srv/cis490\"\n");
    let at = dir.path();
    assert_eq!(printed(&receiver(at, &["admit", "list"])), "No commit is admitted by name.\n");
    let upper = COMMIT.to_uppercase();
    let said = printed(&receiver(at, &["admit", &upper, "--reason", "an old but honest backlog"]));
    let first = format!("admitted: commit {COMMIT} of every host, until it is revoked\n");
    assert!(said.starts_with(&first) && said.contains("without a restart"), "{said}");
    assert!(said.ends_with(&format!("To revoke it: cis490-receiver admit revoke {COMMIT}\n")), "{said}");

    let again = ["admit", COMMIT, "--reason", "second thoughts", "--until", "7d"];
    let said = printed(&receiver(at, &again));
    assert!(said.contains("replaces the entry of alice from 2"), "{said}");
    assert!(said.contains("until it is revoked (an old but honest backlog)"), "{said}");
    printed(&receiver(at, &["admit", COMMIT, "--host", "lab-1", "--reason", "a local commit"]));

    let all = entries(at);
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["reason"], &all[0]["by"]), (&"second thoughts".into(), &"alice".into()));
    assert!(all[0].get("host").is_none() && all[0]["until"].is_string(), "{}", all[0]);
    assert_eq!((&all[1]["host"], &all[1]["expired"]), (&"lab-1".into(), &false.into()));
    let table = printed(&receiver(at, &["admit", "list"]));
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(
        table.lines().nth(2).unwrap().starts_with(&format!("{COMMIT}  lab-1  in force  revoked")),
        "{table}"
    );

    let said = printed(&receiver(at, &["admit", "revoke", COMMIT, "--host", "lab-1"]));
    assert!(said.starts_with(&format!("revoked: commit {COMMIT} of host lab-1")), "{said}");
    let none = refused(at, &["admit", "revoke", COMMIT, "--host", "lab-1"], 1);
    assert!(none.contains("for that host alone") && none.contains("admit list"), "{none}");
    printed(&receiver(at, &["admit", "revoke", COMMIT]));
    assert_eq!(entries(at), [Value::Null; 0]);
}

#[test]
fn what_is_over_is_marked_until_the_next_change_drops_it() {
    let dir = configured("repo_path = \"/srv/cis490\"\n");
    let at = dir.path();
    let over = format!(
        "{{\"admitted\": [{{\"commit\": \"{COMMIT}\", \"until\": \"2025-10-09\", \"reason\": \"r\", \"by\": \"a\", \"at\": \"2025-10-08\"}}]}}"
    );
    std::fs::write(at.join("admitted.json"), over).unwrap();
    let table = printed(&receiver(at, &["admit", "list"]));
    assert!(table.contains("expired  2025-10-09T00:00:00Z"), "{table}");
    assert_eq!(entries(at)[0]["expired"], true);
    printed(&receiver(at, &["admit", &"cd".repeat(32), "--reason", "r"]));
    let left = entries(at);
    assert_eq!((left.len(), &left[0]["commit"]), (1, &"cd".repeat(32).into()));
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let dir = configured("repo_path = \"/srv/cis490\"\n");
    let at = dir.path();
    let short = refused(at, &["admit", "ababab", "--reason", "r"], 2);
    assert!(short.contains("`ababab` is no full commit hash: it has 6 characters"), "{short}");
    assert!(short.contains("git -c safe.directory='*' -C /srv/cis490 rev-parse ababab`"), "{short}");
    assert!(refused(at, &["admit", "$(reboot)", "--reason", "r"], 2).contains("rev-parse SHORT"));
    assert!(refused(at, &["admit", "revoke", "main"], 2).contains("rev-parse"));
    for (arguments, word) in [
        (&["--reason", " "][..], "empty"),
        (&["--reason", "two\nlines"], "one line"),
        (&["--reason", &"x".repeat(301)], "301"),
        (&["--reason", "r", "--until", "yesterday"], "7d"),
        (&["--reason", "r", "--until", "2025-10-09"], "past"),
    ] {
        let said = refused(at, &[&["admit", COMMIT], arguments].concat(), 2);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    assert!(refused(at, &["admit", COMMIT], 2).contains("--reason"));
    assert!(refused(at, &["admit", "--reason", "r"], 2).contains("COMMIT"));
    refused(at, &["admit", COMMIT, "--reason", "r", "--host", "../x"], 2);
    for mixed in
        [&["admit", COMMIT, "--reason", "r", "list"][..], &["admit", "--host", "lab-1", "revoke", COMMIT]]
    {
        assert!(refused(at, mixed, 2).contains("put all arguments after"), "{mixed:?}");
    }
    let config = at.join("receiver.toml");
    let between = ["admit", "--config", config.to_str().unwrap(), "list"];
    let listed = Command::new(env!("CARGO_BIN_EXE_cis490-receiver")).args(between).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");

    std::fs::write(at.join("admitted.json"), "{").unwrap();
    for arguments in
        [&["admit", COMMIT, "--reason", "r"][..], &["admit", "list"], &["admit", "revoke", COMMIT]]
    {
        let said = refused(at, arguments, 1);
        assert!(said.contains("cannot be understood") && said.contains("help: mend it"), "{said}");
    }
}

#[test]
fn a_state_directory_that_is_not_there_is_not_made_by_whoever_admits() {
    let dir = configured("enabled = false\n");
    let at = dir.path();
    let said = printed(&receiver(at, &["admit", COMMIT, "--reason", "r"]));
    assert!(said.contains("The gate is off"), "{said}");
    let text = std::fs::read_to_string(at.join("receiver.toml")).unwrap();
    let text = text.replace("index.jsonl", "gone/index.jsonl");
    std::fs::write(at.join("receiver.toml"), text).unwrap();
    let said = refused(at, &["admit", COMMIT, "--reason", "r"], 1);
    assert!(said.contains("systemctl start cis490-receiver"), "{said}");
}
