//! One PUT of an episode, whose headers the test controls.

use cis490_shared::clock::WallTime;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId};
use cis490_shared::row::{IndexRow, SCHEMA_VERSION};
use cis490_shared::wire::headers;

use crate::archive::sha256_of;
use crate::http::{self, Answer};

/// A PUT with correct headers, which a test can change.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The path.
    pub path: String,
    /// The headers in the order of the wire, without `Content-Length` and `Expect`.
    pub headers: Vec<(String, String)>,
    /// The archive.
    pub body: Vec<u8>,
}

impl Upload {
    /// Describes the upload of `body` as `host`'s `episode`, recorded by `commit`.
    pub fn new(host: &str, episode: &str, commit: &CommitHash, body: &[u8]) -> Self {
        let owned = |name: &str, value: String| (name.to_owned(), value);
        Self {
            path: format!("/v1/episodes/{host}/{episode}.tar.zst"),
            headers: vec![
                owned(headers::CONTENT_SHA256, sha256_of(body).to_string()),
                owned(headers::CODE_COMMIT, commit.to_string()),
            ],
            body: body.to_vec(),
        }
    }

    /// Replaces the value of a header, whose name is given in lower case.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut changed = self.without(name);
        changed.headers.push((name.to_owned(), value.to_owned()));
        changed
    }

    /// Removes a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| found != name);
        self
    }

    /// Returns the headers as [`http`] takes them.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Sends head and body on a connection of its own, without waiting in between.
    pub fn put(&self, url: &str) -> Answer {
        http::request(url, "PUT", &self.path, &self.headers(), &self.body)
    }
}

/// Returns the line of the index for `host`'s `episode` with these bytes.
pub fn row_line(host: &str, episode: &str, body: &[u8]) -> Vec<u8> {
    let row = IndexRow {
        backfilled: false,
        commit: None,
        episode_id: EpisodeId::parse(episode).expect("an id"),
        host_id: HostId::parse(host).expect("an id"),
        received_at_wall: WallTime::from(std::time::SystemTime::UNIX_EPOCH),
        schema_version: SCHEMA_VERSION,
        sha256: sha256_of(body),
        size_bytes: body.len() as u64,
    };
    row.to_line().expect("a row")
}
