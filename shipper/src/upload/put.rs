//! Sends an episode: a PUT with `Expect: 100-continue`, so that a refusal costs no byte of the body, and the archive as
//! its body.
//!
//! awc waits for `100 Continue` without a deadline and reads no answer while it sends. So this module watches the
//! progress and gives up on its own. It only tells a broken upload from an answered one; [`crate::upload::ship`]
//! decides what follows.
//!
//! The body is read from the open file whose bytes were hashed. The next chunk is read in the blocking pool while the
//! current one is sent. So an upload of any size needs the memory of a few chunks (invariant I8). A request for the
//! next chunk is the sign of progress. A file that is shorter than promised is an error. The end of an archive is held
//! back until it is published: see [`crate::store::outbox::Unpublished`].

use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awc::body::SizedStream;
use awc::error::SendRequestError;
use awc::http::header::{HeaderValue, TryIntoHeaderValue};
use awc::http::{Method, header};
use bytes::Bytes;
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::row::SCHEMA_VERSION;
use cis490_shared::wire::{headers, path};
use futures_util::stream::{Stream, try_unfold};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use crate::answers::answer::Answer;
use crate::http::client::{Client, RequestError, read_answer, request_error};
use crate::http::connect::ConnectFailure;
use crate::store::outbox::{Archive, read_at};
use crate::upload::deadlines::{Deadlines, Late, Progress};
use crate::upload::meter::{Meter, Sending};
use crate::upload::pace::{LEAST_PART, Pace, Permit};
use crate::upload::prepare::Published;

/// The longest pause without a byte while the end is held back; well below the stall timeout of either side.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// The most bytes handed over at once: on a slow link, the request for the next piece is the only sign of progress.
const PIECE: usize = 32 * 1024;
/// Bytes of the end that are sent after that pause. awc buffers less than this until more comes.
const SIGN_BYTES: usize = LEAST_PART;
/// How long uploads go without `Expect` after a receiver has ignored it.
const WITHOUT_EXPECT: Duration = Duration::from_mins(10);
/// The longest text that is sent as a commit, in bytes. A longer one would make the head too long for the receiver or a
/// proxy (431), on every try.
const MAX_COMMIT_BYTES: usize = 1024;

/// An episode that is ready to be sent.
pub struct Upload<'a> {
    /// The name of this host.
    pub host_id: &'a HostId,
    /// The id of the episode.
    pub episode_id: &'a EpisodeId,
    /// The commit as in meta.json; the receiver validates its form.
    pub commit: Option<&'a str>,
    /// The archive to send.
    pub archive: &'a Archive,
    /// Ready when the last bytes may be sent.
    pub published: Published,
}

/// The result of a PUT.
#[derive(Debug)]
pub enum Put {
    /// An answer came.
    Answered(Answer),
    /// Nothing reacted to the `Expect` header, so no byte of the body was sent.
    NoContinue,
    /// The upload broke before an answer came. Whether the receiver has the episode is unknown.
    Broken {
        /// The cause.
        reason: String,
        /// Whether a byte of the body may have been sent.
        body_began: bool,
        /// Whether the shipper gave up because nothing moved.
        stalled: bool,
    },
    /// There was no connection, so nothing was sent.
    Unreachable(ConnectFailure),
    /// This host could not read the archive to its end, or could not publish it.
    ArchiveUnreadable(String),
}

/// Sends one episode. With `expect`, sends the body only after the receiver has asked for it.
pub async fn put(
    client: &Client,
    upload: &Upload<'_>,
    expect: bool,
    deadlines: Deadlines,
    meter: &Meter,
    pace: &Pace,
) -> Put {
    let sending = meter.begin(upload.episode_id, upload.archive.size_bytes);
    let progress = Rc::new(Progress::begin(deadlines));
    let body = chunks(upload.archive, upload.published.clone(), pace.clone(), Rc::clone(&progress), sending);
    let asked = Instant::now();
    let request = head(client, upload, expect).send_body(SizedStream::new(upload.archive.size_bytes, body));
    let sent = tokio::select! {
        biased;
        sent = request => sent,
        late = progress.late(|| client.last_connected()) => return gave_up(late, expect, progress.body_began()),
    };
    match sent {
        Ok(response) => {
            client.note_clock(response.headers(), asked);
            let answer = read_answer(response, deadlines.small).await;
            if !progress.body_began() {
                client.forget_connections();
            }
            Put::Answered(answer)
        }
        Err(SendRequestError::Body(error)) => Put::ArchiveUnreadable(error.to_string()),
        Err(error) => match request_error(error) {
            RequestError::Unreachable(failure) => Put::Unreachable(failure),
            other => {
                let (reason, body_began) = (other.to_string(), progress.body_began());
                Put::Broken { reason, body_began, stalled: false }
            }
        },
    }
}

