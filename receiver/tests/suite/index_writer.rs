//! IndexWriterActor, tested by its messages.

use crate::support;
use std::path::Path;

use actix::{Actor, Addr};
use cis490_receiver::actors::Drain;
use cis490_receiver::actors::index_writer::{IndexObservation, IndexWriterActor};
use cis490_receiver::index::IndexStep;
use cis490_receiver::index::log::Receipt;
use cis490_receiver::index::publication::Publication;
use cis490_receiver::index::requests::{Append, AppendPublished, ReadRow};
use cis490_receiver::store::host_dir::HostDir;
use cis490_shared::clock::WallTime;
use cis490_shared::durable::rename_noreplace;
use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};
use cis490_shared::latest::Latest;
use cis490_shared::row::IndexRow;
use futures_util::future::join_all;
use tokio::sync::oneshot;

fn start(index: &Path) -> Addr<IndexWriterActor> {
    start_watched(index).0
}

/// Starts the actor; returns its address and its counters.
fn start_watched(index: &Path) -> (Addr<IndexWriterActor>, Latest<IndexObservation>) {
    let writer = IndexWriterActor::open(index).unwrap();
    let shown = writer.shown();
    (writer.start(), shown)
}

fn append(episode: &str) -> Append {
    let row = IndexRow {
        backfilled: false,
        commit: None,
        episode_id: EpisodeId::parse(episode).unwrap(),
        host_id: HostId::parse("lab-1").unwrap(),
        received_at_wall: WallTime::now(),
        schema_version: 1,
        sha256: Sha256Digest::from_bytes([3; 32]),
        size_bytes: 3,
    };
    Append { row, publication: None }
}

fn episodes(index: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(index).unwrap();
    text.lines().map(|line| IndexRow::parse(line.as_bytes()).unwrap().episode_id.to_string()).collect()
}

#[actix::test]
async fn appends_that_wait_together_share_a_batch_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index.jsonl");
    let (writer, shown) = start_watched(&index);
    let names: Vec<String> = (0..200).map(|n| format!("e{n:03}")).collect();
    for receipt in join_all(names.iter().map(|name| writer.send(append(name)))).await {
        assert_eq!(receipt.unwrap().unwrap(), Receipt::Appended);
    }
    assert_eq!(episodes(&index), names);
    let seen = shown.now();
    assert_eq!(seen.appended, 200);
    assert!(seen.batches <= 20, "{} batches for 200 rows", seen.batches);
}

#[actix::test]
async fn a_deposit_is_written_although_nobody_waits_for_its_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index.jsonl");
    let writer = start(&index);
    let (receipt, nobody) = oneshot::channel();
    let published_in = HostDir::open(dir.path().to_owned()).unwrap().unwrap();
    let publication = published_in.into_publication();
    writer.try_send(AppendPublished { row: append("a").row, publication, receipt }).unwrap();
    drop(nobody);
    writer.send(Drain).await.unwrap();
    assert_eq!(episodes(&index), ["a"]);
}

#[actix::test]
async fn one_failing_append_of_a_batch_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index.jsonl");
    let (writer, shown) = start_watched(&index);
    let missing = dir.path().join("no-such-host");
    let bad = Append { publication: Some(Publication::at(&missing)), ..append("bad") };
    let good = Append { publication: Some(Publication::at(dir.path())), ..append("good") };
    let outcomes = join_all([writer.send(append("first")), writer.send(bad), writer.send(good)]).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes[0].as_ref().unwrap(), &Receipt::Appended);
    assert_eq!(outcomes[1].as_ref().unwrap_err().step, IndexStep::SyncDirectory);
    assert_eq!(outcomes[2].as_ref().unwrap(), &Receipt::Appended);
    assert_eq!(episodes(&index), ["first", "good"]);
    assert_eq!(shown.now().batches, 1);
}

#[actix::test]
async fn a_directory_that_cannot_be_synced_is_logged_when_it_begins_and_when_it_works_again() {
    support::capture_log();
    let dir = tempfile::tempdir().unwrap();
    let writer = start(&dir.path().join("index.jsonl"));
    let host_dir = dir.path().join("later");
    let deposit = || writer.send(Append { publication: Some(Publication::at(&host_dir)), ..append("a") });
    for _ in 0..3 {
        assert_eq!(deposit().await.unwrap().unwrap_err().step, IndexStep::SyncDirectory);
    }
    std::fs::create_dir(&host_dir).unwrap();
    assert_eq!(deposit().await.unwrap().unwrap(), Receipt::Appended);
    assert_eq!(support::times_logged("the directory of a stored episode cannot be synced"), 1);
    assert_eq!(support::times_logged("the directory of stored episodes can be synced again"), 1);
}

#[actix::test]
async fn a_batch_that_fails_is_told_to_every_sender_and_logged_once_per_change() {
    support::capture_log();
    let dir = tempfile::tempdir().unwrap();
    let (index, aside) = (dir.path().join("index.jsonl"), dir.path().join("aside"));
    let (writer, shown) = start_watched(&index);
    rename_noreplace(&index, &aside).unwrap();
    for _ in 0..3 {
        for outcome in join_all(["a", "b"].map(|name| writer.send(append(name)))).await {
            assert_eq!(outcome.unwrap().unwrap_err().step, IndexStep::Open);
        }
    }
    assert!(shown.now().failing);
    rename_noreplace(&aside, &index).unwrap();
    assert_eq!(writer.send(append("a")).await.unwrap().unwrap(), Receipt::Appended);
    assert!(!shown.now().failing);
    assert_eq!(support::times_logged("the index cannot be appended to"), 1);
    assert_eq!(support::times_logged("the index can be appended to again"), 1);
}

#[actix::test]
async fn a_look_is_at_the_index_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index.jsonl");
    let writer = start(&index);
    let look = |episode: &str| {
        let Append { row, .. } = append(episode);
        writer.send(ReadRow { host_id: row.host_id, episode_id: row.episode_id })
    };
    assert_eq!(look("a").await.unwrap().unwrap(), None);
    std::fs::write(&index, append("a").row.to_line().unwrap()).unwrap();
    let row = look("a").await.unwrap().unwrap().unwrap();
    assert_eq!((row.sha256, row.size_bytes), (Some(Sha256Digest::from_bytes([3; 32])), Some(3)));
    std::fs::write(&index, "").unwrap();
    assert_eq!(look("a").await.unwrap().unwrap(), None);
    std::fs::remove_file(&index).unwrap();
    assert_eq!(look("a").await.unwrap().unwrap_err().step, IndexStep::Open);
}

#[actix::test]
async fn a_backfill_beside_a_live_writer_adds_no_second_row() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index.jsonl");
    let (live, backfill) = (start(&index), start(&index));
    for round in 0..20 {
        let name = format!("e{round}");
        let (first, second) = if round % 2 == 0 { (&live, &backfill) } else { (&backfill, &live) };
        assert_eq!(first.send(append(&name)).await.unwrap().unwrap(), Receipt::Appended);
        assert_eq!(second.send(append(&name)).await.unwrap().unwrap(), Receipt::AlreadyKnown);
    }
    assert_eq!(episodes(&index).len(), 20);
}

#[actix::test]
async fn drain_answers_everybody_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index.jsonl");
    let writer = start(&index);
    let (receipt, drained) = futures_util::future::join(writer.send(append("a")), writer.send(Drain)).await;
    drained.unwrap();
    assert_eq!(receipt.unwrap().unwrap(), Receipt::Appended);
    assert_eq!(episodes(&index), ["a"]);
}
