//! One line of `index.jsonl` (protocol section 3.2).
//!
//! Readers skip lines that are blank or do not parse, ignore unknown keys, and use the first row of a pair.
//! [`read_key`] is the cheap version for readers that only need the pairs.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use crate::json;

pub mod lines;
mod plain;

/// The version of the row and of the episode format that this generation writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A stored episode as trainers see it. The fields are in the order of their keys, because rows are written with sorted
/// keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRow {
    /// True only on a row that was reconstructed after the upload.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backfilled: bool,
    /// The commit that recorded the episode, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitHash>,
    /// The episode, unique within its host.
    pub episode_id: EpisodeId,
    /// The host that recorded it.
    pub host_id: HostId,
    /// The time when the receiver stored it; for a backfilled row the modification time of the archive.
    pub received_at_wall: WallTime,
    /// The version of the row, 1 at present; a row without this key counts as 1.
    #[serde(default = "schema_version")]
    pub schema_version: u32,
    /// The hash of the archive.
    pub sha256: Sha256Digest,
    /// The size of the archive in bytes.
    pub size_bytes: u64,
}

const fn schema_version() -> u32 {
    SCHEMA_VERSION
}

impl IndexRow {
    /// Returns the row as one line with its newline.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Parses a line, with or without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        json::object(line)
    }
}

/// The pair, hash and size of a row, which the index keeps in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKey {
    /// The host of the pair.
    pub host_id: HostId,
    /// The episode of the pair.
    pub episode_id: EpisodeId,
    /// The hash of its archive; `None` if the row has no valid one.
    pub sha256: Option<Sha256Digest>,
    /// The size of its archive in bytes; `None` if the row does not state it.
    pub size_bytes: Option<u64>,
}

/// Reads the pair of a line; `None` if the line is blank, torn or not a row.
///
/// Lenient on purpose: a row that names its pair counts as the row of that pair, even if its other fields are invalid.
pub fn read_key(line: &[u8]) -> Option<RowKey> {
    match plain::read(line) {
        Some(row) => key(row.host_id, row.episode_id, Some(row.sha256), Some(row.size_bytes)),
        None => read_key_as_json(line),
    }
}

fn read_key_as_json(line: &[u8]) -> Option<RowKey> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        host_id: Cow<'a, str>,
        #[serde(borrow)]
        episode_id: Cow<'a, str>,
        #[serde(borrow, default)]
        sha256: Option<Cow<'a, str>>,
        #[serde(default)]
        size_bytes: serde_json::Value,
    }
    let raw: Raw<'_> = json::object(line).ok()?;
    key(&raw.host_id, &raw.episode_id, raw.sha256.as_deref(), raw.size_bytes.as_u64())
}

