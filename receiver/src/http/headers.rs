//! Parses the head of an upload, from raw headers to the types of the rest of the receiver.

use actix_http::RequestHead;
use actix_web::http::header::{HeaderMap, HeaderValue, UPGRADE};
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::row::SCHEMA_VERSION;
use cis490_shared::wire::{headers, path};

use super::refusal::Refusal;
use crate::gate::window::ClaimedCommit;

/// The head of a PUT, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadHead {
    /// The host in the path.
    pub host_id: HostId,
    /// The episode in the path.
    pub episode_id: EpisodeId,
    /// `Content-Length`.
    pub length: u64,
    /// `X-Content-SHA256`.
    pub sha256: Sha256Digest,
    /// `X-Cis490-Code-Commit`.
    pub claimed: ClaimedCommit,
}

/// Returns the pair that an episode's path names.
pub fn pair(raw_path: &str) -> Result<(HostId, EpisodeId), Refusal> {
    let (host, episode) = path::split_episode(raw_path).ok_or(Refusal::NotFound)?;
    let host = HostId::parse(host).map_err(Refusal::HostId)?;
    let episode = EpisodeId::parse(episode).map_err(Refusal::EpisodeId)?;
    Ok((host, episode))
}

/// Parses the head of a PUT; fails with its first fault.
pub fn upload(head: &RequestHead, max_upload_bytes: u64) -> Result<UploadHead, Refusal> {
    let (host_id, episode_id) = pair(head.uri.path())?;
    let length = length(&head.headers, max_upload_bytes)?;
    ends_where_declared(&head.headers)?;
    let sha256 = required(&head.headers, headers::CONTENT_SHA256)?;
    let sha256 = Sha256Digest::parse(sha256)
        .map_err(|error| Refusal::Header { name: headers::CONTENT_SHA256, reason: error.to_string() })?;
    if let Some(version) = optional(&head.headers, headers::SCHEMA_VERSION)?
        && version != SCHEMA_VERSION.to_string()
    {
        return Err(Refusal::SchemaVersion);
    }
    agrees(&head.headers, headers::LAB_HOST, host_id.as_str())?;
    agrees(&head.headers, headers::EPISODE_ID, episode_id.as_str())?;
    let claimed = claimed_commit(&head.headers);
    Ok(UploadHead { host_id, episode_id, length, sha256, claimed })
}

fn length(map: &HeaderMap, max_upload_bytes: u64) -> Result<u64, Refusal> {
    let text = optional(map, "content-length")?.ok_or(Refusal::LengthRequired)?;
    let length = text.parse().map_err(|_| Refusal::Header {
        name: "content-length",
        reason: "it is not a number of bytes".to_owned(),
    })?;
    match length {
        0 => Err(Refusal::Header {
            name: "content-length",
            reason: "it is 0, and an episode's archive is never empty".to_owned(),
        }),
        _ if length > max_upload_bytes => Err(Refusal::TooLarge { length, limit: max_upload_bytes }),
        _ => Ok(length),
    }
}

/// Returns the commit that the head claims. A header that is repeated or not text counts as malformed, and the gate
/// decides about it.
fn claimed_commit(map: &HeaderMap) -> ClaimedCommit {
    match optional(map, headers::CODE_COMMIT) {
        Ok(None | Some("")) => ClaimedCommit::Missing,
        Ok(Some(text)) => CommitHash::parse(text).map_or(ClaimedCommit::Malformed, ClaimedCommit::Named),
        Err(_) => ClaimedCommit::Malformed,
    }
}

fn agrees(map: &HeaderMap, name: &'static str, in_path: &str) -> Result<(), Refusal> {
    match optional(map, name)? {
        Some(text) if text != in_path => Err(Refusal::IdentityMismatch { name }),
        _ => Ok(()),
    }
}

fn required<'a>(map: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    optional(map, name)?.ok_or(Refusal::Header { name, reason: "it is missing".to_owned() })
}

fn optional<'a>(map: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = map.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Header { name, reason: "it is sent more than once".to_owned() });
    }
    let text = value
        .to_str()
        .map_err(|_| Refusal::Header { name, reason: "it holds characters outside ASCII".to_owned() })?;
    Ok(Some(text.trim()))
}

/// Refuses a request to upgrade to WebSocket.
///
/// The HTTP library takes everything after an upgrade request as its body and ignores `Content-Length`. A proxy counts
/// bytes, so the next client's request on that connection would become part of this body. Other upgrades, such as
/// curl's offer of HTTP/2, are ignored, and the request is served as HTTP/1.1.
pub fn ends_where_declared(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_websocket = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    if headers.get_all(UPGRADE).any(is_websocket) {
        return Err(Refusal::Header {
            name: "upgrade",
            reason: "a body is taken over HTTP/1.1 only".to_owned(),
        });
    }
    Ok(())
}
