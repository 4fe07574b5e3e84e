//! The body as a stream, and the decision whether uploads wait for `100 Continue`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::pin::pin;

use cis490_shared::ids::{EpisodeId, Sha256Digest};
use futures_util::{StreamExt, TryStreamExt, poll};

use super::*;
use crate::store::outbox::{OutboxError, READ_BYTES};

/// Returns an archive that was hashed with `size_bytes` bytes, in a file that holds `bytes` now.
fn archive(bytes: &[u8], size_bytes: usize) -> Archive {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    let first = Bytes::copy_from_slice(&bytes[..size_bytes.min(READ_BYTES)]);
    let sha256 = Sha256Digest::from_bytes([0; 32]);
    Archive { file: Arc::<File>::new(file), sha256, size_bytes: size_bytes as u64, first }
}

fn progress() -> Rc<Progress> {
    Rc::new(Progress::begin(Deadlines::default()))
}

fn sending() -> Sending {
    Meter::default().begin(&EpisodeId::parse("sent").unwrap(), 0)
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

#[tokio::test]
async fn the_chunks_are_the_file_whatever_its_length() {
    for length in [1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, READ_BYTES * 3] {
        let bytes = noise(length);
        let archive = archive(&bytes, length);
        let read: Vec<Bytes> = chunks(&archive, Published::already(), Pace::default(), progress(), sending())
            .try_collect()
            .await
            .unwrap();
        assert_eq!(read.concat(), bytes);
    }
}

#[tokio::test]
async fn a_file_that_was_cut_is_an_error_and_not_a_short_body() {
    let archive = archive(&noise(READ_BYTES + 5), READ_BYTES + 6);
    let mut stream = pin!(chunks(&archive, Published::already(), Pace::default(), progress(), sending()));
    for _ in 0..READ_BYTES / PIECE {
        assert!(stream.next().await.unwrap().is_ok());
    }
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_file_that_grew_is_sent_as_it_was_hashed() {
    let bytes = noise(READ_BYTES * 2);
    let archive = archive(&bytes, READ_BYTES + 4);
    let read: Vec<Bytes> = chunks(&archive, Published::already(), Pace::default(), progress(), sending())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.concat(), bytes[..READ_BYTES + 4]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_archive_waits_until_it_is_published_and_the_connection_is_kept_alive() {
    let bytes = noise(READ_BYTES + 2 * SIGN_BYTES + 1200);
    let archive = archive(&bytes, bytes.len());
    let (publish, job) = tokio::sync::oneshot::channel::<()>();
    let published = Published::when(async { job.await.map_err(|_| OutboxError::Stopped) });
    let mut stream = pin!(chunks(&archive, published, Pace::default(), progress(), sending()));
    let mut read = Vec::new();
    while read.len() < READ_BYTES {
        read.extend(stream.next().await.unwrap().unwrap());
    }
    for _ in 0..2 {
        let sign = stream.next().await.unwrap().unwrap();
        assert_eq!(sign.len(), SIGN_BYTES);
        read.extend(sign);
    }
    tokio::time::sleep(SIGN_OF_LIFE * 100).await;
    assert!(poll!(stream.next()).is_pending(), "the last byte never goes before that");
    publish.send(()).unwrap();
    read.extend(stream.next().await.unwrap().unwrap());
    assert!(stream.next().await.is_none());
    assert_eq!(read, bytes);
}

#[tokio::test]
async fn an_archive_that_cannot_be_published_is_not_sent_to_its_end() {
    let archive = archive(b"whole", 5);
    let published = Published::when(async { Err(OutboxError::Stopped) });
    let mut stream = pin!(chunks(&archive, published, Pace::default(), progress(), sending()));
    assert_eq!(stream.next().await.unwrap().unwrap_err().to_string(), "stopped");
}

#[test]
fn an_ignored_header_is_news_once_for_all_uploaders_and_tried_again_after_a_while() {
    let (expect, now) = (Expect::default(), Instant::now());
    let of_another = expect.clone();
    assert!(expect.is_sent(now) && !expect.was_answered());
    assert!(expect.was_ignored(now));
    assert!(!of_another.is_sent(now) && !of_another.was_ignored(now));
    let later = now + WITHOUT_EXPECT;
    assert!(of_another.is_sent(later), "it may have been mended");
    assert!(!expect.was_ignored(later), "still the same");
    assert!(of_another.was_answered() && expect.is_sent(later));
    assert!(expect.was_ignored(later), "news again");
}
