//! Tests with an index that is torn, appended to, replaced, or filled with other lines.

use std::fs;
use std::path::PathBuf;

use super::*;

fn row(host: &str, episode: &str, byte: u8) -> String {
    let sha256 = Sha256Digest::from_bytes([byte; 32]);
    format!(
        "{{\"episode_id\": \"{episode}\", \"host_id\": \"{host}\", \"received_at_wall\": \
         \"2025-10-09T08:53:20.000001+00:00\", \"sha256\": \"{sha256}\", \"size_bytes\": {byte}}}\n"
    )
}

fn index(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.jsonl");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn read(text: &str) -> Ledger {
    Ledger::read(&index(text).1, None).unwrap()
}

fn promise<'a>(ledger: &'a Ledger, host: &str, episode: &str) -> Option<&'a Promise> {
    ledger.get(&HostId::parse(host).unwrap(), &EpisodeId::parse(episode).unwrap())
}

#[test]
fn a_row_promises_hash_size_and_time() {
    let ledger = read(&row("h", "e1", 7));
    let expected = Promise {
        sha256: Some(Sha256Digest::from_bytes([7; 32])),
        size_bytes: Some(7),
        received_at: Some("2025-10-09T08:53:20.000001Z".parse().unwrap()),
        commit: None,
    };
    assert_eq!(promise(&ledger, "h", "e1"), Some(&expected));
    assert_eq!(promise(&ledger, "g", "e1"), None);
}

#[test]
fn the_first_row_of_a_pair_counts_and_the_others_are_named() {
    let ledger = read(&[row("h", "e", 1), row("h", "e", 2), row("g", "e", 3), row("h", "e", 1)].concat());
    assert_eq!(promise(&ledger, "h", "e").unwrap().size_bytes, Some(1));
    let second: Vec<_> = ledger.second_rows().iter().map(|row| (row.line, row.same_hash)).collect();
    assert_eq!((second, ledger.rows()), (vec![(2, false), (4, true)], 4));
}

#[test]
fn lines_that_are_no_rows_are_counted_and_blank_ones_are_not() {
    let odd = "{\"host_id\": \"h\", \"episode_id\": \"odd\", \"size_bytes\": \"many\"}\n";
    let ledger = read(&[&row("h", "e", 1), "\n  \n", "junk\n", odd, "[]\n"].concat());
    assert_eq!(ledger.not_rows(), Lines { count: 2, first: 4 });
    assert_eq!(ledger.unproven(), Lines { count: 1, first: 5 });
    assert_eq!(promise(&ledger, "h", "odd"), Some(&Promise::default()));
    assert_eq!(ledger.torn_line(), None);
}

#[test]
fn a_line_of_megabytes_is_no_row() {
    let long = format!("\"{}\"\n", "x".repeat(5_000_000));
    let ledger = read(&[&long, row("h", "e", 1).as_str()].concat());
    assert_eq!((ledger.rows(), ledger.not_rows()), (1, Lines { count: 1, first: 1 }));
}

#[test]
fn one_host_can_be_read_alone() {
    let (_dir, path) = index(&[row("h", "e1", 1), row("g", "e1", 2)].concat());
    let ledger = Ledger::read(&path, Some(&HostId::parse("g").unwrap())).unwrap();
    assert_eq!((ledger.rows(), ledger.pairs().count()), (1, 1));
}

#[test]
fn what_is_appended_later_is_caught_up_with_and_nothing_is_read_twice() {
    let (_dir, path) = index(&row("h", "e1", 1));
    let mut ledger = Ledger::read(&path, None).unwrap();
    fs::write(&path, [row("h", "e1", 1), row("h", "e2", 2)].concat()).unwrap();
    ledger.catch_up(&path).unwrap();
    assert!(promise(&ledger, "h", "e2").is_some());
    assert_eq!((ledger.rows(), ledger.second_rows()), (2, &[][..]));
}

#[test]
fn a_line_that_is_being_written_is_not_torn() {
    let whole = row("h", "e2", 2);
    let (_dir, path) = index(&[&row("h", "e1", 1), &whole[..20]].concat());
    let mut ledger = Ledger::read(&path, None).unwrap();
    assert_eq!((ledger.torn_line(), ledger.rows()), (None, 1));
    fs::write(&path, [row("h", "e1", 1), whole].concat()).unwrap();
    ledger.catch_up(&path).unwrap();
    assert_eq!((ledger.torn_line(), ledger.rows()), (None, 2));
    assert!(promise(&ledger, "h", "e2").is_some());
}

#[test]
fn a_line_that_stays_torn_is_and_counts_as_a_row_if_only_its_newline_is_missing() {
    for (torn, rows) in [("{\"host_id\": \"h\", ", 1), (row("h", "e2", 2).trim_end(), 2)] {
        let (_dir, path) = index(&[&row("h", "e1", 1), torn].concat());
        let mut ledger = Ledger::read(&path, None).unwrap();
        ledger.catch_up(&path).unwrap();
        assert_eq!((ledger.torn_line(), ledger.rows()), (Some(2), rows), "{torn}");
        assert_eq!(ledger.not_rows(), Lines::default(), "it is told once");
    }
}

#[test]
fn an_index_that_is_replaced_cut_or_gone_is_read_anew() {
    let (dir, path) = index(&[row("h", "e1", 1), row("h", "e2", 2)].concat());
    let mut ledger = Ledger::read(&path, None).unwrap();
    fs::write(&path, row("h", "e3", 3)).unwrap();
    ledger.catch_up(&path).unwrap();
    assert_eq!((ledger.rows(), ledger.pairs().count()), (1, 1), "cut");
    let other = dir.path().join("other");
    fs::write(&other, [row("h", "e4", 4), row("h", "e5", 5)].concat()).unwrap();
    fs::remove_file(&path).unwrap();
    fs::hard_link(&other, &path).unwrap();
    ledger.catch_up(&path).unwrap();
    assert!(promise(&ledger, "h", "e4").is_some() && promise(&ledger, "h", "e3").is_none(), "replaced");
    fs::remove_file(&path).unwrap();
    ledger.catch_up(&path).unwrap();
    assert!(ledger.is_missing() && ledger.rows() == 0);
}

#[test]
fn an_index_that_is_no_file_is_an_error() {
    let (dir, _) = index("");
    assert_eq!(Ledger::read(dir.path(), None).unwrap_err().step, IndexStep::Read);
}
