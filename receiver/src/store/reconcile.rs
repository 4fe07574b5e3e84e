//! The store against its index, both ways. The comparison is pure.
//!
//! An archive without a row is repaired: the row is made from the archive. A row without an archive is only ever
//! reported: no program can bring the bytes back, and none may delete the trace of them (invariant I3).

use std::collections::HashSet;

use cis490_shared::ids::{EpisodeId, HostId};

use super::scan::Archive;
use crate::index::known::KnownRows;

/// What an episode is identified by.
pub type Pair = (HostId, EpisodeId);

/// Where store and index differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Archives that were looked at.
    pub scanned: usize,
    /// How many of them have a row.
    pub already_indexed: usize,
    /// The others, in the order of the scan.
    pub without_row: Vec<Archive>,
}

impl Differences {
    /// Compares what was found with what has a row.
    pub fn between(archives: Vec<Archive>, known: &KnownRows) -> Self {
        let scanned = archives.len();
        let mut without_row = archives;
        without_row.retain(|archive| known.get(&archive.host_id, &archive.episode_id).is_none());
        Self { scanned, already_indexed: scanned - without_row.len(), without_row }
    }
}

/// The pairs that have a row and no archive among those that were found, sorted.
pub fn rows_without_archive(archives: &[Archive], known: &KnownRows) -> Vec<Pair> {
    let found: HashSet<(&HostId, &EpisodeId)> =
        archives.iter().map(|archive| (&archive.host_id, &archive.episode_id)).collect();
    let missing = known.pairs().filter(|pair| !found.contains(pair));
    let mut missing: Vec<_> = missing.map(|(host, episode)| (host.clone(), episode.clone())).collect();
    missing.sort_unstable();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(host: &str, episode: &str) -> Archive {
        Archive {
            host_id: HostId::parse(host).unwrap(),
            episode_id: EpisodeId::parse(episode).unwrap(),
            path: format!("{host}/{episode}.tar.zst").into(),
        }
    }

    #[test]
    fn a_pair_counts_not_the_episode_alone() {
        let rows =
            b"junk\n{\"host_id\":\"a\",\"episode_id\":\"e1\"}\n{\"host_id\":\"a\",\"episode_id\":\"gone\"}\n";
        let mut known = KnownRows::default();
        known.learn(rows.as_slice()).unwrap();
        let archives = vec![archive("a", "e1"), archive("a", "e2"), archive("b", "e1")];
        let gone = (HostId::parse("a").unwrap(), EpisodeId::parse("gone").unwrap());
        assert_eq!(rows_without_archive(&archives, &known), [gone]);
        let without_row = vec![archive("a", "e2"), archive("b", "e1")];
        let expected = Differences { scanned: 3, already_indexed: 1, without_row };
        assert_eq!(Differences::between(archives, &known), expected);
    }
}
