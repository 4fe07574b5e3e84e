//! The archive as a stream of chunks, from the one descriptor whose bytes were hashed.
//!
//! The next chunk is read in the blocking pool while one is sent, so an upload of any size needs the memory
//! of a few chunks (invariant I8), and asking for a chunk is the sign of progress. A file that is shorter
//! than promised is an error. The end of an archive is held back until it is published: see
//! [`crate::store::outbox::Unpublished`].

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cis490_shared::step::Step;
use futures_util::stream::{Stream, try_unfold};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use crate::store::outbox::{Archive, read_at};
use crate::upload::deadlines::Progress;
use crate::upload::meter::Sending;
use crate::upload::pace::{LEAST_PART, Pace, Permit};
use crate::upload::published::Published;

/// How long nothing at all is sent while the end is held back; well below what either side takes for a stall.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// At most so many bytes are handed over at once: on a slow link, asking for the next piece is the only sign of progress.
const PIECE: usize = 32 * 1024;
/// What is sent of the end after that, in bytes: awc keeps less back until more comes.
const SIGN_BYTES: usize = LEAST_PART;

/// The bytes of an archive, at this pace, telling `progress` and `sending` of every chunk.
pub fn chunks(
    archive: &Archive,
    published: Published,
    pace: Pace,
    progress: Rc<Progress>,
    sending: Sending,
) -> impl Stream<Item = io::Result<Bytes>> + 'static {
    let body = Body {
        archive: archive.clone(),
        taken: 0,
        held: archive.first.clone(),
        ahead: None,
        next: Bytes::new(),
        published,
        pace,
        progress,
        sending,
    };
    try_unfold(body, |mut body| async move {
        let chunk = body.chunk().await?;
        Ok(chunk.map(|chunk| (chunk, body)))
    })
}

struct Body {
    archive: Archive,
    /// How much of it may go as soon as the pace allows, or has gone.
    taken: u64,
    /// What is read and not taken.
    held: Bytes,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
    /// What is taken and not sent.
    next: Bytes,
    published: Published,
    pace: Pace,
    progress: Rc<Progress>,
    sending: Sending,
}

impl Body {
    /// What is sent next; none at the end.
    async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.next.is_empty() {
            if self.taken == self.archive.size_bytes {
                self.progress.sent();
                return Ok(None);
            }
            self.progress.chunk();
            self.next = self.take().await?;
        }
        let Permit { bytes, at } = self.pace.permit(self.next.len().min(PIECE), Instant::now());
        if at > Instant::now() {
            self.progress.held_back();
            sleep_until(at).await;
        }
        self.progress.chunk();
        self.sending.sent(bytes as u64);
        Ok(Some(self.next.split_to(bytes)))
    }

    async fn take(&mut self) -> io::Result<Bytes> {
        if let Some(ahead) = self.ahead.take() {
            self.held = ahead.await.map_err(io::Error::other)??;
        }
        let read = self.taken + self.held.len() as u64;
        let chunk = if read < self.archive.size_bytes {
            let (file, size_bytes) = (Arc::clone(&self.archive.file), self.archive.size_bytes);
            self.ahead = Some(spawn_blocking(move || read_at(&file, read, size_bytes)));
            std::mem::take(&mut self.held)
        } else {
            self.end().await?
        };
        self.taken += chunk.len() as u64;
        Ok(chunk)
    }

    /// All that is left, once the archive is published; a little of it where that takes long.
    async fn end(&mut self) -> io::Result<Bytes> {
        let published = self.published.clone();
        let done = match self.held.len() > SIGN_BYTES {
            _ if !Step::HoldEnd.is_taken() => Ok(Ok(())),
            true => timeout(SIGN_OF_LIFE, published).await,
            false => Ok(published.await),
        };
        match done {
            Ok(done) => done.map(|()| std::mem::take(&mut self.held)).map_err(io::Error::other),
            Err(_) => Ok(self.held.split_to(SIGN_BYTES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::pin::pin;

    use cis490_shared::ids::{EpisodeId, Sha256Digest};
    use futures_util::{StreamExt, TryStreamExt, poll};

    use super::*;
    use crate::store::outbox::{OutboxError, READ_BYTES};
    use crate::upload::deadlines::Deadlines;
    use crate::upload::meter::Meter;

    /// An archive of `size_bytes` as it was hashed, in a file that holds `bytes` now.
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
            let read: Vec<Bytes> =
                chunks(&archive, Published::already(), Pace::default(), progress(), sending())
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
}
