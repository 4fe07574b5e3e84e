//! Rows sent to the writer, beside another writer on the same file and with a writer that fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use actix::{Context, Handler};
use cis490_receiver::index::IndexStep;
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::row::IndexRow;

use super::*;

/// Creates a store of one host with `count` files, which are no archives but can be hashed.
fn store(count: usize) -> (tempfile::TempDir, Vec<Archive>, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let host = dir.path().join("episodes/h1");
    fs::create_dir_all(&host).unwrap();
    let archives = (0..count).map(|n| {
        let path = host.join(format!("e{n:04}.tar.zst"));
        fs::write(&path, format!("{n}")).unwrap();
        let episode_id = EpisodeId::parse(&format!("e{n:04}")).unwrap();
        Archive { host_id: HostId::parse("h1").unwrap(), episode_id, path }
    });
    let archives = archives.collect();
    let index = dir.path().join("index.jsonl");
    (dir, archives, index)
}

fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Counts the rows of each episode.
fn rows_of(index: &Path) -> BTreeMap<String, usize> {
    let mut rows = BTreeMap::new();
    for line in fs::read_to_string(index).unwrap().lines() {
        *rows.entry(IndexRow::parse(line.as_bytes()).unwrap().episode_id.to_string()).or_default() += 1;
    }
    rows
}

#[test]
fn every_archive_gets_its_row_whatever_the_number_of_threads() {
    for count in [1, 2, 7] {
        let (_dir, archives, index) = store(300);
        let mut seen = 0;
        let applied = apply(&archives, &index, jobs(count), &mut |_| seen += 1).unwrap();
        assert_eq!((applied.appended, applied.already_known, seen), (300, 0, 300));
        let rows = rows_of(&index);
        assert!(rows.len() == 300 && rows.values().all(|rows| *rows == 1));
        let again = apply(&archives, &index, jobs(count), &mut |_| {}).unwrap();
        assert_eq!((again.appended, again.already_known), (0, 300));
    }
}

#[test]
fn nothing_to_do_is_done_at_once() {
    let (_dir, _, index) = store(0);
    assert_eq!(apply(&[], &index, jobs(4), &mut |_| {}).unwrap().appended, 0);
}

#[test]
fn what_cannot_be_read_stops_no_other_and_is_named() {
    let (_dir, archives, index) = store(20);
    for gone in [3, 17] {
        fs::remove_file(&archives[gone].path).unwrap();
    }
    let applied = apply(&archives, &index, jobs(2), &mut |_| {}).unwrap();
    assert_eq!(applied.appended, 18);
    let failed: Vec<_> = applied.failed.iter().map(|failure| &failure.path).collect();
    assert_eq!(failed, [&archives[3].path, &archives[17].path]);
}

#[test]
fn a_live_writer_on_the_same_file_brings_no_second_row() {
    let (_dir, archives, index) = store(400);
    let live = archives.iter().rev().map(|archive| {
        let outcome = Examiner::new().unwrap().examine(archive);
        Finding { archive, outcome }
    });
    let live: Vec<_> = live.collect();
    let (live_applied, applied) = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let writer = IndexWriterActor::open(&index).unwrap();
            System::new().block_on(async {
                let writer = writer.start().recipient();
                let (queue, findings) = mpsc::channel(1);
                queue.try_send(live).unwrap();
                drop(queue);
                feed(&writer, findings, &mut |_| {}).await.unwrap()
            })
        });
        let applied = apply(&archives, &index, jobs(2), &mut |_| {}).unwrap();
        (receiver.join().unwrap(), applied)
    });
    let rows = rows_of(&index);
    assert!(rows.len() == 400 && rows.values().all(|rows| *rows == 1));
    assert_eq!(live_applied.appended + applied.appended, 400);
    assert_eq!(applied.appended + applied.already_known, 400);
}

/// A writer that fails or dies after `good` rows.
struct Failing {
    good: u64,
    dies: bool,
}

impl Actor for Failing {
    type Context = Context<Self>;
}

impl Handler<Append> for Failing {
    type Result = Result<Receipt, IndexError>;

    fn handle(&mut self, append: Append, ctx: &mut Self::Context) -> Self::Result {
        if let Some(left) = self.good.checked_sub(1) {
            self.good = left;
            return Ok(Receipt::Appended);
        }
        if self.dies {
            actix::ActorContext::stop(ctx);
        }
        let publication = append.publication.unwrap();
        Err(IndexError::at(IndexStep::Write, publication.place().0)(io::ErrorKind::StorageFull.into()))
    }
}

#[test]
fn a_writer_that_fails_ends_the_work_and_what_is_durable_is_counted() {
    for dies in [false, true] {
        let (_dir, archives, _) = store(2000);
        let next = AtomicUsize::new(0);
        let (queue, findings) = mpsc::channel(MAX_QUEUED);
        let interrupted = thread::scope(|scope| {
            start_worker(scope, &archives, &next, queue).unwrap();
            let writer = Failing { good: 100, dies };
            let fed = async { feed(&writer.start().recipient(), findings, &mut |_| {}).await };
            System::new().block_on(fed).unwrap_err()
        });
        assert_eq!(interrupted.applied.appended, 100);
        match interrupted.reason {
            Reason::Index(error) => {
                assert_eq!(error.path, durable::parent(&archives[0].path), "synced first");
            }
            reason => assert!(dies && matches!(reason, Reason::WriterGone), "{reason}"),
        }
        assert!(next.into_inner() < 2000, "the threads do not read what nobody will write");
    }
}
