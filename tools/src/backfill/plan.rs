//! Which archives need a row: the scan against the index. Pure.

use cis490_receiver::index::known::KnownRows;

use super::scan::Archive;

/// What a backfill will do.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Archives that were looked at.
    pub scanned: usize,
    /// How many of them have a row.
    pub already_indexed: usize,
    /// The others, in the order of the scan.
    pub to_backfill: Vec<Archive>,
}

impl Plan {
    /// Compares what was found with what has a row.
    pub fn new(archives: Vec<Archive>, known: &KnownRows) -> Self {
        let scanned = archives.len();
        let mut to_backfill = archives;
        to_backfill.retain(|archive| known.get(&archive.host_id, &archive.episode_id).is_none());
        Self { scanned, already_indexed: scanned - to_backfill.len(), to_backfill }
    }
}

#[cfg(test)]
mod tests {
    use cis490_shared::ids::{EpisodeId, HostId};

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
        let plan = Plan::new(vec![archive("a", "e1"), archive("a", "e2"), archive("b", "e1")], &known);
        let to_backfill = vec![archive("a", "e2"), archive("b", "e1")];
        assert_eq!(plan, Plan { scanned: 3, already_indexed: 1, to_backfill });
    }
}
