//! `meta.json`: what the recorder says about an episode (protocol section 3.3).

use serde::Deserialize;

use crate::excerpt::excerpt;
use crate::ids::{CommitHash, EpisodeId, IdError};
use crate::json;

/// The largest meta.json that is read, in bytes. The recorder's are below 4 KiB.
pub const MAX_META_BYTES: u64 = 1024 * 1024;

/// The fields of meta.json that decide where an episode goes; all others belong to the trainers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EpisodeMeta {
    /// The episode, equal to the name of its directory.
    pub episode_id: EpisodeId,
    /// 1; absent in the oldest episodes, which are of that form.
    #[serde(default = "schema_version")]
    pub schema_version: u32,
    #[serde(default)]
    code_version: Option<CodeVersion>,
}

const fn schema_version() -> u32 {
    crate::row::SCHEMA_VERSION
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct CodeVersion {
    #[serde(default)]
    commit: Option<String>,
    #[serde(default)]
    dirty: bool,
}

/// Why a meta.json cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// Zero bytes: in practice a power cut before the recorder's data reached the disk.
    #[error("meta.json is empty")]
    Empty,
    /// Above [`MAX_META_BYTES`].
    #[error("meta.json is larger than {MAX_META_BYTES} bytes")]
    TooLarge,
    /// Not JSON, or a field is missing or malformed.
    #[error("meta.json cannot be read: {}", excerpt(&.0.to_string()))]
    Malformed(#[source] serde_json::Error),
}

impl EpisodeMeta {
    /// Reads the text of a meta.json.
    pub fn parse(text: &[u8]) -> Result<Self, MetaError> {
        if text.is_empty() {
            return Err(MetaError::Empty);
        }
        if text.len() as u64 > MAX_META_BYTES {
            return Err(MetaError::TooLarge);
        }
        json::object(text).map_err(MetaError::Malformed)
    }

    /// The commit as recorded, before any check of its form: a receiver whose gate is off takes any text.
    pub fn commit_text(&self) -> Option<&str> {
        self.code_version.as_ref()?.commit.as_deref()
    }

    /// The commit that recorded the episode; none before the gate existed, an error where the text is no commit.
    pub fn commit(&self) -> Option<Result<CommitHash, IdError>> {
        self.commit_text().map(CommitHash::parse)
    }

    /// Whether the recording code had uncommitted changes.
    pub fn is_dirty(&self) -> bool {
        self.code_version.as_ref().is_some_and(|version| version.dirty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_commit_and_ignores_what_it_does_not_know() {
        let text = br#"{"schema_version": 1, "episode_id": "e1", "host_id": "h", "vm": {"vcpus": 2},
            "code_version": {"commit": "ABABABABABABABABABABABABABABABABABABABAB", "dirty": true, "x": 1}}"#;
        let meta = EpisodeMeta::parse(text).unwrap();
        assert_eq!(meta.commit().unwrap().unwrap().as_str(), "ab".repeat(20));
        assert!(meta.is_dirty());
    }

    #[test]
    fn an_episode_from_before_the_gate_has_no_commit() {
        let meta = EpisodeMeta::parse(br#"{"episode_id": "e1"}"#).unwrap();
        assert_eq!((meta.commit(), meta.schema_version, meta.is_dirty()), (None, 1, false));
    }

    #[test]
    fn a_commit_that_is_none_keeps_its_text() {
        let meta =
            EpisodeMeta::parse(br#"{"episode_id": "e1", "code_version": {"commit": "unknown"}}"#).unwrap();
        assert_eq!(meta.commit_text(), Some("unknown"));
        assert!(meta.commit().unwrap().is_err());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert!(matches!(EpisodeMeta::parse(b""), Err(MetaError::Empty)));
        assert!(matches!(EpisodeMeta::parse(b"[\"e1\"]"), Err(MetaError::Malformed(_))));
        assert!(matches!(EpisodeMeta::parse(b"{\"episode_id\": \"../e\"}"), Err(MetaError::Malformed(_))));
        assert!(matches!(EpisodeMeta::parse(&vec![b' '; 1024 * 1024 + 1]), Err(MetaError::TooLarge)));
    }
}
