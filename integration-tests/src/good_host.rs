//! A host that ships small episodes one by one over one connection, and measures each.
//!
//! Its times must not depend on what other clients do to the receiver meanwhile (I9).

use std::time::{Duration, Instant};

use cis490_shared::ids::CommitHash;

use crate::http::{self, Connection};
use crate::upload::Upload;

/// Size of its episodes in bytes: short uploads, whose latency people notice.
const EPISODE_BYTES: usize = 64 << 10;

/// A host that measures its own uploads.
pub struct GoodHost {
    name: String,
    url: String,
    commit: CommitHash,
    sent: usize,
}

impl GoodHost {
    /// Creates a host for a receiver whose gate is off.
    pub fn new(name: &str, url: &str) -> Self {
        let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
        Self { name: name.to_owned(), url: url.to_owned(), commit, sent: 0 }
    }

    /// Ships this many episodes, each of which must be stored at the first attempt. Returns the duration of each.
    pub fn ship(&mut self, episodes: usize) -> Vec<Duration> {
        let mut connection = Connection::open(&self.url);
        let uploads: Vec<_> = (self.sent..self.sent + episodes).map(|number| self.upload(number)).collect();
        self.sent += episodes;
        let took = |(path, bytes): (String, Vec<u8>)| {
            let began = Instant::now();
            connection.send(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
            let answer = connection.answer("PUT").unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(answer.status, 201, "{path}: {answer:?}");
            began.elapsed()
        };
        uploads.into_iter().map(took).collect()
    }

    /// Returns the number of episodes shipped so far.
    pub fn sent(&self) -> usize {
        self.sent
    }

    fn upload(&self, number: usize) -> (String, Vec<u8>) {
        let mut body = vec![7; EPISODE_BYTES];
        body[..8].copy_from_slice(&number.to_be_bytes());
        let upload = Upload::new(&self.name, &format!("E{number}"), &self.commit, &body);
        let length = body.len().to_string();
        let mut headers = upload.headers();
        headers.push(("content-length", &length));
        let bytes = [http::head("PUT", &upload.path, &headers), body].concat();
        (upload.path, bytes)
    }
}

/// Returns the duration that `percent` percent of the uploads did not exceed.
pub fn percentile(percent: usize, took: &[Duration]) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_two_hundred_may_take_longer_than_the_99th_percentile() {
        let took: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(99, &took), Duration::from_millis(198));
        assert_eq!(percentile(50, &took), Duration::from_millis(100));
        assert_eq!(percentile(99, &took[..1]), Duration::from_millis(200));
    }
}
