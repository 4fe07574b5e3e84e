//! Tests of bearer tokens between the real programs, from the command that makes a token to an accepted episode.

use std::fs;
use std::path::Path;

use cis490_shared::ids::CommitHash;
use integration_tests::binaries;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;

/// Makes a token as a maintainer does, and stores it as a lab host would. Returns the line for the host's
/// configuration.
fn token(sandbox: &Sandbox, dir: &Path, host: &str) -> String {
    let config = dir.join("token.toml");
    let text =
        format!("[auth]\ntokens_file = \"{}/tokens\"\n[version_gate]\nenabled = false\n", dir.display());
    fs::write(&config, text).unwrap();
    let mut command = sandbox.command(binaries::path("cis490-receiver"));
    let made = command.args(["token", "add", host, "--config"]).arg(&config).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = dir.join(format!("{host}.token"));
    fs::write(&path, made.stdout).unwrap();
    format!("token_file = \"{}\"", path.display())
}

#[test]
fn a_token_lets_in_its_own_host_and_no_other_and_a_refused_host_keeps_its_episodes() {
    let sandbox = Sandbox::new();
    let dir = sandbox.dir("secrets");
    let (own, other) = (token(&sandbox, &dir, "lab-1"), token(&sandbox, &dir, "lab-2"));
    let auth = format!("[auth]\ntokens_file = \"{}/tokens\"\n", dir.display());
    let mut receiver = Receiver::start(&sandbox, Options { server: auth, ..Options::open() });
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    Recording::new(1, &commit, 20_000).write_to(&lab_host.episodes());
    for (token, said) in [("", "unauthenticated"), (&other, "host-not-allowed")] {
        lab_host.configure_with(receiver.url(), token, "");
        let run = lab_host.once();
        assert_eq!(run.code, Some(75), "{}", run.log);
        assert_eq!(lab_host.run(&["--ping"]).code, Some(69), "{said}");
        assert_eq!((lab_host.names("episodes").len(), lab_host.names("quarantine").len()), (1, 0));
    }
    lab_host.configure_with(receiver.url(), &own, "");
    let ping = lab_host.run(&["--ping"]);
    assert_eq!(ping.code, Some(0), "{}", ping.log);
    let run = lab_host.once();
    assert_eq!(run.code, Some(0), "{}", run.log);
    assert_eq!(receiver.rows().len(), 1);
    assert_eq!(lab_host.names("shipped").len(), 1);
    let secret = fs::read_to_string(dir.join("lab-1.token")).unwrap();
    for log in [run.log, receiver.log()] {
        assert!(!log.contains(secret.trim()), "a token in a log");
    }
    receiver.stop();
}
