//! A store with each kind of damage once, and the reports on it for people and for programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cis490_receiver::store::verified;
use insta::assert_snapshot;

use crate::verify::state::{State, age, row};

/// Creates a store with every kind of damage that a user other than root can cause.
fn zoo() -> State {
    let state = State::with_episodes(1);
    state.append("a line that is no row\n");
    state.append("{\"host_id\":\"h1\",\"episode_id\":\"unproven\",\"size_bytes\":8}\n\n");
    state.store("h1/unproven", "nameless");
    state.store("h1/no-row", "nobody knows me");
    state.append(&row("h1/gone", "I was here"));
    state.add("h1/flipped", "a bit was flipped");
    fs::write(state.archive("h1/flipped"), "a bit was flopped").unwrap();
    state.add("h1/short", "I was longer once");
    fs::write(state.archive("h1/short"), "I was longer").unwrap();
    state.add("h2/twice", "once is enough");
    state.append(&row("h2/twice", "once is enough"));
    state.append(&row("h2/twice", "once is not enough"));
    let incoming = state.path("episodes/.incoming");
    fs::create_dir(&incoming).unwrap();
    for (name, days) in [("old.partial", 2), ("young.partial", 0), ("README", 2)] {
        fs::write(incoming.join(name), "").unwrap();
        age(&incoming.join(name), Duration::from_hours(days * 24));
    }
    fs::write(state.path("episodes/h2/it's mine.txt"), "").unwrap();
    fs::write(state.path("episodes/h2/line\nbreak"), "").unwrap();
    state.append("{\"host_id\":\"h1\",\"epis");
    fs::set_permissions(state.path("index.jsonl"), fs::Permissions::from_mode(0o666)).unwrap();
    state
}

#[test]
fn people_read_every_finding_with_its_next_command() {
    assert_snapshot!(zoo().run(&["--settle", "0"]));
}

#[test]
fn programs_read_one_object_a_line_and_a_summary() {
    let told = zoo().run(&["--settle", "0", "--json"]);
    assert_snapshot!(told);
    let objects: Vec<serde_json::Value> = told
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (summary, findings) = objects.split_last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert!(findings.iter().all(|finding| finding["type"] == "finding"));
    assert!(findings.iter().all(|finding| !finding["next"].as_array().unwrap().is_empty()));
    let total = ["errors", "warnings", "notes"].map(|severity| summary[severity].as_u64().unwrap());
    assert_eq!(total.iter().sum::<u64>(), findings.len() as u64);
}

#[test]
fn names_and_sizes_alone_show_all_but_flipped_bits() {
    let state = zoo();
    let (all, cheap) = (state.run(&["--settle", "0"]), state.run(&["--settle", "0", "--no-hash"]));
    let findings = |told: &str| -> Vec<String> {
        let is_finding = |line: &&str| ["error: ", "warning: ", "note: "].iter().any(|s| line.starts_with(s));
        told.lines().filter(is_finding).map(str::to_owned).collect()
    };
    let missed: Vec<_> = findings(&all).into_iter().filter(|line| !cheap.contains(line.as_str())).collect();
    assert!(matches!(&missed[..], [line] if line.contains("h1/flipped")), "{missed:?}");
    assert_eq!(findings(&cheap).len() + 1, findings(&all).len());
}

#[test]
fn looking_changes_nothing() {
    let (state, elsewhere) = (zoo(), tempfile::tempdir().unwrap());
    let resume = elsewhere.path().join("resume.json");
    let before = state.listing();
    for flags in [&["--jobs", "3"][..], &["--json"], &["--no-hash"], &["--resume", resume.to_str().unwrap()]]
    {
        assert!(state.run(flags).starts_with("exit 3\n"));
        assert_eq!(state.listing(), before, "{flags:?}");
    }
}

#[test]
fn the_commands_repair_what_they_are_told_for() {
    let state = zoo();
    // Runs the commands of a finding that are for this machine, without `sudo`, because its user is missing here.
    let pasted = |finding: &str| {
        let told = state.run(&["--settle", "0", "--json"]);
        let value = told
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|value| value["finding"] == finding)
            .unwrap_or_else(|| panic!("no {finding} in {told}"));
        let lines = value["next"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
        let here = lines.filter(|line| !line.starts_with("ssh ")).collect::<Vec<_>>().join("\n");
        let here = here.replace("sudo -u cis490 ", "").replace("sudo ", "");
        let backfill = std::path::Path::new(env!("CARGO_BIN_EXE_cis490-index-backfill")).parent().unwrap();
        let path = format!("PATH={}:$PATH", backfill.display());
        let script = format!("{path}\n{}", here.replace("[STATE]", state.0.path().to_str().unwrap()));
        let output = std::process::Command::new("bash").args(["-ec", &script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    };
    for finding in ["wrong-mode", "archive-without-row", "left-over", "hash-differs", "size-differs"] {
        pasted(finding);
    }
    // With copies in place of the renamed archives, only findings that no command can repair are left.
    state.store("h1/flipped", "a bit was flipped");
    state.store("h1/short", "I was longer once");
    state.store("h1/gone", "I was here");
    assert!(state.archive("h1/flipped").with_extension("zst.damaged").is_file(), "nothing was deleted");
    let told = state.run(&["--settle", "0"]);
    assert!(told.contains("found 0 errors, 1 warning,"), "{told}");
    assert!(told.contains("has a second row in line 10 with another hash"), "{told}");
}

#[test]
fn the_report_that_is_kept_is_what_the_receiver_reads() {
    let state = zoo();
    let report = state.path("report.json");
    let told = state.run(&["--settle", "0", "--json", "--report", report.to_str().unwrap()]);
    let verified = verified::read(&report).unwrap().unwrap();
    let mut damaged: Vec<String> =
        verified.damaged.iter().map(|(host, episode)| format!("{host}/{episode}")).collect();
    damaged.sort();
    assert_eq!(damaged, ["h1/flipped", "h1/short"], "{told}");
    assert!(verified.findings > 2 && verified.ended.is_some(), "{verified:?}");
}
