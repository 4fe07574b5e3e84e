//! `cis490-shipper status` as a program: beside a daemon, without one, and if it cannot read the data directory.

use std::fs::{self, File};
use std::time::Duration;

use cis490_shared::clock::{WallTime, system_time};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::host::{COMMIT, Host};
use crate::support::program::{Run, Service, configure, run};
use crate::support::receiver::{Receiver, stores_everything};

const NOBODY: &str = "url = \"http://127.0.0.1:1\"";

fn both(host: &Host, run: &Run) -> String {
    let text = format!("exit {}\n{}{}", run.code.unwrap(), run.stdout, run.stderr);
    text.replace(&host.root().display().to_string(), "[ROOT]")
}

fn json_of(run: &Run) -> Value {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn without_a_daemon_it_says_so_and_counts_for_itself() {
    let host = Host::new();
    let config = configure(&host, NOBODY);
    for name in ["e2", "e1"] {
        host.record(name, Some(COMMIT));
    }
    fs::create_dir(host.data().join("episodes/e0")).unwrap();
    fs::create_dir(host.data().join("quarantine/e9")).unwrap();
    let marker = File::options().write(true).open(host.data().join("episodes/e1/done.marker")).unwrap();
    marker.set_modified(system_time() - Duration::from_hours(73)).unwrap();
    let before = host.names("");
    assert_snapshot!(both(&host, &run(&config, &["status"])), @r"
    exit 0
    the shipper is not running, and has written no status here before
    help: systemctl status cis490-shipper

    lab-1 to http://127.0.0.1:1: not running
      backlog      3 in episodes/
      oldest       e1, finished 3 days ago
      quarantine   1 episode; see cis490-shipper quarantine list
    ");
    let seen = json_of(&run(&config, &["status", "--json"]));
    assert_eq!((&seen["running"], &seen["state"]), (&json!(false), &json!("stopped")));
    assert_eq!((&seen["backlog"]["in_episodes"], &seen["quarantined"]["total"]), (&json!(3), &json!(1)));
    assert_eq!(seen["oldest_unshipped"]["episode_id"], "e1", "what is still recorded is not waiting");
    assert_eq!(host.names(""), before, "a look creates nothing");
}

#[test]
fn where_it_cannot_look_it_names_the_file_the_reason_and_what_to_do() {
    let host = Host::new();
    let config = configure(&host, NOBODY);
    fs::create_dir(host.data().join("status.json")).unwrap();
    assert_snapshot!(both(&host, &run(&config, &["status"])), @r"
    exit 1
    error: cannot read `[ROOT]/data/status.json`: Is a directory (os error 21)
    help: look at its file system: `dmesg | tail`, `df -h` it
    ");
    fs::remove_dir_all(host.data()).unwrap();
    assert_snapshot!(both(&host, &run(&config, &["status", "--json"])), @r"
    exit 1
    error: cannot read `[ROOT]/data/episodes`: No such file or directory (os error 2)
    help: check `paths.data_root`; the shipper creates its contents at the first start: systemctl status cis490-shipper
    ");
}

#[test]
fn a_status_of_a_later_version_is_understood_as_far_as_it_is_known() {
    let host = Host::new();
    let config = configure(&host, NOBODY);
    let later = json!({
        "version": "9.0.0", "host_id": "lab-1", "url": "https://collector.wg", "state": "hovering",
        "updated_at": WallTime::now(), "wings": 2, "backlog": {"ready": 3, "dreaming": 1},
        "hold": {"cause": "moon", "reason": "it is full", "phase": 4},
    });
    fs::write(host.data().join("status.json"), later.to_string()).unwrap();
    let (_dirs, lock) = host.open();
    let text = run(&config, &["status"]);
    assert_snapshot!(both(&host, &text), @r"
    exit 0
    uploads are paused: it is full
    help: nothing is lost, and uploads are retried automatically; to test the whole path now: cis490-shipper --ping

    lab-1 to https://collector.wg: in a state of a later version
      backlog      3 ready
      shipped      nothing since the start
    ");
    let seen = json_of(&run(&config, &["status", "--json"]));
    assert_eq!((&seen["running"], &seen["backlog"]["ready"]), (&json!(true), &json!(3)));

    fs::write(host.data().join("status.json"), "{\"state\": \"shipp").unwrap();
    assert_snapshot!(both(&host, &run(&config, &["status"])), @r"
    exit 0
    a shipper works on this data directory, but the status file `[ROOT]/data/status.json` is damaged: EOF while parsing a string at line 1 column 16; episodes are not concerned
    help: a daemon writes it anew within half a minute, a `--once` run does not; if it stays so: systemctl status cis490-shipper

    lab-1 to http://127.0.0.1:1: no status
      backlog      0 in episodes/
    ");
    drop(lock);
    assert_snapshot!(both(&host, &run(&config, &["status"])), @r"
    exit 0
    the shipper is not running, and the status file `[ROOT]/data/status.json` is damaged: EOF while parsing a string at line 1 column 16; episodes are not concerned
    help: a start writes it anew: systemctl status cis490-shipper

    lab-1 to http://127.0.0.1:1: not running
      backlog      0 in episodes/
    ");
}

#[test]
fn what_cannot_be_shipped_is_counted_named_and_comes_first() {
    let host = Host::new();
    let config = configure(&host, NOBODY);
    for name in ["ep space", "ep;2", "ep.3", "ep+4"] {
        host.record(name, Some(COMMIT));
    }
    // An empty directory, a hidden one and a file are no waiting episodes.
    fs::create_dir(host.data().join("episodes/lost+found")).unwrap();
    host.record(".e6", Some(COMMIT));
    fs::write(host.data().join("episodes/ep 7"), "").unwrap();
    assert_snapshot!(both(&host, &run(&config, &["status"])), @r"
    exit 0
    the shipper is not running, and has written no status here before
    help: systemctl status cis490-shipper

    4 finished directories in episodes/ cannot be shipped: `ep space`, its name is no episode id: it holds ` `, only letters, digits, `_` and `-` are allowed; `ep+4`, its name is no episode id: it holds `+`, only letters, digits, `_` and `-` are allowed; `ep.3`, its name is no episode id: it holds `.`, only letters, digits, `_` and `-` are allowed; and 1 more
    help: run the recorder as the shipper's user, and name each directory by the `episode_id` in its meta.json; for these directories:

    sudo head -c 400 -- '[ROOT]/data/episodes/ep space'/meta.json
    sudo head -c 400 -- [ROOT]/data/episodes/ep+4/meta.json
    sudo head -c 400 -- [ROOT]/data/episodes/ep.3/meta.json

    lab-1 to http://127.0.0.1:1: not running
      backlog      0 in episodes/
    ");
    let seen = json_of(&run(&config, &["status", "--json"]));
    assert_eq!(
        (&seen["unshippable"]["count"], &seen["unshippable"]["first"][0]["name"]),
        (&json!(4), &json!("ep space"))
    );
    let (_dirs, lock) = host.open();
    let idle = json!({"state": "idle", "updated_at": WallTime::now(), "unshippable": seen["unshippable"]});
    fs::write(host.data().join("status.json"), idle.to_string()).unwrap();
    assert_snapshot!(both(&host, &run(&config, &["status"])), @r"
    exit 0
    4 finished directories in episodes/ cannot be shipped: `ep space`, its name is no episode id: it holds ` `, only letters, digits, `_` and `-` are allowed; `ep+4`, its name is no episode id: it holds `+`, only letters, digits, `_` and `-` are allowed; `ep.3`, its name is no episode id: it holds `.`, only letters, digits, `_` and `-` are allowed; and 1 more
    help: run the recorder as the shipper's user, and name each directory by the `episode_id` in its meta.json; for these directories:

    sudo head -c 400 -- '[ROOT]/data/episodes/ep space'/meta.json
    sudo head -c 400 -- [ROOT]/data/episodes/ep+4/meta.json
    sudo head -c 400 -- [ROOT]/data/episodes/ep.3/meta.json

     to : idle, everything is shipped or in quarantine except 4 finished directories
      shipped      nothing since the start
    ");
    drop(lock);
}

#[test]
fn a_restart_and_a_damaged_file_are_no_reason_to_forget_or_to_stop() {
    let host = Host::new();
    let receiver = Receiver::start(stores_everything);
    let config = configure(&host, &format!("url = \"{}\"", receiver.url()));
    let until = |is_so: &dyn Fn(&Value) -> bool| {
        let service = Service::start(&host, &config);
        while !is_so(&json_of(&run(&config, &["status", "--json"]))) {
            service.wait_for("WATCHDOG=1");
        }
        let text = run(&config, &["status"]).stdout;
        service.terminate();
        assert_eq!(service.wait().0, Some(0));
        text
    };
    host.record("e1", Some(COMMIT));
    until(&|seen| seen["last_success"]["episode_id"] == "e1");
    let restarted = until(&|seen| seen["state"] == "idle");
    assert!(
        restarted.contains("e1, ") && restarted.contains(", in an earlier run; nothing since the start"),
        "{restarted}"
    );
    fs::write(host.data().join("status.json"), "{").unwrap();
    let mended = until(&|seen| seen["state"] == "idle");
    assert!(mended.contains("shipped      nothing since the start"), "{mended}");
}

#[test]
fn a_daemon_is_told_of_in_one_line_in_full_and_after_its_end() {
    let host = Host::new();
    let receiver = Receiver::start(stores_everything);
    let config = configure(&host, &format!("url = \"{}\"", receiver.url()));
    let service = Service::start(&host, &config);
    service.wait_for("STATUS=idle: 0 episodes shipped since the start");
    host.record("e1", Some(COMMIT));
    service.wait_for("STATUS=idle: 1 episode shipped since the start");
    let running = || json_of(&run(&config, &["status", "--json"]));
    while running()["last_success"]["episode_id"] != "e1" {
        // The file is written right after the log line.
        service.wait_for("WATCHDOG=1");
    }
    let seen = running();
    assert_eq!(
        (&seen["running"], &seen["problem"], &seen["state"]),
        (&json!(true), &Value::Null, &json!("idle"))
    );
    let text = run(&config, &["status"]).stdout;
    assert!(text.contains("idle, every finished episode") && text.contains("shipped      e1, "), "{text}");
    service.terminate();
    assert_eq!(service.wait().0, Some(0));
    let after = run(&config, &["status"]).stdout;
    assert!(
        after.starts_with("the shipper is not running since 20") && after.contains("help: systemctl status"),
        "{after}"
    );
    assert_eq!(json_of(&run(&config, &["status", "--json"]))["state"], "stopped");
}
