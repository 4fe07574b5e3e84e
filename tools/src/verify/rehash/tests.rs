//! Verdicts on good and bad reads, and tests that every file is read completely.

use std::collections::BTreeMap;
use std::fs;

use cis490_shared::ids::{EpisodeId, HostId};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

fn digest(byte: u8) -> Sha256Digest {
    Sha256Digest::from_bytes([byte; 32])
}

fn target(archive: &Archive, size_bytes: u64, sha256: Sha256Digest) -> Target<'_> {
    Target { archive, size_bytes, sha256: Some(sha256), commit: None }
}

fn manner<'a>(jobs: NonZeroUsize, throttle: &'a Throttle, bar: &'a ProgressBar) -> Manner<'a> {
    Manner { jobs, throttle, bar, is_deep: false }
}

/// Returns the verdict on reads with these results, one after the other, if 1 is promised, and the number of reads.
fn judged(reads: Vec<io::Result<u8>>) -> (String, usize) {
    let left = reads.len();
    let mut reads = reads.into_iter();
    let read = || Ok(Stored { size_bytes: 1, sha256: digest(reads.next().unwrap()?) });
    let outcome = match judge(Some(digest(1)), read) {
        Outcome::Good => "good".to_owned(),
        Outcome::Damaged { first, second } => {
            format!("damaged {} {}", &first.to_string()[..2], &second.to_string()[..2])
        }
        Outcome::Unsteady { first } => format!("unsteady {}", &first.to_string()[..2]),
        Outcome::Odd(fault) => format!("odd {fault:?}"),
        Outcome::Gone => "gone".to_owned(),
        Outcome::Unread(error) => format!("unread {:?}", error.kind()),
    };
    (outcome, left - reads.count())
}

#[test]
fn nothing_is_accused_before_it_was_read_twice() {
    let failed = |kind: io::ErrorKind| Err(io::Error::from(kind));
    let cases = [
        (vec![Ok(1)], "good", 1),
        (vec![Ok(2), Ok(2)], "damaged 02 02", 2),
        (vec![Ok(2), Ok(3)], "damaged 02 03", 2),
        (vec![Ok(2), Ok(1)], "unsteady 02", 2),
        (vec![failed(io::ErrorKind::NotFound)], "gone", 1),
        (vec![Ok(2), failed(io::ErrorKind::NotFound)], "gone", 2),
        (vec![failed(io::ErrorKind::PermissionDenied)], "unread PermissionDenied", 1),
        (vec![Ok(2), failed(io::ErrorKind::Other)], "unread Other", 2),
    ];
    for (reads, outcome, count) in cases {
        let told = format!("{reads:?}");
        assert_eq!(judged(reads), (outcome.to_owned(), count), "{told}");
    }
}

/// Creates files with sizes around the limits of the reader.
fn files(dir: &Path) -> Vec<(Archive, Sha256Digest, u64)> {
    let sizes = [
        0,
        1,
        4095,
        4096,
        262_144,
        262_145,
        1 << 20,
        (1 << 20) + 1,
        (8 << 20) - 1,
        8 << 20,
        (8 << 20) + 300_000,
    ];
    let file = |(n, size): (usize, &usize)| {
        let bytes: Vec<u8> = (0..*size).map(|at| (at * 31 + n).to_be_bytes()[7]).collect();
        let path = dir.join(format!("e{n}.tar.zst"));
        fs::write(&path, &bytes).unwrap();
        let episode_id = EpisodeId::parse(&format!("e{n}")).unwrap();
        let archive = Archive { host_id: HostId::parse("h").unwrap(), episode_id, path };
        (archive, Sha256Digest::from_bytes(Sha256::digest(&bytes).into()), bytes.len() as u64)
    };
    sizes.iter().enumerate().map(file).collect()
}

#[test]
fn every_target_is_read_to_its_end_whatever_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let targets: Vec<_> =
        files.iter().map(|(archive, sha256, size_bytes)| target(archive, *size_bytes, *sha256)).collect();
    for jobs in [1, 2, 16] {
        let (bar, mut good) = (ProgressBar::hidden(), BTreeMap::new());
        let jobs = NonZeroUsize::new(jobs).unwrap();
        rehash(&targets, manner(jobs, &Throttle::new(None), &bar), &mut |position, outcome| {
            good.insert(position, matches!(outcome, Outcome::Good));
        })
        .unwrap();
        assert!(good.len() == files.len() && good.values().all(|good| *good), "{good:?}");
        assert_eq!(bar.position(), files.iter().map(|(_, _, size)| size).sum::<u64>());
    }
}

#[test]
fn what_grows_is_not_followed_and_what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let judged = |path: &Path| {
        let archive = Archive {
            host_id: HostId::parse("h").unwrap(),
            episode_id: EpisodeId::parse("e").unwrap(),
            path: path.to_owned(),
        };
        let targets = [target(&archive, 0, digest(1))];
        let (bar, mut told) = (ProgressBar::hidden(), Vec::new());
        let throttle = Throttle::new(None);
        let manner = manner(NonZeroUsize::MIN, &throttle, &bar);
        rehash(&targets, manner, &mut |_, outcome| told.push(outcome)).unwrap();
        (told.pop().unwrap(), bar.position())
    };
    // Its size is 0, but it holds many bytes.
    let (outcome, bytes) = judged(Path::new("/proc/self/status"));
    assert!(matches!(outcome, Outcome::Damaged { .. }) && bytes == 2, "{outcome:?} after {bytes} bytes");
    let (outcome, _) = judged(&fifo);
    assert!(matches!(&outcome, Outcome::Unread(error) if error.to_string().contains("FIFO")), "{outcome:?}");
}

#[test]
fn nothing_to_read_is_done_at_once() {
    let jobs = NonZeroUsize::MIN;
    let (throttle, bar) = (Throttle::new(None), ProgressBar::hidden());
    rehash(&[], manner(jobs, &throttle, &bar), &mut |_, _| panic!("of what?")).unwrap();
}

#[test]
fn small_archives_are_asked_for_ahead_large_ones_and_those_of_a_limited_rate_are_not() {
    let archive = Archive {
        host_id: HostId::parse("h").unwrap(),
        episode_id: EpisodeId::parse("e").unwrap(),
        path: "/nonexistent".into(),
    };
    let (small, large) = (MAX_AHEAD_BYTES, MAX_AHEAD_BYTES + 1);
    let limited = Some(cis490_shared::rate::Rate::parse("1MiB").unwrap());
    let cases = [
        (vec![small; 2 * MAX_AHEAD], None, MAX_AHEAD),
        (vec![small; 2], None, 2),
        (vec![small, small, large, small], None, 3),
        (vec![large, small, small], None, 1),
        (vec![small; 4], limited, 1),
        (vec![], None, 0),
    ];
    for (sizes, rate, asked) in cases {
        let targets: Vec<_> = sizes.iter().map(|size| target(&archive, *size, digest(1))).collect();
        let (throttle, bar) = (Throttle::new(rate), ProgressBar::hidden());
        let next = AtomicUsize::new(0);
        let work = Work { targets: &targets, next, throttle: &throttle, bar: &bar, is_deep: false };
        let mut ahead = VecDeque::new();
        work.ask_ahead(&mut ahead);
        assert_eq!(ahead.len(), asked, "{sizes:?} {rate:?}");
    }
}
