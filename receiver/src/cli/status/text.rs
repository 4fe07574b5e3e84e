//! The status for a person: first the problem with the next command, then a few lines.

use std::fmt::Write as _;
use std::io;

use cis490_shared::terminal::bytes;
use serde::Serialize;
use serde_json::Value;

use super::Report;
use crate::config::ReceiverConfig;

/// A problem and the next step.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    what: String,
    help: String,
}

impl Problem {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

const LOG: &str = "journalctl -u cis490-receiver -p warning -n 20";

/// Returns the worst problem of a receiver that is not well.
pub(super) fn problem(told: &Value, config: &ReceiverConfig) -> Problem {
    let text = |path: &str| told.pointer(path).and_then(Value::as_str);
    let count = |path: &str| told.pointer(path).and_then(Value::as_u64).filter(|count| *count > 0);
    let is = |path: &str, value: bool| told.pointer(path).and_then(Value::as_bool) == Some(value);
    let clone = text("/gate/problem").unwrap_or("not yet");
    let root = config.store.episodes_root.display();
    if is("/index/failing", true) {
        Problem::new("the index cannot be appended to", LOG)
    } else if let Some(problem) = text("/store/problem") {
        Problem::new(problem, format!("df -h {root}; df -i {root}; sudo dmesg | tail"))
    } else if is("/gate/ready", false) {
        Problem::new(format!("the maintainer's clone has never been read: {clone}"), LOG)
    } else if let Some(problem) = text("/gate/problem") {
        let what =
            format!("the maintainer's clone cannot be read: {problem}; the last window stays in force");
        Problem::new(what, LOG)
    } else if let Some(archives) = count("/store/unreadable") {
        Problem::new(format!("{archives} archives without a row cannot be read"), LOG)
    } else if let Some(findings) = count("/verify/findings") {
        let what = format!("cis490-verify has {findings} findings");
        Problem::new(what, "journalctl -u cis490-verify -n 50")
    } else if is("/verify/overdue", true) {
        let what = "cis490-verify has not ended a run for more than eight days";
        Problem::new(what, "systemctl status cis490-verify.timer cis490-verify.service")
    } else if is("/tls/expires_soon", true) {
        let ends = text("/tls/certificate_expires").map(day).unwrap_or_default();
        let what = format!("the receiver's certificate ends {ends}");
        Problem::new(what, "put a new one in place of `server.tls.cert_file` and its key")
    } else {
        Problem::new("the receiver does not say why", LOG)
    }
}

/// Returns the problem of a receiver that does not answer.
pub(super) fn silence(is_running: bool, error: &io::Error, config: &ReceiverConfig) -> Problem {
    let index = config.store.index.display();
    if !is_running {
        let what = format!("no receiver runs for `{index}`");
        return Problem::new(
            what,
            "sudo systemctl start cis490-receiver; journalctl -u cis490-receiver -n 20 says why it ended",
        );
    }
    let what =
        format!("a receiver runs for `{index}` and does not answer: it is starting, or stuck ({error})");
    Problem::new(what, "systemctl status cis490-receiver; journalctl -u cis490-receiver -n 20")
}

/// Returns the whole text, without the last newline.
pub(super) fn render(report: &Report) -> String {
    let mut lines = vec![report.status.clone()];
    if let Some(problem) = &report.problem {
        lines = vec![format!("{}: {}", report.status, problem.what), format!("help: {}", problem.help)];
    }
    let told = &report.told;
    let parts = [
        ("listening", listening(told)),
        ("gate", gate(told)),
        ("store", store(told)),
        ("uploads", uploads(told)),
        ("certificate", certificate(told)),
        ("verify", verify(told)),
        ("version", version(told)),
    ];
    let parts = parts.into_iter().filter_map(|(name, text)| Some(format!("  {name:<12} {}", text?)));
    lines.extend(parts);
    lines.join("\n")
}

fn listening(told: &Value) -> Option<String> {
    let urls: Vec<&str> = told.get("listening")?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(urls.join(", "))
}

fn gate(told: &Value) -> Option<String> {
    let gate = told.get("gate")?;
    if gate.get("enabled")?.as_bool() == Some(false) {
        return Some("off: episodes of any commit are collected".to_owned());
    }
    let Some(head) = gate.get("head_commit").and_then(Value::as_str) else {
        return Some("no window yet".to_owned());
    };
    let mut text = format!("head {}", head.get(..12).unwrap_or(head));
    if let Some(age) = gate.get("polled_s_ago").and_then(Value::as_f64) {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, ", read {} ago", span(age));
    }
    let _ = write!(text, ", {} commits in a window of {}", gate.get("commits")?, gate.get("window")?);
    Some(text)
}

