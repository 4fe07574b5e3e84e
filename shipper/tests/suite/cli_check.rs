//! `cis490-shipper --check-config`: the values in force, their origin, and the state of the directories.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use crate::cli::redact;
use crate::support::host::Host;
use crate::support::program::{configure, run};
use crate::support::tls::Authority;

/// Returns the text without the parts that differ between machines: the user and the file systems.
fn shown(host: &Host, text: &str) -> String {
    let lines = redact(host, text);
    let lines = lines.lines().map(|line| match line.split_once("; ") {
        Some((place, _)) if line.ends_with(" free") => place.to_owned(),
        _ if line.starts_with("user: ") => "user: [USER]".to_owned(),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_configuration_that_can_be_used_is_shown_with_the_origin_of_every_value() {
    let host = Host::new();
    fs::remove_dir(host.data().join("shipped")).unwrap();
    let config = configure(&host, "url = \"https://collector.wg/\"");
    let checked = run(&config, &["--check-config"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    assert_snapshot!(shown(&host, &checked.stdout), @r#"
    configuration ok: [ROOT]/lab-host.toml
    host_id: lab-1
    data_root: [ROOT]/data
    receiver: https://collector.wg
    rate limit: none
    queue: every 1 s, 2 at a time, level 3, quarantine kept 30 days
    retention: shipped ones kept, the oldest deleted below 10 % free
    trusts: the authorities of this system
    token: none
    user: [USER]
    directories:
      [ROOT]/data: writable
      [ROOT]/data/episodes: writable
      [ROOT]/data/outbox: writable
      [ROOT]/data/shipped: will be made
      [ROOT]/data/quarantine: writable
      moves: renames, which take no time and no room
    values in force, and where each is from:
      file     host_id = "lab-1"
      file     paths.data_root = "[ROOT]/data"
      file     receiver.url = "https://collector.wg"
      default  receiver.ca_file = none
      default  receiver.client_cert_file = none
      default  receiver.client_key_file = none
      default  receiver.token_file = none
      default  receiver.accept_unproven_success = false
      file     queue.scan_interval_s = 1
      default  queue.parallel_uploads = 2
      default  queue.rate_limit = none
      default  queue.stall_timeout_s = 60
      default  queue.compression_level = 3
      default  queue.quarantine_keep_days = 30
      default  queue.quarantine_keep_commit_days = 0
      default  retention.shipped_keep_days = 0
      default  retention.free_percent = 10
    "#);
    assert!(fs::symlink_metadata(host.data().join("shipped")).is_err(), "it changes nothing");
}

#[test]
fn it_says_whose_the_certificate_is_and_who_may_read_the_secrets_but_not_what_they_are() {
    let host = Host::new();
    let authority = Authority::new("ours");
    let identity = authority.issue("lab-2");
    let write = |name: &str, text: &str, mode: u32| {
        let path = host.root().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let text = format!(
        "url = \"https://collector.wg\"\nca_file = \"{}\"\nclient_cert_file = \"{}\"\nclient_key_file = \"{}\"\ntoken_file = \"{}\"",
        write("ca.pem", &authority.pem, 0o644),
        write("cert.pem", &identity.cert_pem, 0o644),
        write("key.pem", &identity.key_pem, 0o600),
        write("token", "cis490-secret\n", 0o644),
    );
    let checked = run(&configure(&host, &text), &["--check-config"]);
    assert_eq!(checked.code, Some(0));
    let told = shown(&host, &checked.stdout);
    assert!(
        told.contains("certificate: of lab-2, but `host_id` is lab-1: the receiver refuses that, ends in "),
        "{told}"
    );
    assert!(told.contains("key: fits the certificate, [ROOT]/key.pem, mode 0600"), "{told}");
    assert!(!told.contains("cis490-secret") && !told.contains("PRIVATE"), "{told}");
    assert_snapshot!(redact(&host, &checked.stderr), @r"
    warning: `receiver.token_file` can be read by every user of this host: sudo chmod o-rwx [ROOT]/token
    ");
}

#[test]
fn what_is_in_the_way_of_a_directory_is_an_error() {
    let host = Host::new();
    fs::remove_dir(host.data().join("outbox")).unwrap();
    fs::write(host.data().join("outbox"), "").unwrap();
    let checked = run(&configure(&host, "url = \"http://10.0.0.1\""), &["--check-config"]);
    assert_eq!(checked.code, Some(1));
    assert_snapshot!(redact(&host, &checked.stderr), @r"
    error: `[ROOT]/data/outbox` is not a directory
    help: move it away
    ");
}
