//! Real differences, and differences that only appear because a live store changes between two looks.

use std::collections::BTreeMap;
use std::fs;
use std::time::UNIX_EPOCH;

use cis490_shared::ids::Sha256Digest;

use super::super::custody::Holder;
use super::*;

const NOW: SystemTime = UNIX_EPOCH;
const HOUR: Duration = Duration::from_hours(1);

fn now() -> SystemTime {
    NOW + 24 * HOUR
}

/// Returns the metadata of a file with this size, written and named `age` ago.
fn seen(size_bytes: u64, age: Duration) -> Seen {
    Seen { size_bytes, modified: now() - age, changed: now() - age }
}

/// Creates a shelf with episodes of host `h` by name and size, each an hour old.
fn shelf(archives: &[(&str, u64)]) -> Shelf {
    let shelved = |(name, size): &(&str, u64)| {
        let archive = Archive {
            host_id: HostId::parse("h").unwrap(),
            episode_id: EpisodeId::parse(name).unwrap(),
            path: format!("/s/h/{name}.tar.zst").into(),
        };
        Shelved { archive, seen: seen(*size, HOUR) }
    };
    Shelf::of(Path::new("/s"), archives.iter().map(shelved).collect())
}

/// Creates a ledger with rows of host `h`, each with a size.
fn ledger(rows: &[(&str, u64)]) -> Ledger {
    let dir = tempfile::tempdir().unwrap();
    let sha256 = Sha256Digest::from_bytes([7; 32]);
    let row = |(name, size): &(&str, u64)| {
        format!(
            "{{\"host_id\":\"h\",\"episode_id\":\"{name}\",\"sha256\":\"{sha256}\",\"size_bytes\":{size},\
             \"received_at_wall\":\"\"}}\n"
        )
    };
    let path = dir.path().join("index.jsonl");
    fs::write(&path, rows.iter().map(row).collect::<String>()).unwrap();
    Ledger::read(&path, None).unwrap()
}

/// Returns the findings if a second look at `/s/h/NAME.tar.zst` shows these files and no others.
fn found(shelf: &Shelf, ledger: &Ledger, again: &[(&str, Seen)]) -> Vec<String> {
    let again: BTreeMap<_, _> =
        again.iter().map(|(name, seen)| (format!("/s/h/{name}.tar.zst"), *seen)).collect();
    let inspect = |path: &Path| Ok(again.get(path.to_str().unwrap()).copied());
    let compared = Compared { shelf, ledger, now: now(), settle: Duration::from_mins(1) };
    compare(compared, &inspect).iter().map(short).collect()
}

/// Returns the name of a finding and its episode.
fn short(finding: &Finding) -> String {
    let value = serde_json::to_value(finding).unwrap();
    let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("finding"), text("episode_id")).trim_end().to_owned()
}

#[test]
fn what_agrees_is_not_even_asked_after() {
    assert_eq!(found(&shelf(&[("a", 1), ("b", 2)]), &ledger(&[("b", 2), ("a", 1)]), &[]), [""; 0]);
}

#[test]
fn a_difference_that_is_still_there_is_found() {
    let again = [("a", seen(1, HOUR)), ("b", seen(2, HOUR))];
    let found =
        found(&shelf(&[("a", 1), ("b", 2), ("c", 3)]), &ledger(&[("b", 9), ("c", 3), ("gone", 1)]), &again);
    assert_eq!(found, ["archive-without-row a", "size-differs b", "row-without-archive gone"]);
}

#[test]
fn a_difference_that_went_away_between_two_looks_is_none() {
    // `new` was published and indexed after the walk, `aside` was moved away by hand, and `back` was replaced.
    let again = [("new", seen(1, Duration::ZERO)), ("back", seen(2, Duration::ZERO))];
    let found = found(&shelf(&[("aside", 1), ("back", 9)]), &ledger(&[("back", 2), ("new", 1)]), &again);
    assert_eq!(found, [""; 0]);
}

#[test]
fn an_archive_that_came_a_moment_ago_waits_for_its_row() {
    let shelf = shelf(&[("a", 1)]);
    let at_age = |age| found(&shelf, &ledger(&[]), &[("a", seen(1, age))]);
    assert_eq!(at_age(Duration::ZERO), ["row-pending a"]);
    assert_eq!(at_age(Duration::from_secs(59)), ["row-pending a"]);
    assert_eq!(at_age(Duration::from_mins(1)), ["archive-without-row a"]);
}

#[test]
fn an_archive_of_another_size_that_vanished_is_missed() {
    assert_eq!(found(&shelf(&[("a", 1)]), &ledger(&[("a", 2)]), &[]), ["row-without-archive a"]);
}

#[test]
fn without_an_index_one_finding_says_so_for_all() {
    let gone = Ledger::read(Path::new("/nonexistent/index.jsonl"), None).unwrap();
    assert_eq!(found(&shelf(&[("a", 1), ("b", 1)]), &gone, &[]), ["index-missing"]);
    assert_eq!(found(&shelf(&[]), &gone, &[]), [""; 0], "a new store has none");
}

#[test]
fn what_lies_in_a_directory_that_cannot_be_read_is_not_called_missing() {
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    let mut shelf = shelf(&[]);
    let ledger = ledger(&[("a", 1), ("b", 1)]);
    let inspect = |_: &Path| Err(denied());
    let found = |shelf: &Shelf| {
        let compared = Compared { shelf, ledger: &ledger, now: now(), settle: Duration::ZERO };
        let findings = compare(compared, &inspect).into_iter().chain(in_store(shelf));
        findings.map(|finding| short(&finding)).collect::<Vec<_>>()
    };
    assert_eq!(found(&shelf), ["unreadable", "unreadable"]);
    shelf.hidden.push(Failure { path: "/s/h".into(), source: denied() });
    assert_eq!(found(&shelf), ["unreadable"], "told once, of the directory");
}

#[test]
fn an_index_of_root_and_one_that_anybody_may_write_are_found() {
    let custody = |uid, mode| Custody {
        path: "/x/index.jsonl".into(),
        file: Holder { uid, mode },
        dir: Holder { uid: 998, mode: 0o750 },
    };
    let found = |file| in_custody(&[file]).iter().map(short).collect::<Vec<_>>();
    assert_eq!(found(custody(998, 0o640)), [""; 0]);
    assert_eq!(found(custody(0, 0o640)), ["wrong-owner"]);
    assert_eq!(found(custody(0, 0o666)), ["wrong-owner", "wrong-mode"]);
}