fn store(told: &Value) -> Option<String> {
    let store = told.get("store")?;
    let free = store.get("free_bytes").and_then(Value::as_u64);
    let free = free.map_or("free space is not known".to_owned(), |free| format!("{} free", bytes(free)));
    let mut text = format!("{free}, {} rows", told.pointer("/index/rows")?);
    match store.get("last_stored").and_then(Value::as_str) {
        Some(moment) => _ = write!(text, ", last stored {}", second(moment)),
        None => text.push_str(", nothing stored since the start"),
    }
    if let Some(waiting) = store.get("without_row").and_then(Value::as_u64).filter(|count| *count > 0) {
        let _ = write!(text, ", {waiting} archives still to be indexed");
    }
    Some(text)
}

fn uploads(told: &Value) -> Option<String> {
    let uploads = told.get("uploads")?;
    let part = |name: &str| uploads.get(name);
    Some(format!("{} in flight of {} hosts, at most {}", part("in_flight")?, part("hosts")?, part("limit")?))
}

fn certificate(told: &Value) -> Option<String> {
    Some(format!("ends {}", day(told.pointer("/tls/certificate_expires")?.as_str()?)))
}

fn verify(told: &Value) -> Option<String> {
    let verify = told.get("verify")?;
    let ended = verify.get("ended").and_then(Value::as_str).map_or("no run has ended", second);
    Some(format!("{ended}, {} findings", verify.get("findings")?))
}

fn version(told: &Value) -> Option<String> {
    let seconds = u32::try_from(told.get("uptime_s")?.as_u64()?).unwrap_or(u32::MAX);
    let version = told.get("version")?.as_str()?;
    Some(format!("{version}, process {}, running for {}", told.get("pid")?, span(f64::from(seconds))))
}

/// Returns a moment without its fraction of a second.
fn second(moment: &str) -> &str {
    moment.split('.').next().unwrap_or(moment)
}

fn day(moment: &str) -> &str {
    moment.split('T').next().unwrap_or(moment)
}