/// Builds the request with the headers of protocol 2.1. The length follows from the body.
fn head(client: &Client, upload: &Upload<'_>, expect: bool) -> awc::ClientRequest {
    let mut request = client
        .request(Method::PUT, &path::episode(upload.host_id, upload.episode_id))
        .insert_header((header::CONTENT_TYPE, headers::EPISODE_MEDIA_TYPE))
        .insert_header((headers::CONTENT_SHA256, upload.archive.sha256.to_string()))
        .insert_header((headers::SCHEMA_VERSION, SCHEMA_VERSION))
        .insert_header((headers::LAB_HOST, upload.host_id.as_str()))
        .insert_header((headers::EPISODE_ID, upload.episode_id.as_str()));
    if let Some(commit) = upload.commit.and_then(legal_value) {
        request = request.insert_header((headers::CODE_COMMIT, commit));
    }
    match expect {
        true => request.insert_header((header::EXPECT, "100-continue")),
        false => request,
    }
}

/// Returns the header value for a commit. `None` if the text is too long or no header can carry it. The receiver then
/// reports a missing commit.
fn legal_value(text: &str) -> Option<HeaderValue> {
    text.try_into_value().ok().filter(|value: &HeaderValue| value.len() <= MAX_COMMIT_BYTES)
}

fn gave_up(late: Late, expect: bool, body_began: bool) -> Put {
    match late {
        Late::Continue(_) if expect => Put::NoContinue,
        late => Put::Broken { reason: late.to_string(), body_began, stalled: true },
    }
}

/// Streams the bytes of an archive at this pace, and reports every chunk to `progress` and `sending`.
fn chunks(
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
    /// Bytes of the archive that may be sent as soon as the pace allows, or were sent.
    taken: u64,
    /// Bytes that are read but not taken.
    held: Bytes,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
    /// Bytes that are taken but not sent.
    next: Bytes,
    published: Published,
    pace: Pace,
    progress: Rc<Progress>,
    sending: Sending,
}

impl Body {
    /// Returns the next piece to send. `None` at the end.
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

    /// Returns the rest once the archive is published, or a few bytes of it if that takes long.
    async fn end(&mut self) -> io::Result<Bytes> {
        let published = self.published.clone();
        let done = match self.held.len() > SIGN_BYTES {
            true => timeout(SIGN_OF_LIFE, published).await,
            false => Ok(published.await),
        };
        match done {
            Ok(done) => done.map(|()| std::mem::take(&mut self.held)).map_err(io::Error::other),
            Err(_) => Ok(self.held.split_to(SIGN_BYTES)),
        }
    }
}

/// Decides whether uploads wait for `100 Continue`: not for ten minutes after one whose `Expect` header was ignored.
///
/// Clones share the state, so a proxy that swallows the header costs one wait and one log entry, whatever the number of
/// uploaders.
#[derive(Debug, Clone, Default)]
pub struct Expect(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    without_until: Option<Instant>,
    is_ignored: bool,
}

impl Expect {
    /// Returns true if an upload that begins at `now` waits for `100 Continue`.
    pub fn is_sent(&self, now: Instant) -> bool {
        self.known().without_until.is_none_or(|until| now >= until)
    }

    /// Records that an upload was answered only without the header. Returns true if the state changed.
    pub fn was_ignored(&self, now: Instant) -> bool {
        let mut known = self.known();
        known.without_until = Some(now + WITHOUT_EXPECT);
        !std::mem::replace(&mut known.is_ignored, true)
    }

    /// Records that an upload with the header was answered. Returns true if the state changed.
    pub fn was_answered(&self) -> bool {
        let mut known = self.known();
        known.without_until = None;
        std::mem::take(&mut known.is_ignored)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No code that could panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
