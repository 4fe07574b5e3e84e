//! Tests of certificates that a few lines of openssl make and TLS cannot use. Each end reports whose certificate it is,
//! and what to make instead.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use integration_tests::binaries;
use integration_tests::certificates::Authority;
use integration_tests::process::Process;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::until::{PATIENCE, wait_until};

/// Options for an elliptic-curve key, which is quick to make.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const VERSION_1: &str = "it is of X.509 version 1: make it anew";
const AUTHORITY: &str = "it is the certificate of an authority, which can only sign others";

/// An authority `ca` made by openssl, and `leaf`, which it signed without any extension.
struct Openssl {
    dir: PathBuf,
}

impl Openssl {
    fn new(dir: PathBuf) -> Self {
        let made = Self { dir };
        made.run(
            &[
                &[
                    "req",
                    "-x509",
                    "-keyout",
                    "ca.key",
                    "-out",
                    "ca.pem",
                    "-subj",
                    "/CN=the lab",
                    "-days",
                    "30",
                ],
                &KEY[..],
            ]
            .concat(),
        );
        made.run(
            &[&["req", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=lab-1"], &KEY[..]].concat(),
        );
        made.run(&[
            "x509",
            "-req",
            "-in",
            "leaf.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "leaf.pem",
            "-days",
            "30",
        ]);
        made
    }

    fn run(&self, arguments: &[&str]) {
        let made = Command::new("openssl").args(arguments).current_dir(&self.dir).output().unwrap();
        assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Starts an openssl server that shows a certificate, and returns its URL too.
fn server(sandbox: &Sandbox, openssl: &Openssl, name: &str) -> (Process, String) {
    let mut command = sandbox.command("openssl");
    command.args(["s_server", "-www", "-accept", "127.0.0.1:0", "-cert"]);
    command.arg(openssl.file(&format!("{name}.pem"))).arg("-key").arg(openssl.file(&format!("{name}.key")));
    let process = Process::start(sandbox, "openssl", command);
    let port = wait_until("openssl says where it listens", PATIENCE, || {
        let log = process.log();
        let address = log.lines().find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:"))?;
        address.parse::<u16>().ok()
    });
    (process, format!("https://127.0.0.1:{port}"))
}

#[test]
fn a_host_is_told_why_the_certificate_of_the_receiver_cannot_be_used() {
    let sandbox = Sandbox::new();
    let openssl = Openssl::new(sandbox.dir("openssl"));
    for (name, remedy) in [("leaf", VERSION_1), ("ca", AUTHORITY)] {
        let (_server, url) = server(&sandbox, &openssl, name);
        let lab_host = LabHost::new(&sandbox, &format!("lab-{name}"), &url);
        lab_host.configure_with(&url, &format!("ca_file = {:?}", openssl.file("ca.pem")), "");
        let ping = lab_host.run(&["--ping"]);
        assert_ne!(ping.code, Some(0), "{}", ping.log);
        assert!(ping.log.contains("the receiver's certificate cannot be used"), "{}", ping.log);
        assert!(ping.log.contains(remedy), "{}", ping.log);
    }
}

#[test]
fn the_receiver_says_why_the_certificate_of_a_client_cannot_be_used() {
    let sandbox = Sandbox::new();
    let (openssl, authority) =
        (Openssl::new(sandbox.dir("openssl")), Authority::new(sandbox.dir("authority")));
    let own = authority.server("127.0.0.1");
    let server = format!(
        "tls = {{ cert_file = {:?}, key_file = {:?} }}\n[auth]\nclient_ca_file = {:?}\n",
        own.cert,
        own.key,
        openssl.file("ca.pem")
    );
    let receiver = Receiver::start(&sandbox, Options { server, ..Options::open() });
    for (name, remedy) in [("leaf", VERSION_1), ("ca", AUTHORITY)] {
        let mut curl = sandbox.command("curl");
        curl.arg("--silent").arg("--cacert").arg(authority.ca());
        curl.arg("--cert").arg(openssl.file(&format!("{name}.pem")));
        curl.arg("--key").arg(openssl.file(&format!("{name}.key")));
        let refused = curl.arg(format!("{}/v1/health", receiver.url())).output().unwrap();
        assert!(!refused.status.success(), "{refused:?}");
        wait_until("the receiver has said why", PATIENCE, || receiver.log().contains(remedy).then_some(()));
    }
}

#[test]
fn each_end_refuses_such_a_certificate_of_its_own_at_its_start() {
    let sandbox = Sandbox::new();
    let openssl = Openssl::new(sandbox.dir("openssl"));
    let [cert, key] = [openssl.file("leaf.pem"), openssl.file("leaf.key")];
    let lab_host = LabHost::new(&sandbox, "lab-1", "https://127.0.0.1:9");
    let tls = format!(
        "client_cert_file = {cert:?}\nclient_key_file = {key:?}\nca_file = {:?}",
        openssl.file("ca.pem")
    );
    lab_host.configure_with("https://127.0.0.1:9", &tls, "");
    let told = lab_host.run(&["--ping"]);
    let ours = "`receiver.client_cert_file` and `receiver.client_key_file` cannot be used: ";
    assert_eq!(told.code, Some(78), "{}", told.log);
    assert!(told.log.contains(&format!("{ours}{VERSION_1}")), "{}", told.log);

    let (config, state) = (sandbox.path().join("receiver.toml"), sandbox.dir("state"));
    let text = format!(
        r#"server = {{ listen = ["127.0.0.1:0"], tls = {{ cert_file = {cert:?}, key_file = {key:?} }} }}
store = {{ episodes_root = {:?}, index = {:?} }}
version_gate = {{ enabled = false, repo_path = "/nonexistent" }}
"#,
        state.join("episodes"),
        state.join("index.jsonl")
    );
    fs::write(&config, text).unwrap();
    let mut command = sandbox.command(binaries::path("cis490-receiver"));
    command.arg("--config").arg(&config);
    let mut receiver = Process::start(&sandbox, "receiver", command);
    assert_eq!(receiver.wait().code(), Some(78), "{}", receiver.log());
    let theirs = "`server.tls.cert_file` and `server.tls.key_file` cannot be used together: ";
    assert!(receiver.log().contains(&format!("{theirs}{VERSION_1}")), "{}", receiver.log());
}
