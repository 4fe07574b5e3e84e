//! The upload itself: PUT with `Expect: 100-continue`, so that a refusal costs no byte of the body.
//!
//! awc waits for `100 Continue` for ever and reads no answer while it sends, so this watches the progress
//! and gives up on its own. What is to be done about an upload that broke is [`crate::upload::ship`]'s
//! affair: here it is only told apart from one that was answered.

use std::rc::Rc;

use awc::body::SizedStream;
use awc::error::SendRequestError;
use awc::http::header::{HeaderValue, TryIntoHeaderValue};
use awc::http::{Method, header};
use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::row::SCHEMA_VERSION;
use cis490_shared::wire::{headers, path};
use tokio::time::Instant;

use crate::answers::answer::Answer;
use crate::http::client::{Client, RequestError, read_answer, request_error};
use crate::http::connect::ConnectFailure;
use crate::store::outbox::Archive;
use crate::upload::body::chunks;
use crate::upload::deadlines::{Deadlines, Late, Progress};
use crate::upload::meter::Meter;
use crate::upload::pace::Pace;
use crate::upload::published::Published;

/// One episode, ready to go.
pub struct Upload<'a> {
    /// This host.
    pub host_id: &'a HostId,
    /// The episode.
    pub episode_id: &'a EpisodeId,
    /// The commit as meta.json has it; the receiver judges its form.
    pub commit: Option<&'a str>,
    /// What is sent.
    pub archive: &'a Archive,
    /// When its last bytes may be sent.
    pub published: Published,
}

/// How a PUT ended.
#[derive(Debug)]
pub enum Put {
    /// With an answer.
    Answered(Answer),
    /// Before a byte of the body was sent: nobody reacted to the `Expect` header.
    NoContinue,
    /// In between. Whether the receiver has the episode is unknown.
    Broken {
        /// What happened.
        reason: String,
        /// Whether a byte of the body may have been sent.
        body_began: bool,
        /// Whether it was given up because nothing moved.
        stalled: bool,
    },
    /// Before it began: there is no connection.
    Unreachable(ConnectFailure),
    /// Because the archive could not be read to its end, or not be published, on this host.
    ArchiveUnreadable(String),
}

/// Sends one episode; with `expect`, its body only once the receiver asks for it.
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

/// The request with the headers of protocol 2.1; the length follows from the body.
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

/// The longest text that is sent as a commit, in bytes. A longer one would end as a head that is too long for somebody
/// on the way (431), time and again.
const MAX_COMMIT_BYTES: usize = 1024;

/// A text that no header can carry is left out: the receiver then says that the commit is missing.
fn legal_value(text: &str) -> Option<HeaderValue> {
    text.try_into_value().ok().filter(|value: &HeaderValue| value.len() <= MAX_COMMIT_BYTES)
}

fn gave_up(late: Late, expect: bool, body_began: bool) -> Put {
    match late {
        Late::Continue(_) if expect => Put::NoContinue,
        late => Put::Broken { reason: late.to_string(), body_began, stalled: true },
    }
}
