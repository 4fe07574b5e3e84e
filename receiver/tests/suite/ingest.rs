//! IngestActor, tested by its stream of parts.

use crate::support;
use std::sync::Arc;

use actix::Actor;
use bytes::Bytes;
use cis490_receiver::actors::index_writer::IndexWriterActor;
use cis490_receiver::actors::ingest::{Ingest, Upload};
use cis490_receiver::index::known::KnownView;
use cis490_receiver::ingest::admission::{Admission, Limits, Room};
use cis490_receiver::ingest::{DeclaredUpload, IngestError, Part};
use cis490_receiver::store::layout::Store;
use cis490_receiver::store::spool::Spool;
use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};
use cis490_shared::wire::answer::StoreStatus;

const BODY: &[u8] = b"some bytes";

/// Returns bodies that go different ways to the disk: gathered first, written as they come, hashed on a separate
/// thread.
fn bodies() -> [Bytes; 3] {
    let noise = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0];
    [10, 300_000, 5 << 20].map(|length| (0..length).map(noise).collect())
}

fn claim_of(episode: &str, body: &[u8]) -> DeclaredUpload {
    DeclaredUpload {
        host_id: HostId::parse("lab-1").unwrap(),
        episode_id: EpisodeId::parse(episode).unwrap(),
        sha256: Sha256Digest::parse(&support::sha256(body)).unwrap(),
        length: body.len() as u64,
        commit: None,
        amnesty: None,
    }
}

fn declared(episode: &str) -> DeclaredUpload {
    claim_of(episode, BODY)
}

struct World {
    _dir: tempfile::TempDir,
    store: Arc<Store>,
    spool: Spool,
    admission: Admission,
    known: KnownView,
    pool: Ingest,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("episodes");
        let store = Arc::new(Store::open(&root).unwrap());
        let spool = Spool::open(&root).unwrap();
        let index = IndexWriterActor::open(&dir.path().join("index.jsonl")).unwrap();
        let known = index.known();
        let pool = Ingest::new(spool.clone(), Arc::clone(&store), IndexWriterActor::handle(&index.start()));
        let limits = Limits { uploads: 8, uploads_per_host: 8, min_free_bytes: 0, host_quota_bytes: None };
        let admission = Admission::new(limits);
        Self { _dir: dir, store, spool, admission, known, pool }
    }

    fn begin(&self, declared: &DeclaredUpload) -> Upload {
        let room = Room { free_bytes: u64::MAX, host_bytes: 0 };
        let permit = self
            .admission
            .admit(&declared.host_id, &declared.episode_id, declared.length, || Ok(room))
            .unwrap()
            .unwrap();
        self.pool.begin(declared.clone(), permit)
    }

    fn is_indexed(&self, declared: &DeclaredUpload) -> bool {
        self.known.get(&declared.host_id, &declared.episode_id).is_some()
    }

    fn is_stored(&self, declared: &DeclaredUpload) -> bool {
        self.store.archive(&declared.host_id, &declared.episode_id).is_file()
    }

    fn partials(&self) -> usize {
        std::fs::read_dir(self.spool.dir()).unwrap().count()
    }
}

fn data(bytes: &'static [u8]) -> Part {
    Part::Data(Bytes::from_static(bytes))
}

#[actix::test]
async fn parts_in_order_and_a_finish_make_an_episode() {
    for body in bodies() {
        let world = World::new();
        let declared = claim_of("E1", &body);
        let Upload { parts, outcome } = world.begin(&declared);
        for part in [Part::Data(body.slice(..4)), Part::Data(body.slice(4..)), Part::Finish] {
            parts.send(part).await.unwrap();
        }
        assert_eq!(outcome.await.unwrap().unwrap().status, StoreStatus::Stored);
        assert!(world.is_stored(&declared) && world.is_indexed(&declared));
        assert_eq!((world.partials(), world.admission.in_flight()), (0, 0));
    }
}

