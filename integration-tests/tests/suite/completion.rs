//! Shell completion by bash, with the script that the packages install.

use std::fs;
use std::process::Command;

use integration_tests::binaries;
use integration_tests::clone::GitClone;
use integration_tests::sandbox::{Sandbox, run, stdout};

/// Returns what bash offers for the last of these words, the first of which is a program.
fn offered(words: &[&str]) -> Vec<String> {
    const ASK: &str = r#"
        source <(CIS490_COMPLETE=bash "$0")
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "_clap_complete_${1//-/_}" "$1" "${!#}"
        printf '%s ' "${COMPREPLY[@]}""#;
    let output = run(Command::new("bash").args(["-c", ASK]).arg(binaries::path(words[0])).args(words));
    stdout(&output).split_whitespace().filter(|word| !is_flag_for_all(word)).map(str::to_owned).collect()
}

/// Behind a value, every flag may follow.
fn is_flag_for_all(word: &str) -> bool {
    word.starts_with("--") && word != "--unit-settings"
}

#[test]
fn a_shell_offers_the_hosts_tokens_and_commits_that_the_programs_know() {
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.path().join(name);
    let (clone, commits) = GitClone::with_commits(&sandbox, "clone", 4);
    for name in ["lab-1", "lab-2", ".damaged"] {
        fs::create_dir_all(at("episodes").join(name)).unwrap();
    }
    let text = format!(
        "[store]\nepisodes_root = {:?}\nindex = {:?}\n[auth]\ntokens_file = {:?}\n\
         [version_gate]\nrepo_path = {:?}\nwindow = 2\n",
        at("episodes"),
        at("index.jsonl"),
        at("tokens"),
        clone.path()
    );
    fs::write(at("receiver.toml"), text).unwrap();
    let config = at("receiver.toml").into_os_string().into_string().unwrap();
    let receiver = |words: &[&str]| offered(&[&["cis490-receiver", "--config", &config], words].concat());
    let command = |words: &[&str]| {
        run(Command::new(binaries::path("cis490-receiver")).args(["--config", &config]).args(words))
    };

    command(&["token", "add", "lab-9"]);
    assert_eq!(receiver(&["token", "add", "lab-"]), ["lab-1", "lab-2", "lab-9"]);
    assert_eq!(receiver(&["token", "rotate", "l"]), ["lab-9"]);
    let listed = stdout(&command(&["token", "list", "--json"]));
    let id = serde_json::from_str::<serde_json::Value>(listed.trim()).unwrap()["id"].clone();
    assert_eq!(receiver(&["token", "remove", "lab-9", "--id", ""]), [id.as_str().unwrap()]);

    let outside = [commits[1].as_str(), commits[0].as_str()];
    assert_eq!(receiver(&["admit", ""]), [&["list", "revoke", "help"], &outside[..]].concat());
    command(&["admit", outside[0], "--reason", "a test"]);
    assert_eq!(receiver(&["admit", "revoke", ""]), [outside[0]]);

    for tool in ["cis490-verify", "cis490-index-backfill"] {
        assert_eq!(offered(&[tool, "--config", &config, "--host", ""]), ["lab-1", "lab-2"], "{tool}");
    }
}

#[test]
fn a_shell_offers_what_lies_in_quarantine_and_no_hidden_flag() {
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.path().join(name);
    fs::create_dir_all(at("quarantine/20251009-085200-1")).unwrap();
    fs::create_dir_all(at("episodes")).unwrap();
    let text = format!(
        "host_id = \"lab-1\"\n[receiver]\nurl = \"http://127.0.0.1:9\"\n[paths]\ndata_root = {:?}\n",
        sandbox.path()
    );
    fs::write(at("lab-host.toml"), text).unwrap();
    let config = at("lab-host.toml").into_os_string().into_string().unwrap();
    let named = ["cis490-shipper", "--config", &config, "quarantine", "release", ""];
    assert_eq!(offered(&named), ["20251009-085200-1"]);
    assert_eq!(offered(&["cis490-shipper", "--unit"]), [""; 0]);
    assert_eq!(offered(&["cis490-receiver", "--unit"]), [""; 0]);
}
