//! How every command talks: results on standard output, `error:` and `help:` on standard error, and its exit code.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;

const COMMIT: &str = "abababababababababababababababababababab";

fn receiver(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cis490-receiver"));
    command.args(arguments).arg("--config").arg(dir.join("receiver.toml"));
    for name in ["JOURNAL_STREAM", "RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    command
}

fn configured(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let store = format!("[store]\nepisodes_root = \"{at}/episodes\"\nindex = \"{at}/index.jsonl\"\n");
    let text = text.replace("{dir}", &at.to_string());
    std::fs::write(dir.path().join("receiver.toml"), format!("{store}{text}")).unwrap();
    dir
}

fn with_tokens() -> tempfile::TempDir {
    configured("[auth]\ntokens_file = \"{dir}/tokens\"\n[version_gate]\nenabled = false\n")
}

/// Returns the exit code and both outputs, without the parts that vary.
fn told(dir: &Path, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).replace(&dir.display().to_string(), "[DIR]");
    format!("{}\n{said}", output.status.code().unwrap_or(-1))
}

fn said(dir: &Path, arguments: &[&str]) -> String {
    told(dir, &receiver(dir, arguments).output().unwrap())
}

/// Runs a command whose reader has closed the pipe before it begins.
fn with_a_closed_pipe(dir: &Path, arguments: &[&str]) -> String {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    told(dir, &receiver(dir, arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap())
}

fn with_a_full_disk(dir: &Path, arguments: &[&str]) -> String {
    let full = File::options().write(true).open("/dev/full").unwrap();
    told(dir, &receiver(dir, arguments).stdout(full).stderr(Stdio::piped()).output().unwrap())
}

#[test]
fn a_reader_that_has_read_enough_ends_a_command_quietly_and_a_full_disk_is_an_error() {
    let dir = with_tokens();
    let dir = dir.path();
    assert_eq!(said(dir, &["token", "add", "lab-1"]), "0\n");
    for arguments in [
        &["token", "list"][..],
        &["admit", "list"],
        &["--check-config"],
        &["--unit-settings", "service"],
        &["--help"],
        &["--version"],
    ] {
        assert_eq!(with_a_closed_pipe(dir, arguments), "0\n", "{arguments:?}");
        let error = "1\nerror: standard output cannot be written to: No space left on device (os error 28)\n";
        assert_eq!(with_a_full_disk(dir, arguments), error, "{arguments:?}");
    }
}

#[test]
fn a_token_that_nobody_has_seen_is_taken_back() {
    let dir = with_tokens();
    let dir = dir.path();
    assert_eq!(said(dir, &["token", "add", "lab-1"]), "0\n");
    let before = std::fs::read_to_string(dir.join("tokens")).unwrap();
    assert_snapshot!(with_a_full_disk(dir, &["token", "add", "lab-1"]), @"
    1
    error: standard output cannot be written to: No space left on device (os error 28); the new token of `lab-1` was taken back
    help: try again with a standard output that can be written; a token is shown only once
    ");
    let closed = with_a_closed_pipe(dir, &["token", "add", "lab-1"]);
    assert!(closed.starts_with("1\nerror: ") && closed.contains("taken back"), "{closed}");
    assert_eq!(std::fs::read_to_string(dir.join("tokens")).unwrap(), before);
}

#[test]
fn errors_are_for_a_person_and_say_what_to_do() {
    let dir = with_tokens();
    let dir = dir.path();
    let without = configured("[version_gate]\nenabled = false\n");
    let wrong = configured("[version_gate]\nwindow = \"many\"\n");
    let all = [
        said(dir, &["token", "remove", "lab-9"]),
        said(without.path(), &["token", "list"]),
        said(dir, &["admit", "revoke", COMMIT]),
        said(dir, &["admit", "abab", "--reason", "r"]),
        said(wrong.path(), &["token", "list"]),
        told(dir, &receiver(dir, &["token", "list"]).env("RUST_LOG", "loud").output().unwrap()),
    ];
    assert_snapshot!(all.join("\n"), @r#"
    1
    error: `lab-9` has no token
    help: `cis490-receiver token list` prints those that there are

    78
    error: the configuration names no token file
    help: add `tokens_file = "/etc/cis490/tokens"` to `[auth]`, and restart the service

    1
    error: abababababababababababababababababababab is not admitted by name
    help: list the admitted commits: `cis490-receiver admit list`

    2
    error: `abab` is no full commit hash: it has 4 characters, 40 or 64 hex digits are expected
    help: `git -c safe.directory='*' -C CLONE rev-parse abab` prints the full hash, if that clone has the commit

    78
    error: `[DIR]/receiver.toml`, line 5: `window` is the text "many", and must be a whole number from 0 on
    help: edit it, then check it: cis490-receiver --check-config --config [DIR]/receiver.toml

    2
    error: `RUST_LOG` is `loud`: write a level (error, warn, info, debug, trace, off) or TARGET=LEVEL, with commas between, as `warn,cis490_receiver=debug`
    "#);
}

#[test]
fn a_configuration_that_may_not_be_read_or_is_a_directory_is_not_to_be_edited() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let missing = said(dir, &["--check-config"]);
    std::fs::create_dir(dir.join("receiver.toml")).unwrap();
    let directory = said(dir, &["token", "list"]);
    assert_snapshot!(format!("{missing}\n{directory}"), @"
    78
    error: cannot read `[DIR]/receiver.toml`: No such file or directory (os error 2)
    help: name the configuration file: --config FILE

    78
    error: cannot read `[DIR]/receiver.toml`: Is a directory (os error 21)
    help: name the file itself: --config FILE
    ");
    if rustix::process::geteuid().is_root() {
        return;
    }
    let closed = with_tokens();
    let closed = closed.path();
    std::fs::set_permissions(closed.join("receiver.toml"), PermissionsExt::from_mode(0o000)).unwrap();
    let denied = said(closed, &["--check-config"]);
    assert!(denied.contains("help: read it as root or as the service: sudo -u cis490"), "{denied}");
}

#[test]
fn colours_are_where_they_are_asked_for() {
    let dir = with_tokens();
    let dir = dir.path();
    let colored = |arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = receiver(dir, &[&["token", "remove", "lab-9"], arguments].concat());
        command.envs(variable);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains('\u{1b}')
    };
    assert!(!colored(&[], None), "no terminal");
    assert!(colored(&["--color", "always"], None));
    assert!(colored(&["--color=always"], Some(("NO_COLOR", "1"))), "the flag wins");
    assert!(colored(&[], Some(("CLICOLOR_FORCE", "1"))));
    assert!(!colored(&["--color", "never"], Some(("CLICOLOR_FORCE", "1"))));
    let help = |arguments: &[&str]| receiver(dir, arguments).output().unwrap().stdout;
    assert!(help(&["--color", "always", "--help"]).contains(&0x1b));
    assert!(!help(&["--help"]).contains(&0x1b));
    assert!(said(dir, &["--color", "blue", "token", "list"]).starts_with("2\nerror: invalid value 'blue'"));
}

#[test]
fn help_names_every_flag_and_command_that_is_not_hidden() {
    let dir = with_tokens();
    let help = receiver(dir.path(), &["--help"]).output().unwrap();
    assert_snapshot!(String::from_utf8(help.stdout).unwrap(), @"
    Takes episodes from lab hosts, proves them and stores them durably

    Usage: cis490-receiver [OPTIONS] [COMMAND]

    Commands:
      token   Manage bearer tokens, which identify hosts and readers without a certificate
      admit   Admit a commit outside the window by name
      status  Show health, window, free space, uploads and the next step; exit with 1 if uploads are refused
      help    Print this message or the help of the given subcommand(s)

    Options:
          --config <FILE>  The configuration file [default: /etc/cis490/receiver.toml]
          --check-config   Check the configuration and the files it names, print the result and all values, and exit
          --color <WHEN>   Colour the output; `auto` follows NO_COLOR, CLICOLOR_FORCE and TERM=dumb [default: auto] [possible values: auto, always, never]
      -q, --quiet...       Log less: warnings only; twice: errors only; takes precedence over RUST_LOG
      -v, --verbose...     Log more: debugging; twice: everything; takes precedence over RUST_LOG
      -h, --help           Print help
      -V, --version        Print version
    ");
}
