//! receiver.toml: accepted configurations, and the explanations of mistakes.

use std::path::Path;

use cis490_receiver::config::{Listen, ReceiverConfig};
use cis490_shared::config_file::parse;

fn error_of(text: &str) -> String {
    parse::<ReceiverConfig>(text, Path::new("receiver.toml")).unwrap_err().to_string()
}

#[test]
fn the_shipped_example_is_the_default_configuration() {
    let example: ReceiverConfig = cis490_shared::config_file::load(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../etc/receiver.toml"
    )))
    .unwrap();
    let minimal = "[version_gate]\nrepo_path = \"/home/max/cis490\"\n";
    let minimal: ReceiverConfig = parse(minimal, Path::new("receiver.toml")).unwrap();
    assert_eq!(format!("{example:?}"), format!("{minimal:?}"));
}

#[test]
fn unix_sockets_and_loopback_are_listened_on() {
    let text = "[server]\nlisten = [\"unix:/run/cis490/receiver.sock\", \"[::1]:1\"]\n\
                [version_gate]\nenabled = false\n";
    let config: ReceiverConfig = parse(text, Path::new("x")).unwrap();
    let listeners = config.server.listeners().unwrap();
    assert_eq!(listeners[0], Listen::Unix("/run/cis490/receiver.sock".into()));
    assert_eq!(listeners[1], Listen::Tcp("[::1]:1".parse().unwrap()));
}

#[test]
fn mistakes_name_the_key_the_reason_and_what_to_write() {
    let gate = "[version_gate]\nenabled = false\n";
    let errors = [
        "[server]\nlisen = []\n".to_owned(),
        format!("[server]\nlisten = [\"collector:80\"]\n{gate}"),
        format!("[server]\nlisten = [\"0.0.0.0:8444\"]\n{gate}"),
        format!("[server]\nlisten = [\"unix:run/x\"]\n{gate}"),
        format!("[server]\nmax_concurrent_uploads = 0\n{gate}"),
        String::new(),
        "[version_gate]\nrepo_path = \"/x\"\nref = \"main\"\n".to_owned(),
        "[version_gate]\nrepo_path = \"/x\"\nwindow = 0\n".to_owned(),
        "[version_gate]\nrepo_path = \"/x\"\npoll_interval_s = 9223372036854775807\n".to_owned(),
        format!("[store]\nindex = \"/var/lib/cis490/episodes/index.jsonl\"\n{gate}"),
        "[version_gate]\nwindow = \"many\"\n".to_owned(),
        format!("[server]\ntls = {{ cert_file = \"x\", key_file = \"/y\" }}\n{gate}"),
        format!("[auth]\nclient_ca_file = \"/x\"\n{gate}"),
        format!("[server]\ntls = {{ cert_file = \"/x\", key_file = \"/y\" }}\n[auth]\nclient_crl_file = \"/z\"\n{gate}"),
    ]
    .map(|text| error_of(&text));
    insta::assert_snapshot!(errors.join("\n"), @r#"
    `receiver.toml`, line 2: unknown key `lisen`, did you mean `listen`?
    `receiver.toml`: `server.listen` has `collector:80`, it must be `ADDRESS:PORT` such as `127.0.0.1:8444`, or `unix:/PATH`
    `receiver.toml`: `server.listen` has `0.0.0.0:8444`, where anybody could upload: say in `[auth]` who may, listen on loopback or a Unix socket, or set `allow_unauthenticated = true`
    `receiver.toml`: `server.listen` has `unix:run/x`, a Unix socket needs an absolute path: `unix:/run/...`
    `receiver.toml`: `server.max_concurrent_uploads` is 0, at least 1 is needed
    `receiver.toml`: `version_gate.repo_path` is ``, an absolute path is needed
    `receiver.toml`: `version_gate.ref` is `main`, it must be `HEAD` or a full name such as `refs/heads/main`
    `receiver.toml`: `version_gate.window` is 0, at least 1 is needed
    `receiver.toml`: `version_gate.poll_interval_s` is 9223372036854775807, it must be 1 to 86400
    `receiver.toml`: `store.index` must be a `.jsonl` file outside `store.episodes_root`
    `receiver.toml`, line 2: `window` is the text "many", and must be a whole number from 0 on
    `receiver.toml`: `server.tls.cert_file` is `x`, an absolute path is needed
    `receiver.toml`: `auth.client_ca_file` needs `[server.tls]`: only over TLS can a client show a certificate
    `receiver.toml`: `auth.client_crl_file` needs `auth.client_ca_file`, because it revokes certificates of those authorities
    "#);
}

#[test]
fn open_addresses_are_listened_on_only_when_that_is_said() {
    let text = "[server]\nlisten = [\"0.0.0.0:0\"]\nallow_unauthenticated = true\n\
                [version_gate]\nenabled = false\n";
    parse::<ReceiverConfig>(text, Path::new("x")).unwrap();
}
