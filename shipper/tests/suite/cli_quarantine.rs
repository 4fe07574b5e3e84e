//! `cis490-shipper quarantine`, as a person runs it.

use std::fs;
use std::path::PathBuf;

use crate::support::host::{COMMIT, Host};
use crate::support::program::{Service, configure, run};
use crate::support::receiver::{Receiver, gate, stores_everything};

/// Returns a host with two episodes of a refused commit and a broken one, all in quarantine.
fn refused() -> (Host, PathBuf, Receiver) {
    let host = Host::new();
    host.record("e1", Some(COMMIT));
    host.record("e2", Some(COMMIT));
    host.record_with_meta("e3", "");
    let receiver = Receiver::start(|request, conn| match request.method.as_str() {
        "GET" => conn.answer(200, "", &gate(&request.path, false)),
        _ => stores_everything(request, conn),
    });
    let config = configure(&host, &format!("url = \"{}\"", receiver.url()));
    assert_eq!(run(&config, &["--once"]).code, Some(65));
    assert_eq!(host.names("quarantine"), ["e1", "e2", "e3"]);
    (host, config, receiver)
}

#[test]
fn the_list_says_what_waits_for_what() {
    let (host, config, _receiver) = refused();
    fs::create_dir(host.data().join("quarantine/e4")).unwrap();
    let list = run(&config, &["quarantine", "list"]);
    let lines: Vec<Vec<&str>> = list.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["EPISODE", "REFUSED", "STATUS", "ERROR", "COMMIT"]);
    assert_eq!((lines[1][0], &lines[1][3..]), ("e1", &["412", "commit-not-in-window", &COMMIT[..12]][..]));
    assert_eq!((lines[3][0], &lines[3][3..]), ("e3", &["-", "local-bad-meta", "-"][..]));
    assert_eq!(lines[4].join(" "), "e4 - - no note that can be read -");
    let summary = "4 in quarantine; 2 of them return by themselves once the gate admits their commit";
    assert_eq!((list.code, lines[5].join(" ").as_str()), (Some(0), summary));

    let list = run(&config, &["quarantine", "list", "--json"]);
    let lines: Vec<serde_json::Value> =
        list.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!((&lines[0]["name"], &lines[0]["awaits_commit"]), (&"e1".into(), &true.into()));
    assert_eq!(lines[0]["remediation"], host.reason("e1")["remediation"]);
    assert_eq!((&lines[2]["status"], &lines[2]["awaits_commit"]), (&serde_json::Value::Null, &false.into()));
}

#[test]
fn what_is_named_goes_back_and_what_is_not_there_is_named() {
    let (host, config, _receiver) = refused();
    let unknown = run(&config, &["quarantine", "release", "e1", "e9"]);
    assert_eq!(unknown.code, Some(1));
    assert_eq!(
        unknown.stderr,
        "error: not in quarantine: e9; nothing was released\nhelp: cis490-shipper quarantine list\n"
    );
    assert_eq!(host.names("quarantine").len(), 3);
    assert_eq!(run(&config, &["quarantine", "release"]).code, Some(2), "neither a name nor --all");

    let released = run(&config, &["quarantine", "release", "e1"]);
    assert_eq!(released.code, Some(0), "{}", released.stderr);
    assert!(released.stdout.starts_with("1 released"), "{}", released.stdout);
    assert_eq!((host.names("episodes"), host.names("quarantine").len()), (vec!["e1".to_owned()], 2));

    fs::create_dir(host.data().join("episodes/e2")).unwrap();
    let stays = run(&config, &["quarantine", "release", "--all"]);
    assert_eq!(stays.code, Some(1));
    assert!(stays.stderr.contains("1 released; `e2` and perhaps others stay"), "{}", stays.stderr);
    assert!(
        stays.stderr.contains("help: compare it with the episode of the same id in episodes/"),
        "{}",
        stays.stderr
    );
    assert_eq!(host.names("episodes"), ["e1", "e2", "e3"]);
    assert_eq!(host.names("quarantine"), ["e2"]);
}

#[test]
fn a_release_beside_the_running_shipper_is_sent_by_it() {
    let (host, _, _) = refused();
    let receiver = Receiver::start(stores_everything);
    // The gate now admits the commit, so the two episodes that wait for it go back by themselves. The third is released
    // by hand.
    let config = configure(&host, &format!("url = \"{}\"", receiver.url()));
    let meta = r#"{"episode_id": "e3", "schema_version": 1}"#;
    fs::write(host.data().join("quarantine/e3/meta.json"), meta).unwrap();
    let daemon = Service::start(&host, &config);
    daemon.wait_for("READY=1");
    let released = run(&config, &["quarantine", "release", "e3"]);
    assert_eq!(released.code, Some(0), "{}", released.stderr);
    while host.names("shipped") != ["e1", "e2", "e3"] {
        std::thread::yield_now();
    }
    daemon.terminate();
    assert_eq!(daemon.wait().0, Some(0));
    let list = run(&config, &["quarantine", "list"]);
    assert_eq!((list.code, list.stdout.as_str()), (Some(0), "nothing is in quarantine\n"));
}