/// Returns a span of time in its largest unit.
fn span(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn config() -> ReceiverConfig {
        cis490_shared::config_file::parse("[version_gate]\nenabled = false\n", Path::new("x")).unwrap()
    }

    fn well() -> Value {
        json!({
            "status": "ok", "listening": ["https://10.0.0.1:8444", "unix:/run/cis490/receiver.sock"], "pid": 7,
            "version": "0.1.0", "uptime_s": 200_000,
            "gate": {"enabled": true, "ready": true, "window": 100, "commits": 93, "polled_s_ago": 2.4,
                "head_commit": "abababababababababababababababababababab", "problem": null},
            "index": {"rows": 1234, "failing": false},
            "store": {"problem": null, "free_bytes": 1_500_000_000_000_u64, "without_row": 0, "unreadable": 0,
                "last_stored": "2026-12-01T12:00:00.000000+00:00"},
            "verify": {"ended": "2026-11-30T03:00:00.000000+00:00", "findings": 0, "overdue": false},
            "uploads": {"in_flight": 3, "hosts": 2, "limit": 64},
            "tls": {"certificate_expires": "2027-03-01T00:00:00.000000+00:00", "expires_soon": false},
        })
    }

    fn rendered(change: impl FnOnce(&mut Value)) -> String {
        let mut told = well();
        change(&mut told);
        render(&Report::of(told, &config()))
    }

    #[test]
    fn a_receiver_that_is_well_is_a_few_lines() {
        assert_snapshot!(rendered(|_| {}), @"
        ok
          listening    https://10.0.0.1:8444, unix:/run/cis490/receiver.sock
          gate         head abababababab, read 2 s ago, 93 commits in a window of 100
          store        1.5 TB free, 1234 rows, last stored 2026-12-01T12:00:00
          uploads      3 in flight of 2 hosts, at most 64
          certificate  ends 2027-03-01
          verify       2026-11-30T03:00:00, 0 findings
          version      0.1.0, process 7, running for 2 days
        ");
    }

    #[test]
    fn what_is_wrong_comes_first_with_the_next_command() {
        let cases: [(&str, &str, Value); 8] = [
            ("unavailable", "/index/failing", json!(true)),
            ("unavailable", "/store/problem", json!("the disk is full")),
            ("unavailable", "/gate/ready", json!(false)),
            ("degraded", "/gate/problem", json!("no-permission")),
            ("degraded", "/store/unreadable", json!(3)),
            ("degraded", "/verify/findings", json!(2)),
            ("degraded", "/verify/overdue", json!(true)),
            ("degraded", "/tls/expires_soon", json!(true)),
        ];
        let heads = cases.map(|(status, path, value)| {
            let text = rendered(|told| {
                told["status"] = json!(status);
                *told.pointer_mut(path).unwrap() = value;
            });
            text.lines().take(2).collect::<Vec<_>>().join("\n")
        });
        let denied = io::Error::from(io::ErrorKind::ConnectionRefused);
        let silent = [true, false].map(|is_running| {
            let problem = silence(is_running, &denied, &config());
            render(&Report::without_answer(is_running, problem))
        });
        assert_snapshot!([&heads[..], &silent].concat().join("\n"), @"
        unavailable: the index cannot be appended to
        help: journalctl -u cis490-receiver -p warning -n 20
        unavailable: the disk is full
        help: df -h /var/lib/cis490/episodes; df -i /var/lib/cis490/episodes; sudo dmesg | tail
        unavailable: the maintainer's clone has never been read: not yet
        help: journalctl -u cis490-receiver -p warning -n 20
        degraded: the maintainer's clone cannot be read: no-permission; the last window stays in force
        help: journalctl -u cis490-receiver -p warning -n 20
        degraded: 3 archives without a row cannot be read
        help: journalctl -u cis490-receiver -p warning -n 20
        degraded: cis490-verify has 2 findings
        help: journalctl -u cis490-verify -n 50
        degraded: cis490-verify has not ended a run for more than eight days
        help: systemctl status cis490-verify.timer cis490-verify.service
        degraded: the receiver's certificate ends 2027-03-01
        help: put a new one in place of `server.tls.cert_file` and its key
        unavailable: a receiver runs for `/var/lib/cis490/index.jsonl` and does not answer: it is starting, or stuck (connection refused)
        help: systemctl status cis490-receiver; journalctl -u cis490-receiver -n 20
        unavailable: no receiver runs for `/var/lib/cis490/index.jsonl`
        help: sudo systemctl start cis490-receiver; journalctl -u cis490-receiver -n 20 says why it ended
        ");
    }

    #[test]
    fn what_a_receiver_of_another_version_does_not_say_is_left_out() {
        assert_eq!(render(&Report::of(json!({"status": "ok"}), &config())), "ok");
        assert!(rendered(|told| *told = json!([])).starts_with("unavailable: "));
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!([1.4, 180.0, 7200.0, 900_000.0].map(span), ["1 s", "3 min", "2 h", "10 days"]);
    }
}