#[actix::test]
async fn bytes_that_are_not_what_was_promised_leave_nothing() {
    for body in bodies() {
        let world = World::new();
        let declared = claim_of("E1", &body);
        let mut other = body.to_vec();
        other[7] ^= 1;
        let Upload { parts, outcome } = world.begin(&declared);
        for part in [Part::Data(other.into()), Part::Finish] {
            parts.send(part).await.unwrap();
        }
        assert!(matches!(outcome.await.unwrap(), Err(IngestError::DigestMismatch { .. })));
        assert!(!world.is_stored(&declared) && !world.is_indexed(&declared));
        assert_eq!((world.partials(), world.admission.in_flight()), (0, 0));
    }
}

#[actix::test]
async fn a_stream_that_ends_without_finish_leaves_nothing() {
    for body in bodies() {
        let world = World::new();
        let declared = claim_of("E1", &body);
        let Upload { parts, outcome } = world.begin(&declared);
        parts.send(Part::Data(body.clone())).await.unwrap();
        drop(parts);
        let aborted = outcome.await.unwrap();
        assert!(matches!(aborted, Err(IngestError::Aborted { received }) if received == declared.length));
        assert!(!world.is_stored(&declared) && !world.is_indexed(&declared));
        assert_eq!((world.partials(), world.admission.in_flight()), (0, 0));
    }
}

#[actix::test]
async fn a_client_that_hangs_up_after_the_last_byte_cannot_cut_the_commit_in_half() {
    for body in bodies() {
        let world = World::new();
        let declared = claim_of("E1", &body);
        let Upload { parts, outcome } = world.begin(&declared);
        for part in [Part::Data(body), Part::Finish] {
            parts.send(part).await.unwrap();
        }
        drop((parts, outcome));
        world.admission.idle().await;
        assert!(world.is_stored(&declared) && world.is_indexed(&declared));
    }
}

#[actix::test]
async fn more_bytes_than_promised_end_the_upload_at_once() {
    for body in bodies() {
        let world = World::new();
        let Upload { parts, outcome } = world.begin(&claim_of("E1", &body));
        parts.send(Part::Data(body)).await.unwrap();
        parts.send(data(b"!")).await.unwrap();
        assert!(matches!(outcome.await.unwrap(), Err(IngestError::LengthMismatch { .. })));
        assert!(parts.send(Part::Finish).await.is_err(), "the channel is closed");
        assert_eq!((world.partials(), world.admission.in_flight()), (0, 0));
    }
}

#[actix::test]
async fn a_name_that_is_taken_is_compared_and_never_replaced() {
    let world = World::new();
    for (episode, stored) in [("same", BODY), ("other", b"other bytes")] {
        let declared = declared(episode);
        world.store.ensure_host_dir(&declared.host_id).unwrap();
        let path = world.store.archive(&declared.host_id, &declared.episode_id);
        std::fs::write(&path, stored).unwrap();
        let Upload { parts, outcome } = world.begin(&declared);
        for part in [data(BODY), Part::Finish] {
            parts.send(part).await.unwrap();
        }
        match outcome.await.unwrap() {
            Ok(done) => assert_eq!((episode, done.status), ("same", StoreStatus::AlreadyPresent)),
            Err(IngestError::Conflict { .. }) => assert_eq!(episode, "other"),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(std::fs::read(path).unwrap(), stored);
        assert_eq!((world.is_indexed(&declared), world.partials()), (episode == "same", 0));
    }
}

#[actix::test]
async fn a_disk_that_cannot_take_the_temp_file_is_told_and_frees_the_pair() {
    let world = World::new();
    std::fs::remove_dir(world.spool.dir()).unwrap();
    for body in bodies() {
        let Upload { parts, outcome } = world.begin(&claim_of("E1", &body));
        for part in [Part::Data(body), Part::Finish] {
            // A closed channel means that the upload has already ended. Its outcome is checked below.
            let _ = parts.send(part).await;
        }
        assert!(matches!(outcome.await.unwrap(), Err(IngestError::Storage(_))));
        assert_eq!(world.admission.in_flight(), 0);
    }
}
