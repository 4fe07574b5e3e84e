//! `cis490-shipper --ping`, the real program: with a receiver, with other servers, and with no server.

use cis490_shared::wire::path;
use insta::assert_snapshot;

use crate::cli::{both, nobody, redact, url};
use crate::support::host::{COMMIT, Host};
use crate::support::program::{configure, run};
use crate::support::receiver::{Conn, Receiver, Request, gate, stores_everything};

#[test]
fn a_ping_proves_the_path_or_says_what_is_wrong_with_it() {
    let host = Host::new();
    let receiver = Receiver::start(stores_everything);
    let pong = run(&configure(&host, &url(&receiver)), &["--ping"]);
    assert_eq!(pong.code, Some(0));
    let line = redact(&host, &pong.stdout);
    assert!(
        line.starts_with("http://127.0.0.1:[PORT]: 200 in ")
            && line.contains(" ms, receiver 1, clock skew -"),
        "{line}"
    );
    assert!(
        line.ends_with("; gate open for 7 commits up to cdcdcdcdcdcd (window 100), read 2 s ago\n"),
        "{line}"
    );
    assert_eq!(
        (line.lines().count(), receiver.kinds()),
        (1, ["POST /v1/ping", "GET /v1/gate", "GET /v1/health"].map(str::to_owned).to_vec())
    );

    let earlier = Receiver::start(|request, conn| match request.method.as_str() {
        "POST" => conn.answer(200, "", r#"{"ok": true}"#),
        _ => conn.answer(404, "", r#"{"detail": "Not Found"}"#),
    });
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&earlier)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: answered 200, but not as a receiver does: a JSON object with `ok`
    help: check `receiver.url` and the proxies on the way; for a receiver of the earlier generation, set `receiver.accept_unproven_success` while it is in service
    ");
    let accepts = format!("{}\naccept_unproven_success = true", url(&earlier));
    let pong = run(&configure(&host, &accepts), &["--ping"]);
    assert!(
        pong.stdout.contains("earlier generation, clock skew unknown; its gate says nothing"),
        "{}",
        pong.stdout
    );
    let portal = Receiver::start(|_, conn| conn.answer(200, "", "<html><title>Sign in</title></html>"));
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&portal)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: answered 200, but not as a receiver does: a web page titled `Sign in`
    help: check `receiver.url` and the proxies on the way; for a receiver of the earlier generation, set `receiver.accept_unproven_success` while it is in service
    ");
    let redirect = Receiver::start(|_, conn| conn.answer(302, "location: https://portal.example/\r\n", ""));
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&redirect)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: answered 302: a redirect to `https://portal.example/`, which is not followed
    help: the answer is not that of a receiver of episodes: check `receiver.url` and the proxies on the way
    ");

    assert_snapshot!(both(&host, &run(&configure(&host, &nobody()), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: cannot connect: Connection refused (os error 111)
    help: check `receiver.url` and the network; on the collector: systemctl status cis490-receiver
    ");
    let stranger =
        Receiver::start(|_, conn| conn.answer(403, "", r#"{"detail": "lab-1 is not known here"}"#));
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&stranger)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: answered 403: lab-1 is not known here
    help: the receiver does not accept this host: check `host_id`
    ");
    let website = Receiver::start(|_, conn| conn.answer(404, "", "<html>"));
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&website)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: answered 404: a web page without a title
    help: check `receiver.url`: the answer is not that of a receiver of episodes
    ");
    let sick = Receiver::start(|_, conn| conn.answer(500, "", "{}"));
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&sick)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: answered 500: an empty JSON object
    help: the receiver, or a proxy before it, is in trouble: look at its log
    ");
}

#[test]
fn a_ping_says_what_would_be_refused_now() {
    let host = Host::new();
    for (name, commit) in [("e1", Some(COMMIT)), ("e2", Some(COMMIT)), ("e3", None), ("e4", Some("unknown"))]
    {
        host.record(name, commit);
    }
    let in_five_minutes = |request: &Request, conn: &mut Conn| match request.path.as_str() {
        path::PING => conn.answer(
            200,
            "",
            r#"{"status": "ok", "version": "1", "server_time": "2000-01-01T00:00:00+00:00"}"#,
        ),
        path::HEALTH => {
            conn.answer(503, "", r#"{"store": {"free_bytes": 5000000, "problem": "the disk is full"}}"#);
        }
        _ => conn.answer(200, "", &gate(&request.path, false)),
    };
    let receiver = Receiver::start(in_five_minutes);
    let told = run(&configure(&host, &url(&receiver)), &["--ping"]);
    assert_eq!(told.code, Some(0), "the path works");
    let (_, lines) = told.stdout.split_once('\n').unwrap();
    assert_snapshot!(lines, @r"
    commit abababababab: refused; waiting here: 2 episodes
    the receiver has 5.0 MB free
    ");
    let (warnings, clock) = told.stderr.rsplit_once("warning: the receiver's clock is ").unwrap();
    assert!(clock.contains("behind this host's; with a wrong clock, certificates"), "{clock}");
    assert_snapshot!(warnings, @r"
    warning: the gate refuses 2 episodes of commit abababababab; run on this host:
    git pull
    warning: 2 episodes in episodes/ without a valid `code_version.commit` in meta.json: an enabled gate refuses that; fix the recorder
    warning: the receiver's disk: the disk is full; on the collector: df -h
    ");
}

#[test]
fn a_refusal_speaks_of_what_this_host_shows_and_a_proxy_is_named() {
    let host = Host::new();
    let refuses = || {
        Receiver::start(|_, conn| {
            conn.answer(401, "", r#"{"error": "unauthenticated", "detail": "the token is not known"}"#);
        })
    };
    let token = host.root().join("token");
    std::fs::write(&token, "cis490-secret\n").unwrap();
    let receiver = refuses();
    let with_token = format!("{}\ntoken_file = \"{}\"", url(&receiver), token.display());
    let told = run(&configure(&host, &with_token), &["--ping"]);
    assert_eq!(told.code, Some(69));
    assert!(
        told.stderr.contains("cis490-receiver token add") && !told.stderr.contains("certificate"),
        "{}",
        told.stderr
    );
    let proxy = Receiver::start(|_, conn| {
        conn.answer(502, "server: nginx/1.22.1\r\n", "<html><title>502 Bad Gateway</title></html>");
    });
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&proxy)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: nginx answered 502: it cannot reach the receiver behind it
    help: on the collector, check `systemctl status cis490-receiver`, the error log of the proxy, and whether the proxy may connect: `ls -l /run/cis490/receiver.sock`
    ");
}