fn key(host_id: &str, episode_id: &str, sha256: Option<&str>, size_bytes: Option<u64>) -> Option<RowKey> {
    Some(RowKey {
        host_id: HostId::parse(host_id).ok()?,
        episode_id: EpisodeId::parse(episode_id).ok()?,
        sha256: sha256.and_then(|text| Sha256Digest::parse(text).ok()),
        size_bytes,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> IndexRow {
        IndexRow {
            backfilled: false,
            commit: Some(CommitHash::parse(&"ab".repeat(20)).unwrap()),
            episode_id: EpisodeId::parse("01JD8Z5V6T7M3K2Q9W8E4R5T6Y").unwrap(),
            host_id: HostId::parse("lab-1").unwrap(),
            received_at_wall: WallTime::from(std::time::SystemTime::UNIX_EPOCH),
            schema_version: 1,
            sha256: Sha256Digest::from_bytes([7; 32]),
            size_bytes: 4096,
        }
    }

    #[test]
    fn is_written_as_one_line_with_sorted_keys() {
        let line = String::from_utf8(row().to_line().unwrap()).unwrap();
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        let mut at = 0;
        let mut sorted: Vec<&String> = value.keys().collect();
        sorted.sort();
        for key in sorted {
            let found = line.find(&format!("\"{key}\":")).unwrap();
            assert!(found >= at, "{key} stands before its predecessor in {line}");
            at = found;
        }
        assert!(!line.contains("backfilled"), "only a reconstructed row says so");
    }

    #[test]
    fn optional_keys_are_absent_rather_than_null() {
        let line = String::from_utf8(IndexRow { commit: None, ..row() }.to_line().unwrap()).unwrap();
        assert!(!line.contains("commit"), "{line}");
    }

    #[test]
    fn reads_what_the_earlier_generation_wrote() {
        let spaced = br#"{"episode_id": "e1", "host_id": "h1", "received_at_wall": "2025-01-02T03:04:05.000006+00:00", "schema_version": 1, "sha256": "0707070707070707070707070707070707070707070707070707070707070707", "size_bytes": 12, "note": [1, {"x": "\u00e9"}]}"#;
        let row = IndexRow::parse(spaced).unwrap();
        assert_eq!((row.commit, row.backfilled, row.size_bytes), (None, false, 12));
        assert_eq!(row.received_at_wall.as_str(), "2025-01-02T03:04:05.000006+00:00");
        let key = read_key(spaced).unwrap();
        assert_eq!((key.host_id.as_str(), key.sha256), ("h1", Some(Sha256Digest::from_bytes([7; 32]))));
    }

    #[test]
    fn what_is_not_a_row_has_no_key() {
        for junk in [
            &b""[..],
            b"\n",
            b"{\"host_id\":\"h\",\"epis",
            b"null",
            b"[]",
            b"{}",
            b"\xff\xfe",
            b"{\"host_id\":\"../x\",\"episode_id\":\"e\"}",
            b"[\"h\",\"e\"]",
            b"{\"host_id\":\"h\",\"episode_id\":\"e\",\"note\":\"\xff\"}",
            b"[false,null,\"e\",\"h\",\"2025\",1,\"0707070707070707070707070707070707070707070707070707070707070707\",1]",
        ] {
            assert_eq!(read_key(junk), None, "{junk:?}");
            assert!(IndexRow::parse(junk).is_err(), "{junk:?}");
        }
    }

    #[test]
    fn a_row_with_an_odd_hash_still_counts_for_its_pair() {
        let key =
            read_key(br#"{"host_id":"h","episode_id":"e","sha256":"not one","size_bytes":"x"}"#).unwrap();
        assert_eq!((key.sha256, key.size_bytes), (None, None));
    }

    #[test]
    fn a_written_row_reads_back() {
        let row = IndexRow { backfilled: true, ..row() };
        assert_eq!(IndexRow::parse(&row.to_line().unwrap()).unwrap(), row);
    }

    #[test]
    fn a_written_row_is_read_the_quick_way() {
        for (backfilled, commit, size_bytes) in [
            (false, None, 0),
            (true, row().commit, u64::from(u32::MAX) << 31),
            (false, row().commit, 1),
            (true, None, 7),
        ] {
            let row = IndexRow { backfilled, commit, size_bytes, ..row() };
            let line = row.to_line().unwrap();
            assert!(plain::read(&line).is_some(), "{row:?}");
            let key = read_key(&line).unwrap();
            assert_eq!((key.host_id, key.episode_id), (row.host_id, row.episode_id));
            assert_eq!((key.sha256, key.size_bytes), (Some(row.sha256), Some(size_bytes)));
        }
    }

    #[test]
    fn the_quick_way_leaves_what_is_unusual_to_the_other() {
        let line = String::from_utf8(row().to_line().unwrap()).unwrap();
        let unusual = [
            (":4096", ":04096"),
            (":4096", ":-1"),
            (":4096", ":1e3"),
            (":4096", ":99999999999999999999"),
            (":4096", ":"),
            (":4096", ":4096,\"size_bytes\":1"),
            ("lab-1", "lab\\u002d1"),
            ("lab-1", "lab\u{e9}"),
            ("lab-1", "lab\n1"),
            ("}", "} "),
            ("}", "}}"),
            ("{", "{ "),
            ("\"host_id\"", "\"note\":1,\"host_id\""),
        ];
        for (from, to) in unusual {
            let changed = line.replacen(from, to, 1);
            assert_ne!(changed, line, "{from}");
            assert_eq!(plain::read(changed.as_bytes()), None, "{changed}");
            assert_eq!(read_key(changed.as_bytes()), read_key_as_json(changed.as_bytes()), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn keys_that_nobody_knows_yet_are_no_hindrance(name in "[a-z_]{1,20}", value in any::<String>()) {
            let mut object = serde_json::to_value(row()).unwrap();
            let known = object.get(&name).is_some() || name == "backfilled";
            prop_assume!(!known);
            object[name] = value.into();
            let line = serde_json::to_vec(&object).unwrap();
            prop_assert_eq!(IndexRow::parse(&line).unwrap(), row());
            prop_assert_eq!(read_key(&line), read_key(&row().to_line().unwrap()));
        }

        #[test]
        fn both_ways_agree_about_damaged_rows(
            (size, backfilled) in (any::<u64>(), any::<bool>()),
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3, any::<u8>()), 0..4),
        ) {
            const ODD: &[u8] = b"\"\\,:{} 0aZ\n";
            let mut line = IndexRow { size_bytes: size, backfilled, ..row() }.to_line().unwrap();
            for (at, how, byte) in damage {
                let at = at.index(line.len());
                match how {
                    0 => line[at] = byte,
                    1 => line.insert(at, ODD[usize::from(byte) % ODD.len()]),
                    _ => { line.remove(at); }
                }
            }
            prop_assert_eq!(read_key(&line), read_key_as_json(&line), "{}", String::from_utf8_lossy(&line));
        }
    }
}
