//! Small requests: is an episode stored, would a commit be admitted, does the receiver answer.
//!
//! Each takes one round trip. `limit` applies to the head of the answer, and once more to its body. What an answer
//! means for an episode is decided elsewhere.

use std::time::Duration;

use awc::error::PayloadError;
use awc::http::{Method, StatusCode};
use awc::{ClientRequest, ClientResponse};
use bytes::Bytes;
use cis490_shared::excerpt::excerpt_of_lines;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::wire::answer::{CommitAnswer, GateAnswer};
use cis490_shared::wire::headers::{CONTENT_SHA256, LAB_HOST};
use cis490_shared::wire::path;
use futures_util::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::answers::answer::Answer;
use crate::http::client::{Client, RequestError, read_answer, request_error};

/// The answer to a HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// An episode of this id is stored; its hash, if the receiver names one.
    Yes(Option<Sha256Digest>),
    /// No episode of this id is stored, or an earlier receiver does not know the question.
    No,
    /// Any other answer.
    Unclear(Answer),
}

/// Asks whether an episode is stored.
pub async fn head(
    client: &Client,
    host: &HostId,
    episode: &EpisodeId,
    limit: Duration,
) -> Result<Stored, RequestError> {
    let request = client.request(Method::HEAD, &path::episode(host, episode));
    let response = send(client, request, limit).await?;
    match response.status() {
        StatusCode::OK => {
            let hash = response.headers().get(CONTENT_SHA256).and_then(|value| value.to_str().ok());
            Ok(Stored::Yes(hash.and_then(|text| Sha256Digest::parse(text).ok())))
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(Stored::No),
        _ => Ok(Stored::Unclear(read_answer(response, limit).await)),
    }
}

/// The gate's answer about a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    /// The verdict.
    Says(CommitAnswer),
    /// An earlier receiver does not know the question, or the answer cannot be used. The PUT will tell.
    Mute,
    /// The receiver takes nothing at the moment, or nothing from this host; the answer says why.
    Unclear(Answer),
}

/// Asks whether an episode of a commit would be admitted from this host, because an amnesty may be for one host alone.
pub async fn gate(
    client: &Client,
    host: &HostId,
    commit: &CommitHash,
    limit: Duration,
) -> Result<Gate, RequestError> {
    let request = client.request(Method::GET, &path::gate_of(commit));
    let answer = small(client, request.insert_header((LAB_HOST, host.as_str())), limit).await?;
    Ok(match answer.status {
        200 => match read::<CommitAnswer>(&answer).filter(|said| said.commit == *commit) {
            Some(said) => Gate::Says(CommitAnswer {
                remediation: said.remediation.as_deref().map(excerpt_of_lines),
                ..said
            }),
            None => Gate::Mute,
        },
        401 | 403 | 429 | 500..=599 => Gate::Unclear(answer),
        _ => Gate::Mute,
    })
}

/// Returns the state of the gate. `None` if the answer is not a receiver's.
pub async fn gate_state(client: &Client, limit: Duration) -> Result<Option<GateAnswer>, RequestError> {
    let answer = small(client, client.request(Method::GET, path::GATE), limit).await?;
    Ok(read(&answer).filter(|_| answer.status == 200))
}

/// What a receiver says about the room on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Room {
    /// What can still be stored, in bytes.
    pub free_bytes: Option<u64>,
    /// Why uploads cannot be taken, or soon not.
    pub problem: Option<String>,
}

/// The receiver's room, where its health says so; a receiver that cannot take uploads says it with 503.
pub async fn room(client: &Client, limit: Duration) -> Result<Option<Room>, RequestError> {
    #[derive(Deserialize)]
    struct Health {
        store: Room,
    }
    let answer = small(client, client.request(Method::GET, path::HEALTH), limit).await?;
    let is_health = matches!(answer.status, 200 | 503);
    Ok(read::<Health>(&answer).filter(|_| is_health).map(|health| health.store))
}

/// The body of an answer, where it is whole and of this form.
pub fn read<T: DeserializeOwned>(answer: &Answer) -> Option<T> {
    // serde would read a struct from an array as well.
    answer.object().and_then(|members| serde_json::from_value(members.into()).ok())
}

/// Tests the whole path to the receiver and back, for this host: a token of another host is refused. Writes nothing.
pub async fn ping(client: &Client, host: &HostId, limit: Duration) -> Result<Answer, RequestError> {
    let request = client.request(Method::POST, path::PING).insert_header((LAB_HOST, host.as_str()));
    small(client, request, limit).await
}

async fn small(client: &Client, request: ClientRequest, limit: Duration) -> Result<Answer, RequestError> {
    let response = send(client, request, limit).await?;
    Ok(read_answer(response, limit).await)
}

/// Sends a request, and returns the head of the answer within `limit`.
async fn send(
    client: &Client,
    request: ClientRequest,
    limit: Duration,
) -> Result<ClientResponse<impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + use<>>, RequestError> {
    let asked = Instant::now();
    let response = timeout(limit, request.send())
        .await
        .map_err(|_| RequestError::TimedOut(limit))?
        .map_err(request_error)?;
    client.note_clock(response.headers(), asked);
    Ok(response)
}
