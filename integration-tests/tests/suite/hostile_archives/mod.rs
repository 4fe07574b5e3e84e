//! Tests of malicious archives, and of other entries in the place of one. Backfill and verify finish in bounded memory
//! and time, write nothing except the index, and name the fault of each archive.

mod bytes;
mod zoo;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cis490_shared::row::IndexRow;
use integration_tests::archive::{sha256_of, sha256_of_file};
use integration_tests::binaries;
use integration_tests::process::Process;
use integration_tests::sandbox::Sandbox;
use integration_tests::until::wait_until;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use zoo::{Expected, commit, zoo};

/// The same limit as for the receiver and the shipper.
const LIMIT_KIB: u64 = 64 * 1024;

/// Deadline in the profile of the tests and on a busy machine; a reader without bounds would take hours or never end.
const AT_MOST: Duration = Duration::from_mins(4);

/// The result of a program.
struct Ended {
    code: i32,
    said: String,
    peak_kib: u64,
}

/// Runs a program over the store to its end.
fn run(sandbox: &Sandbox, program: &str, flags: &[&str]) -> Ended {
    let mut command = sandbox.command(binaries::path(program));
    command.arg("--episodes-root").arg(sandbox.path().join("state/episodes")).args(flags);
    let mut process = Process::start(sandbox, program, command);
    let mut peak_kib = 0;
    let status = wait_until(&format!("`{program}` ends"), AT_MOST, || {
        peak_kib = process.peak_rss_kib_so_far().unwrap_or(0).max(peak_kib);
        process.status()
    });
    Ended { code: status.code().expect("an exit code"), said: process.log(), peak_kib }
}

/// Creates a store with the whole zoo, and returns the directory of the host.
fn store_of(sandbox: &Sandbox) -> PathBuf {
    let host = sandbox.dir("state/episodes/h1");
    for (name, bytes, _) in zoo() {
        fs::write(host.join(format!("{name}.tar.zst")), bytes).unwrap();
    }
    host
}

/// Returns the rows by their episodes.
fn rows(sandbox: &Sandbox) -> BTreeMap<String, IndexRow> {
    let index = fs::read(sandbox.path().join("state/index.jsonl")).unwrap();
    let rows = index.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    rows.map(|line| IndexRow::parse(line).unwrap()).map(|row| (row.episode_id.to_string(), row)).collect()
}

/// Lists everything below a directory, without the logs and notification sockets of the programs.
fn listing(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(listing(&path));
        }
        found.push(path);
    }
    found.retain(|path| path.extension().is_none_or(|extension| extension != "log" && extension != "notify"));
    found.sort();
    found
}

#[test]
fn every_hostile_archive_has_its_row_and_its_reason_in_bounded_memory_and_time() {
    let sandbox = Sandbox::new();
    let host = store_of(&sandbox);
    let before = listing(sandbox.path());
    let Ended { code, said, peak_kib } = run(&sandbox, "cis490-index-backfill", &["--jobs", "2"]);
    assert_eq!(code, 0, "{said}");
    assert!(peak_kib > 0 && peak_kib < LIMIT_KIB, "it held {peak_kib} KiB");

    let mut rows = rows(&sandbox);
    for (name, bytes, expected) in zoo() {
        let row = rows.remove(name).unwrap_or_else(|| panic!("{name} has no row: {said}"));
        assert_eq!((row.sha256, row.size_bytes), (sha256_of(&bytes), bytes.len() as u64), "{name}");
        let path = host.join(format!("{name}.tar.zst"));
        let warning = format!("warning: `{}` gets no commit: ", path.display());
        let reason = said.lines().find_map(|line| line.strip_prefix(&warning));
        match expected {
            Expected::Commit => {
                assert_eq!(row.commit.map(|found| found.to_string()), Some(commit()), "{name}: {reason:?}");
                assert_eq!(reason, None, "{name}");
            }
            Expected::Reason(words) => {
                assert_eq!(row.commit, None, "{name}");
                let reason = reason.unwrap_or_else(|| panic!("nothing is said of {name}: {said}"));
                assert!(reason.contains(words) && reason.len() < 3000, "{name}: {reason}");
            }
        }
    }
    assert!(rows.is_empty(), "{rows:?}");
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    let state = sandbox.path().join("state");
    let mut after = listing(sandbox.path());
    after.retain(|path| *path != state.join("index.jsonl") && *path != state.join("index.lock"));
    assert_eq!(after, before, "nothing is written but the index");
    assert!(!fs::exists("/tmp/cis490-outside").unwrap(), "no member is ever unpacked");

    let Ended { code, said, peak_kib } = run(&sandbox, "cis490-verify", &["--settle", "0"]);
    assert_eq!(code, 0, "{said}");
    assert!(peak_kib > 0 && peak_kib < LIMIT_KIB, "it held {peak_kib} KiB");
}

#[test]
fn what_only_has_the_name_of_an_archive_is_named_and_neither_followed_nor_waited_for() {
    let sandbox = Sandbox::new();
    let host = sandbox.dir("state/episodes/h1");
    let place = |name: &str| host.join(format!("{name}.tar.zst"));
    let secret = sandbox.path().join("secret");
    fs::write(&secret, "not for the index").unwrap();
    symlink(&secret, place("link")).unwrap();
    symlink(place("loop"), place("loop")).unwrap();
    fs::create_dir(place("dir")).unwrap();
    mknodat(CWD, place("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listener = UnixListener::bind(place("socket")).unwrap();
    fs::write(place("zz-good"), bytes::zst(&bytes::tar(&[bytes::file("e/meta.json", b"{}")]))).unwrap();
    let kinds = [
        ("dir", "a directory"),
        ("fifo", "a FIFO"),
        ("link", "a symbolic link"),
        ("loop", "a symbolic link"),
        ("socket", "a socket"),
    ];

    let Ended { code, said, .. } = run(&sandbox, "cis490-index-backfill", &[]);
    assert_eq!(code, 0, "{said}");
    for (name, kind) in kinds {
        let told =
            format!("warning: `{}` gets no row: it is {kind} and no regular file", place(name).display());
        assert!(said.contains(&told), "{told:?} is not in {said}");
    }
    let rows = rows(&sandbox);
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["zz-good"]);
    assert_eq!(rows["zz-good"].sha256, sha256_of_file(&place("zz-good")));

    let Ended { code, said, .. } = run(&sandbox, "cis490-verify", &["--settle", "0"]);
    assert_eq!(code, 3, "{said}");
    for (name, kind) in kinds {
        let path = place(name);
        let told =
            format!("warning: `{}` has the name of an archive or of a host and is {kind}: ", path.display());
        assert!(said.contains(&told), "{told:?} is not in {said}");
        assert!(said.contains(&format!("ls -ld {}", path.display())), "{said}");
    }
    assert!(said.contains("found 0 errors, 5 warnings, 0 notes"), "{said}");
    let Ended { said, .. } = run(&sandbox, "cis490-verify", &["--settle", "0", "--json"]);
    assert_eq!(said.matches("\"severity\":\"warning\",\"finding\":\"misplaced\"").count(), 5, "{said}");
}
