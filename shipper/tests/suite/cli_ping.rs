//! `cis490-shipper --ping`, the real program: with a receiver, with other servers, and with no server.

use insta::assert_snapshot;

use crate::cli::{both, nobody, redact, url};
use crate::support::host::Host;
use crate::support::program::{configure, run};
use crate::support::receiver::{Receiver, stores_everything};

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
    assert!(line.ends_with("; gate open for 7 commits up to cdcdcdcdcdcd, read 2 s ago\n"), "{line}");
    assert_eq!(
        (line.lines().count(), receiver.kinds()),
        (1, vec!["POST /v1/ping".to_owned(), "GET /v1/gate".to_owned()])
    );

    let earlier = Receiver::start(|request, conn| match request.method.as_str() {
        "POST" => conn.answer(200, "", r#"{"ok": true}"#),
        _ => conn.answer(404, "", r#"{"detail": "Not Found"}"#),
    });
    assert_snapshot!(both(&host, &run(&configure(&host, &url(&earlier)), &["--ping"])), @r"
    exit 69
    error: `http://127.0.0.1:[PORT]`: answered 200, and no receiver says so: a JSON object with `ok`
    help: check `receiver.url` and the proxies on the way; one of the earlier generation cannot be told from others: set `receiver.accept_unproven_success` as long as it is in service
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
    error: `http://127.0.0.1:[PORT]`: answered 200, and no receiver says so: a web page titled `Sign in`
    help: check `receiver.url` and the proxies on the way; one of the earlier generation cannot be told from others: set `receiver.accept_unproven_success` as long as it is in service
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
    help: the receiver does not accept this host: check `host_id` and the certificate in [receiver]
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
