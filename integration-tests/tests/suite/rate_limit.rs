//! Tests of a lab host that sends at the lowest rate limit. A slow upload does not count as stalled, and a terminal
//! shows progress bars.

use std::time::{Duration, Instant};

use cis490_shared::ids::CommitHash;
use integration_tests::episodes::Recording;
use integration_tests::process::Process;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;
use integration_tests::until::PATIENCE;

/// The lowest limit for two uploads at a time, in bytes a second.
const RATE: u64 = 16 * 1024;
const LOWEST: &str = r#"rate_limit = "16KiB/s""#;

/// Starts a receiver with shorter limits than any real one, so that an upload that it took for stalled would fail
/// within seconds.
fn impatient(sandbox: &Sandbox) -> Receiver<'_> {
    let server = "body_idle_timeout_s = 2\nmin_upload_rate = 4096\n".to_owned();
    Receiver::start(sandbox, Options { server, ..Options::open() })
}

/// Records two episodes that hardly compress, and returns the minimum size of their archives together, in bytes.
fn two_captures(lab_host: &LabHost<'_>) -> u64 {
    let commit = CommitHash::parse(&"ce".repeat(20)).unwrap();
    for seed in [1, 2] {
        let recording = Recording { capture_percent: 100, ..Recording::new(seed, &commit, 32_000) };
        recording.write_to(&lab_host.episodes());
    }
    2 * 30_000
}

#[test]
fn uploads_at_the_lowest_rate_share_it_and_are_not_taken_for_stalled() {
    let sandbox = Sandbox::new();
    let receiver = impatient(&sandbox);
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    lab_host.configure(receiver.url(), LOWEST);
    let bytes = two_captures(&lab_host);
    let begin = Instant::now();
    let run = lab_host.once();
    let took = begin.elapsed();
    assert_eq!(run.code, Some(0), "{}", run.log);
    assert_eq!(receiver.rows().len(), 2);
    // Without the bytes that are sent at once, which are a part or two.
    let least = Duration::from_millis((bytes - 2 * 8 * 1024) * 1000 / RATE);
    assert!(took >= least, "{took:?}, not {least:?}");
    assert!(!run.log.contains("WARN") && !run.log.contains("tried again"), "{}", run.log);
    assert!(!run.log.contains('\r') && !run.log.contains("[="), "no bars without a terminal: {}", run.log);
}

#[test]
fn a_single_pass_on_a_terminal_shows_a_bar_for_each_upload_and_the_log_does_not_tear_them() {
    let sandbox = Sandbox::new();
    let receiver = impatient(&sandbox);
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    lab_host.configure(receiver.url(), LOWEST);
    two_captures(&lab_host);
    let names = lab_host.names("episodes");
    let mut process = Process::start(&sandbox, "terminal", on_a_terminal(&sandbox, &lab_host));
    let status = process.wait_at_most(PATIENCE);
    let screen = process.log();
    assert_eq!(status.code(), Some(0), "{screen}");
    for name in &names {
        // After a bar that fills its line, the next one follows without a movement of the cursor.
        let bar = format!("{name} [");
        let bars: Vec<_> = frames(&screen).filter(|line| line.contains(&bar)).collect();
        assert!(bars.len() > 3, "a bar that moves: {screen:?}");
        assert!(bars.iter().any(|bar| bar.contains("KiB/s") && bar.contains('>')), "{bars:?}");
    }
    let logged: Vec<_> = frames(&screen).filter(|line| line.contains("INFO")).collect();
    assert_eq!(logged.iter().filter(|line| line.contains("episode shipped")).count(), 2, "{screen:?}");
    assert!(logged.iter().all(|line| !line.contains('[') && line.starts_with("20")), "{logged:?}");
    let (_, after) = screen.rsplit_once("B/s ").unwrap();
    assert!(after.contains("\u{1b}[2K"), "the last bar is taken away: {after:?}");
}

fn on_a_terminal(sandbox: &Sandbox, lab_host: &LabHost<'_>) -> std::process::Command {
    let shipper = lab_host.command(&["--once"]);
    let words = std::iter::once(shipper.get_program()).chain(shipper.get_args());
    let line: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut command = sandbox.command("script");
    command.args(["--quiet", "--return", "--command"]).arg(format!("stty cols 120; {}", line.join(" ")));
    command.arg("/dev/null").env("TERM", "xterm");
    command
}

/// Returns the texts between two movements of the cursor, without colours and blank texts.
fn frames(screen: &str) -> impl Iterator<Item = String> {
    let mut plain = String::new();
    let mut rest = screen;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |end| end + 1);
        if !after[..end].ends_with('m') {
            plain.push('\n');
        }
        rest = &after[end..];
    }
    plain.push_str(rest);
    let lines: Vec<String> = plain.split(['\r', '\n']).map(|line| line.trim().to_owned()).collect();
    lines.into_iter().filter(|line| !line.is_empty())
}
