//! The real program: its exit codes, its output, TLS, and its life as a service.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::mpsc;

use insta::assert_snapshot;

use crate::support::host::{COMMIT, Host};
use crate::support::program::{Run, Service, command, configure, finish, run};
use crate::support::receiver::{Receiver, gate, stores_everything};
use crate::support::tls::{Authority, server};

pub fn url(receiver: &Receiver) -> String {
    format!("url = \"{}\"", receiver.url())
}

/// Returns a URL at which nothing listens.
pub fn nobody() -> String {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    format!("url = \"http://{}\"", unused.local_addr().unwrap())
}

/// Replaces the parts that differ from run to run.
pub fn redact(host: &Host, text: &str) -> String {
    let text = text.replace(&host.root().display().to_string(), "[ROOT]");
    let mut redacted = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("127.0.0.1:") {
        redacted.push_str(before);
        redacted.push_str("127.0.0.1:[PORT]");
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    redacted + rest
}

pub fn both(host: &Host, run: &Run) -> String {
    redact(host, &format!("exit {}\n{}{}", run.code.unwrap(), run.stdout, run.stderr))
}

#[test]
fn once_ships_everything_and_ends_with_0() {
    let host = Host::new();
    for n in 0..20 {
        host.record(&format!("e{n:02}"), Some(COMMIT));
    }
    let receiver = Receiver::start(stores_everything);
    let config = configure(&host, &url(&receiver));
    let first = run(&config, &["--once"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!((host.names("shipped").len(), host.names("outbox").len()), (20, 0));
    assert_eq!(first.stderr.matches("episode shipped").count(), 20);
    let second = run(&config, &["--once"]);
    assert_eq!((second.code, second.stderr.matches("episode shipped").count()), (Some(0), 0));
}

#[test]
fn once_ends_with_65_where_something_was_refused_and_with_75_where_something_is_left() {
    let host = Host::new();
    host.record("e1", Some(COMMIT));
    host.record_with_meta("e2", "");
    let receiver = Receiver::start(|request, conn| match request.method.as_str() {
        "GET" => conn.answer(200, "", &gate(&request.path, false)),
        _ => stores_everything(request, conn),
    });
    let refused = run(&configure(&host, &url(&receiver)), &["--once"]);
    assert_eq!(refused.code, Some(65), "{}", refused.stderr);
    assert_eq!(host.names("quarantine"), ["e1", "e2"]);
    assert_eq!(
        (&host.reason("e1")["status"], &host.reason("e2")["status"]),
        (&412.into(), &serde_json::Value::Null)
    );
    assert_eq!(refused.stderr.matches("git pull").count(), 1);
    assert_eq!(run(&configure(&host, &url(&receiver)), &["--once"]).code, Some(0), "nothing is left to do");

    let unreachable = configure(&host, &nobody());
    host.record("e3", Some(COMMIT));
    let left = run(&unreachable, &["--once"]);
    assert_eq!(left.code, Some(75), "{}", left.stderr);
    assert_eq!(host.names("episodes"), ["e3"]);
    assert_eq!(left.stderr.matches("receiver unreachable").count(), 1);

    // Nothing waits for the gate any more. So e3 finds out whether the receiver is there, and e0 is inspected before
    // it.
    fs::remove_dir_all(host.data().join("quarantine/e1")).unwrap();
    host.record_with_meta("e0", "{}");
    assert_eq!(run(&unreachable, &["--once"]).code, Some(75), "what must be tried again wins");
    assert_eq!((host.names("episodes"), host.names("quarantine").len()), (vec!["e3".to_owned()], 2));
}

#[test]
fn incident_09_a_configuration_that_cannot_be_used_ends_with_78_whatever_was_asked_for() {
    let host = Host::new();
    let config = configure(&host, &nobody());
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("lab-1", "REPLACE_ME")).unwrap();
    for flags in [&[][..], &["--once"], &["--ping"], &["--check-config"]] {
        assert_eq!(run(&config, flags).code, Some(78), "{flags:?}");
    }
    assert_snapshot!(both(&host, &run(&config, &[])), @r"
    exit 78
    error: `[ROOT]/lab-host.toml`: `host_id` still says `REPLACE_ME`: give this lab host a name that no other one has
    help: edit it, then: cis490-shipper --check-config --config [ROOT]/lab-host.toml
    ");
    fs::write(&config, text.replace("scan_interval_s", "scan_intervall_s")).unwrap();
    assert_snapshot!(both(&host, &run(&config, &["--once"])), @r"
    exit 78
    error: `[ROOT]/lab-host.toml`, line 7: unknown key `scan_intervall_s`, did you mean `scan_interval_s`?
    help: edit it, then: cis490-shipper --check-config --config [ROOT]/lab-host.toml
    ");
    let config = configure(&host, "url = \"https://collector.wg\"\nca_file = \"/nonexistent/ca.pem\"");
    for flags in [&[][..], &["--once"], &["--ping"], &["--check-config"]] {
        assert_eq!(run(&config, flags).code, Some(78), "{flags:?}");
    }
    assert_snapshot!(both(&host, &run(&config, &["--check-config"])), @r"
    exit 78
    error: `receiver.ca_file`: cannot read `/nonexistent/ca.pem`: No such file or directory (os error 2)
    help: edit it, then: cis490-shipper --check-config --config [ROOT]/lab-host.toml
    ");
    let config = configure(&host, "url = \"https://collector.wg\"\nca_file = \"/dev/null\"");
    assert_snapshot!(both(&host, &run(&config, &["--check-config"])), @r"
    exit 78
    error: `receiver.ca_file`: cannot read `/dev/null`: it is not a regular file
    help: edit it, then: cis490-shipper --check-config --config [ROOT]/lab-host.toml
    ");
}

#[test]
fn the_rate_limit_is_shown_with_what_holds_now_and_goes_by_utc_where_the_zone_is_unknown() {
    let host = Host::new();
    let config = configure(&host, "url = \"https://collector.wg\"");
    let limit = r#"rate_limit = ["16KiB/s", "mon-sun 00:00-24:00 2MiB/s"]"#;
    fs::write(&config, format!("{}{limit}\n", fs::read_to_string(&config).unwrap())).unwrap();
    let line_in = |zone: &str| {
        let shown = finish(command(&config, &["--check-config"]).env("TZ", zone));
        assert_eq!(shown.code, Some(0));
        shown.stdout.lines().find(|line| line.starts_with("rate limit: ")).unwrap().to_owned()
    };
    let known = line_in("UTC");
    assert!(known.starts_with("rate limit: 16KiB/s, mon-sun 00:00-24:00 2MiB/s; on "), "{known}");
    assert!(known.ends_with(" UTC: mon-sun 00:00-24:00 2MiB/s"), "{known}");
    let unknown = line_in("Nowhere/City");
    let note = " UTC: mon-sun 00:00-24:00 2MiB/s; the time zone of this host is unknown (";
    assert!(unknown.contains(note) && unknown.contains("install tzdata"), "{unknown}");
    let warns = |zone: &str| {
        let log = finish(command(&config, &["--once"]).env("TZ", zone)).stderr;
        log.matches("rate limit hours are interpreted as utc").count()
    };
    assert_eq!((warns("Nowhere/City"), warns("UTC")), (1, 0));
}

#[test]
fn a_second_shipper_on_the_same_data_is_sent_away() {
    let host = Host::new();
    let (_dirs, _lock) = host.open();
    let config = configure(&host, &nobody());
    assert_snapshot!(both(&host, &run(&config, &["--once"])), @r"
    exit 1
    error: `[ROOT]/data/.shipper.lock` is locked: another shipper works on this data directory
    help: stop the other shipper: `systemctl stop cis490-shipper`
    ");
    assert_eq!(run(&config, &[]).code, Some(1));
    assert_eq!(run(&config, &["--check-config"]).code, Some(0), "looking is always allowed");
}

#[test]
fn flags_are_explained_and_checked() {
    let host = Host::new();
    let config = configure(&host, &nobody());
    assert_snapshot!(both(&host, &run(&config, &["--help"])), @r"
    exit 0
    Ships finished episodes of this lab host to the collector

    Usage: cis490-shipper [OPTIONS] [COMMAND]

    Commands:
      quarantine  List refused episodes, or send them again
      status      Show backlog, upload rate and current problem; exit with 0 even for a problem, with 1 if they cannot be read
      help        Print this message or the help of the given subcommand(s)

    Options:
          --config <FILE>  The configuration file [default: /etc/cis490/lab-host.toml]
          --color <WHEN>   Colour the output; `auto` follows NO_COLOR, CLICOLOR_FORCE and TERM=dumb [default: auto] [possible values: auto, always, never]
      -q, --quiet...       Log less: warnings only; twice: errors only; takes precedence over RUST_LOG
      -v, --verbose...     Log more: debugging; twice: everything; takes precedence over RUST_LOG
          --once           Ship all episodes that can be shipped now, then exit: 0 nothing left to do, 75 another run needed, 65 episodes refused
          --ping           Test the whole path to the receiver, ask its gate about the commits of waiting episodes, then exit: 0 or 69
          --check-config   Check the configuration, the files that it names and the directories, then exit: 0, 78, or 1 if the service could not use the directories
      -h, --help           Print help
      -V, --version        Print version
    ");
    assert_eq!(run(&config, &["--once", "--ping"]).code, Some(2));
    assert_eq!(run(&config, &["--twice"]).code, Some(2));
}

#[test]
fn tls_needs_an_authority_that_is_named_and_then_works_for_names_and_addresses() {
    let authority = Authority::new("ours");
    let host = Host::new();
    let ca = host.root().join("ca.pem");
    fs::write(&ca, &authority.pem).unwrap();
    let v4 = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut cases = vec![(v4(), "localhost", "localhost"), (v4(), "127.0.0.1", "127.0.0.1")];
    // A machine without IPv6 cannot show the third case.
    cases.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok().map(|v6| (v6, "::1", "[::1]")));
    for (number, (listener, certified, in_url)) in cases.into_iter().enumerate() {
        let receiver =
            Receiver::serve(listener, server(&authority.issue(certified), None), stores_everything);
        let https = format!("url = \"https://{in_url}:{}\"\nca_file = \"{}\"", receiver.port(), ca.display());
        host.record(&format!("e{number}"), Some(COMMIT));
        let shipped = run(&configure(&host, &https), &["--once"]);
        assert_eq!(shipped.code, Some(0), "{certified}: {}", shipped.stderr);
        assert_eq!(receiver.kinds(), [&format!("GET /v1/gate/{COMMIT}"), "PUT /v1/episodes"]);
        let host_header = format!("{in_url}:{}", receiver.port());
        assert_eq!(receiver.seen()[1].header("host"), Some(host_header.as_str()));
    }
    assert_eq!(host.names("episodes"), Vec::<String>::new());
}

#[test]
fn an_authority_that_nobody_named_is_an_error_that_names_the_key() {
    let host = Host::new();
    host.record("e1", Some(COMMIT));
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let ca = host.root().join("ca.pem");
    fs::write(&ca, &ours.pem).unwrap();
    let receiver = Receiver::start_with(server(&theirs.issue("127.0.0.1"), None), stores_everything);
    let https = format!("url = \"https://127.0.0.1:{}\"\nca_file = \"{}\"", receiver.port(), ca.display());
    let config = configure(&host, &https);
    assert_snapshot!(both(&host, &run(&config, &["--ping"])), @r"
    exit 69
    error: `https://127.0.0.1:[PORT]`: the receiver's certificate is not trusted: invalid peer certificate: UnknownIssuer; name its authority in `receiver.ca_file`
    help: set `receiver.ca_file` to the PEM file of the authority that issued the receiver's certificate
    ");
    fs::write(&ca, Authority::new("theirs").pem).unwrap();
    let made_anew = run(&config, &["--ping"]);
    assert!(
        made_anew.stderr.contains("BadSignature; name its authority in `receiver.ca_file`"),
        "{made_anew:?}"
    );
    fs::write(&ca, &ours.pem).unwrap();
    let once = run(&config, &["--once"]);
    assert_eq!((once.code, host.names("episodes")), (Some(75), vec!["e1".to_owned()]));
    assert!(once.stderr.contains("name its authority in `receiver.ca_file`"), "{}", once.stderr);

    // Without `ca_file` the system's authorities count, and none of them vouches for a test.
    let config = configure(&host, &format!("url = \"https://127.0.0.1:{}\"", receiver.port()));
    let ping = finish(command(&config, &["--ping"]).env("SSL_CERT_FILE", &ca));
    assert_eq!(ping.code, Some(69), "{}", ping.stderr);
    assert!(ping.stderr.contains("receiver.ca_file"), "{}", ping.stderr);
    let ping = finish(command(&config, &["--ping"]).env("SSL_CERT_FILE", "/dev/null"));
    assert_snapshot!(both(&host, &ping), @r"
    exit 78
    error: this system trusts no certificate authority: name the receiver's in `receiver.ca_file`
    help: edit it, then: cis490-shipper --check-config --config [ROOT]/lab-host.toml
    ");
}

#[test]
fn a_receiver_that_asks_for_a_certificate_is_shown_the_hosts() {
    let host = Host::new();
    let authority = Authority::new("ours");
    let (ca, cert, key) =
        (host.root().join("ca.pem"), host.root().join("cert.pem"), host.root().join("key.pem"));
    let identity = authority.issue("lab-1");
    fs::write(&ca, &authority.pem).unwrap();
    fs::write(&cert, &identity.cert_pem).unwrap();
    fs::write(&key, &identity.key_pem).unwrap();
    let receiver =
        Receiver::start_with(server(&authority.issue("127.0.0.1"), Some(&authority)), stores_everything);
    let anonymous =
        format!("url = \"https://127.0.0.1:{}\"\nca_file = \"{}\"", receiver.port(), ca.display());
    let refused = run(&configure(&host, &anonymous), &["--ping"]);
    assert_eq!(refused.code, Some(69));
    assert!(refused.stderr.contains("CertificateRequired"), "{}", refused.stderr);
    let known = format!(
        "{anonymous}\nclient_cert_file = \"{}\"\nclient_key_file = \"{}\"",
        cert.display(),
        key.display()
    );
    let config = configure(&host, &known);
    assert_eq!(run(&config, &["--ping"]).code, Some(0));
    let swapped = format!(
        "{anonymous}\nclient_cert_file = \"{}\"\nclient_key_file = \"{}\"",
        key.display(),
        cert.display()
    );
    let run = run(&configure(&host, &swapped), &["--check-config"]);
    assert_snapshot!(both(&host, &run), @r"
    exit 78
    error: `receiver.client_cert_file`: `[ROOT]/key.pem` holds no certificate in PEM form
    help: edit it, then: cis490-shipper --check-config --config [ROOT]/lab-host.toml
    ");
}

#[test]
fn incident_07_the_service_is_ready_feeds_its_watchdog_ships_and_stops_on_a_signal() {
    let host = Host::new();
    let receiver = Receiver::start(stores_everything);
    let service = Service::start(&host, &configure(&host, &url(&receiver)));
    service.wait_for("READY=1");
    service.wait_for("WATCHDOG=1");
    host.record("e1", Some(COMMIT));
    while host.names("shipped").is_empty() {
        // The watchdog is fed meanwhile, so this waits until it is.
        service.wait_for("WATCHDOG=1");
    }
    service.terminate();
    service.wait_for("STOPPING=1");
    let (code, log) = service.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("shipper ready") && log.contains("shipper stops"), "{log}");
}

#[test]
fn a_signal_drops_an_upload_that_does_not_end_and_its_archive_stays() {
    let host = Host::new();
    host.record("e1", Some(COMMIT));
    let (begun, has_begun) = mpsc::channel();
    let receiver = Receiver::start(move |request, conn| match request.method.as_str() {
        "PUT" => {
            conn.take_body(request);
            begun.send(()).unwrap();
            conn.count_until_closed();
        }
        _ => stores_everything(request, conn),
    });
    let service = Service::start(&host, &configure(&host, &url(&receiver)));
    has_begun.recv().unwrap();
    service.terminate();
    let (code, log) = service.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("uploads in flight are dropped"), "{log}");
    assert_eq!(
        (host.names("episodes"), host.names("outbox")),
        (vec!["e1".into()], vec!["e1.tar.zst".into()])
    );
}
