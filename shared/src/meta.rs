//! `meta.json`: the recorder's description of an episode (protocol section 3.3).

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::excerpt::excerpt;
use crate::ids::{CommitHash, EpisodeId, IdError};
use crate::json;
use crate::regular;

/// The file that describes an episode: in its directory, and as the first member of its archive, directly below the
/// archive's top directory.
pub const META_NAME: &str = "meta.json";

/// Maximum size of a meta.json in bytes. The recorder's files are below 4 KiB.
pub const MAX_META_BYTES: u64 = 1024 * 1024;

/// The fields of meta.json that decide where an episode goes. All other fields are for the trainers and are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeMeta {
    /// The episode, which must equal the name of its directory.
    pub episode_id: EpisodeId,
    commit: Option<String>,
}

#[derive(Deserialize)]
struct Identified {
    episode_id: EpisodeId,
}

/// The reason why a meta.json cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The file has zero bytes: in practice a power cut before the recorder's data reached the disk.
    #[error("meta.json is empty")]
    Empty,
    /// The file is larger than [`MAX_META_BYTES`].
    #[error("meta.json is larger than {MAX_META_BYTES} bytes")]
    TooLarge,
    /// The text is not JSON, or a field is missing or malformed.
    #[error("meta.json cannot be read: {}", excerpt(&.0.to_string()))]
    Malformed(#[source] serde_json::Error),
}

impl EpisodeMeta {
    /// Reads the meta.json of an episode directory; `None` if it cannot be read or parsed. For advice and counts: an
    /// episode that is packed is read beneath its open directory. Blocks.
    pub fn beside(episode: &Path) -> Option<Self> {
        Self::parse(&regular::read(&episode.join(META_NAME), MAX_META_BYTES).ok()?).ok()
    }

    /// Parses the text of a meta.json.
    pub fn parse(text: &[u8]) -> Result<Self, MetaError> {
        if text.is_empty() {
            return Err(MetaError::Empty);
        }
        if text.len() as u64 > MAX_META_BYTES {
            return Err(MetaError::TooLarge);
        }
        let Identified { episode_id } = read(text).map_err(MetaError::Malformed)?;
        let commit = recorded_commit(text).map_err(MetaError::Malformed)?;
        Ok(Self { episode_id, commit })
    }

    /// Returns the commit as recorded, without a check of its form, because a receiver whose gate is off accepts any
    /// text.
    pub fn commit_text(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Returns the commit that recorded the episode. `None` if the episode names none, as before the gate existed; an
    /// error if the text is not a commit.
    pub fn commit(&self) -> Option<Result<CommitHash, IdError>> {
        self.commit_text().map(CommitHash::parse)
    }
}

/// Returns the commit that a meta.json names, without white space around it; `None` if it names none, as before the
/// gate existed. Does not check the episode id, which a backfill does not need.
pub fn recorded_commit(text: &[u8]) -> Result<Option<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Recorded {
        code_version: Option<CodeVersion>,
    }
    #[derive(Deserialize)]
    struct CodeVersion {
        commit: Option<String>,
    }
    let recorded: Recorded = read(text)?;
    Ok(recorded.code_version.and_then(|version| version.commit).map(|commit| commit.trim().to_owned()))
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    json::object(&without_what_only_python_writes(text))
}

/// Converts the text to JSON: without a byte order mark, and with `null` for `NaN`, `Infinity` and `-Infinity`.
/// Python's `json` writes these for numbers that JSON cannot express. Strings stay unchanged.
fn without_what_only_python_writes(text: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !rest.contains(&b'N') && !rest.contains(&b'I') {
        return Cow::Borrowed(rest);
    }
    let (mut json, mut in_string) = (Vec::with_capacity(rest.len()), false);
    while let Some(&byte) = rest.first() {
        let number =
            [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|number| rest.starts_with(number));
        let taken = match (byte, number) {
            (b'\\', _) if in_string => 2.min(rest.len()),
            (_, Some(number)) if !in_string => {
                json.extend_from_slice(b"null");
                rest = &rest[number.len()..];
                continue;
            }
            _ => 1,
        };
        in_string ^= byte == b'"';
        json.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    Cow::Owned(json)
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
    }

    #[test]
    fn an_episode_from_before_the_gate_has_no_commit() {
        let meta = EpisodeMeta::parse(br#"{"episode_id": "e1"}"#).unwrap();
        assert_eq!(meta.commit(), None);
    }

    #[test]
    fn a_commit_that_is_none_keeps_its_text() {
        let meta =
            EpisodeMeta::parse(br#"{"episode_id": "e1", "code_version": {"commit": "unknown"}}"#).unwrap();
        assert_eq!(meta.commit_text(), Some("unknown"));
        assert!(meta.commit().unwrap().is_err());
    }

    #[test]
    fn what_nobody_needs_may_be_anything_that_python_writes() {
        let commit = "ab".repeat(20);
        for (begin, dirty) in [
            ("\u{feff}{", "false"),
            (r#"{"loss": NaN, "best": -Infinity, "worst": [Infinity, {"x":NaN}], "#, "false"),
            (r#"{"note": "NaN \" Infinity \\", "x": NaN, "#, "false"),
            (r#"{"schema_version": null, "#, "null"),
            (r#"{"schema_version": 1.0, "#, "NaN"),
            (r#"{"schema_version": "1", "#, r#""yes""#),
            (r#"{"schema_version": 2, "surrogate": "\ud800", "#, "1"),
            (r#"{"huge": 123456789012345678901234567890, "#, "[]"),
        ] {
            for space in ["", "\\n", "\\r\\n", "\\t"] {
                let text = format!(
                    r#"{begin}"episode_id": "e1", "code_version": {{"commit": "{commit}{space}", "dirty": {dirty}}}}}"#
                );
                let meta = EpisodeMeta::parse(text.as_bytes());
                let meta = meta.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(
                    (meta.episode_id.as_str(), meta.commit_text()),
                    ("e1", Some(commit.as_str())),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn what_decides_must_be_what_it_says() {
        for text in [
            r#"{"episode_id": null}"#,
            r#"{"episode_id": NaN}"#,
            r#"{"episode_id": "e1", "code_version": {"commit": NaN, "commit": "x"}}"#,
            r#"{"episode_id": "e1", "code_version": "x"}"#,
            r#"{"episode_id": "e1", "code_version": {"commit": 7}}"#,
            r#"{"episode_id": "e1", "x": NaNo}"#,
            r#"{"episode_id": "e1", NaN: 1}"#,
            r#"{"episode_id": "e1", "x": "NaN}"#,
            r#"{"episode_id": "e1"} {}"#,
        ] {
            assert!(matches!(EpisodeMeta::parse(text.as_bytes()), Err(MetaError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert!(matches!(EpisodeMeta::parse(b""), Err(MetaError::Empty)));
        assert!(matches!(EpisodeMeta::parse(b"[\"e1\"]"), Err(MetaError::Malformed(_))));
        assert!(matches!(EpisodeMeta::parse(b"{\"episode_id\": \"../e\"}"), Err(MetaError::Malformed(_))));
        assert!(matches!(EpisodeMeta::parse(&vec![b' '; 1024 * 1024 + 1]), Err(MetaError::TooLarge)));
    }
}
