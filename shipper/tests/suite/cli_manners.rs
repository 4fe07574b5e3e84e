//! Properties of every command: exit codes, destinations of results and errors, colours, and the amount of logging.

use std::fs::{self, File};
use std::io::pipe;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::cli::{both, nobody};
use crate::support::host::{COMMIT, Host};
use crate::support::program::{Run, command, configure, finish, run};

/// One command line for everything that prints a result.
const PRINTING: [&[&str]; 8] = [
    &["--help"],
    &["--version"],
    &["quarantine", "--help"],
    &["status"],
    &["status", "--json"],
    &["quarantine", "list"],
    &["--check-config"],
    &["--unit-settings"],
];

/// One command line for everything that needs a configuration.
const CONFIGURED: [&[&str]; 9] = [
    &[],
    &["--once"],
    &["--ping"],
    &["--check-config"],
    &["--unit-settings"],
    &["status"],
    &["status", "--json"],
    &["quarantine", "list"],
    &["quarantine", "release", "--all"],
];

fn with_output(command: &mut Command, stdout: impl Into<Stdio>) -> Run {
    let output = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Run { code: output.status.code(), stdout: String::new(), stderr }
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error_unless_nobody_wants_it_any_more() {
    let host = Host::new();
    fs::create_dir(host.data().join("quarantine/e1")).unwrap();
    let config = configure(&host, &nobody());
    for flags in PRINTING {
        let (reader, closed) = pipe().unwrap();
        drop(reader);
        let unread = with_output(&mut command(&config, flags), closed);
        assert_eq!((unread.code, unread.stderr.as_str()), (Some(0), ""), "{flags:?}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let unprinted = with_output(&mut command(&config, flags), full);
        let told = "error: standard output cannot be written to: No space left on device (os error 28)\n";
        assert_eq!((unprinted.code, unprinted.stderr.as_str()), (Some(1), told), "{flags:?}");
    }
}

#[test]
fn every_exit_code_is_that_of_the_table() {
    let host = Host::new();
    let config = configure(&host, &nobody());
    let code = |flags: &[&str]| run(&config, flags).code.unwrap();
    for flags in PRINTING {
        assert_eq!(code(flags), 0, "{flags:?}");
    }
    let usage: [&[&str]; 6] = [
        &["--twice"],
        &["--once", "--ping"],
        &["--color", "loud"],
        &["quarantine"],
        &["quarantine", "release"],
        &["status", "e1"],
    ];
    for flags in usage {
        assert_eq!(code(flags), 2, "{flags:?}");
    }
    assert_eq!(finish(command(&config, &["--once"]).env("RUST_LOG", "loud")).code, Some(2));
    assert_eq!((code(&["--once"]), code(&["--ping"])), (0, 69), "nothing is to be sent, and nobody answers");
    host.record("e1", Some(COMMIT));
    assert_eq!(code(&["--once"]), 75);
    assert_eq!(code(&["quarantine", "release", "e9"]), 1);
    fs::remove_dir_all(host.data().join("quarantine")).unwrap();
    assert_eq!(code(&["quarantine", "list"]), 1);
    fs::remove_dir_all(host.data()).unwrap();
    assert_eq!((code(&["status"]), code(&["status", "--json"])), (1, 1));

    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("url =", "curl =")).unwrap();
    for flags in CONFIGURED {
        let unusable = run(&config, flags);
        assert_eq!((unusable.code, unusable.stdout.as_str()), (Some(78), ""), "{flags:?}");
        assert!(unusable.stderr.starts_with("error: `"), "{flags:?}: {}", unusable.stderr);
        assert!(unusable.stderr.contains("\nhelp: edit it, then: "), "{flags:?}: {}", unusable.stderr);
    }
}

#[test]
fn a_configuration_that_is_not_there_or_a_directory_is_not_to_be_edited() {
    let host = Host::new();
    assert_snapshot!(both(&host, &run(&host.root().join("gone.toml"), &["status"])), @r"
    exit 78
    error: cannot read `[ROOT]/gone.toml`: No such file or directory (os error 2)
    help: check the path after --config; the default is /etc/cis490/lab-host.toml
    ");
    assert_snapshot!(both(&host, &run(host.root(), &["--check-config"])), @r"
    exit 78
    error: cannot read `[ROOT]`: Is a directory (os error 21)
    help: it is a directory; name the file in it: --config [ROOT]/lab-host.toml
    ");
}

#[test]
fn colours_are_where_they_are_asked_for_and_never_in_json() {
    let host = Host::new();
    let config = configure(&host, &nobody());
    let coloured = |flags: &[&str], variable: Option<(&str, &str)>| {
        let run = finish(command(&config, flags).envs(variable));
        run.stdout.contains('\u{1b}') || run.stderr.contains('\u{1b}')
    };
    let force = Some(("CLICOLOR_FORCE", "1"));
    let always: [&[&str]; 4] = [
        &["--color", "always", "--help"],
        &["--color=always", "--twice"],
        &["status", "--color=always"],
        &["--color=always", "quarantine", "release", "e9"],
    ];
    for flags in always {
        assert!(coloured(flags, None), "{flags:?}");
        assert!(coloured(flags, Some(("NO_COLOR", "1"))), "{flags:?}: a flag wins over a variable");
    }
    let auto: [&[&str]; 4] = [&["--help"], &["--twice"], &["status"], &["quarantine", "release", "e9"]];
    for flags in auto {
        assert!(!coloured(flags, None), "{flags:?}: it is no terminal");
        assert!(coloured(flags, force), "{flags:?}");
        assert!(!coloured(&[&["--color=never"], flags].concat(), force), "{flags:?}");
    }
    assert!(!coloured(&["status", "--json", "--color=always"], None));
}

#[test]
fn flags_say_how_much_is_logged_and_win_over_the_variable() {
    let host = Host::new();
    let config = configure(&host, &nobody());
    let logged = |flags: &[&str]| {
        let run = finish(command(&config, &[&["--once"], flags].concat()).env("RUST_LOG", "info"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        (run.stderr.contains("INFO"), run.stderr.contains("DEBUG"))
    };
    assert_eq!(logged(&[]), (true, false));
    assert_eq!(logged(&["-q"]), (false, false));
    assert_eq!(logged(&["--quiet", "-v"]), (true, false));
    host.record_with_meta("e1", "");
    let run = run(&config, &["--once", "-v"]);
    assert!(run.stderr.contains("DEBUG"), "{}", run.stderr);
}
