//! The store against its index, both ways. The comparison is pure.
//!
//! An archive without a row is repaired: the row is made from the archive. A row without an archive is only ever
//! reported: no program can bring the bytes back, and none may delete the trace of them (invariant I3).

use std::collections::HashSet;

use cis490_shared::ids::{EpisodeId, HostId};

use super::scan::{Archive, HostNames, Listing};
use crate::index::known::{HostRows, KnownRows};

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

/// The archives that have no row and the pairs that have no archive, both sorted.
///
/// Made for a start, where a million archives mostly have their rows: each name is looked up once, and nothing is made
/// of it unless it has none.
pub fn compare(listing: &Listing, known: &KnownRows) -> (Vec<Archive>, Vec<Pair>) {
    let (mut without_row, mut without_archive) = (Vec::new(), Vec::new());
    for names in &listing.hosts {
        let rows = known.of(&names.host_id);
        let mut with_row = 0;
        for name in names.episodes() {
            match rows.is_some_and(|rows| rows.has(name)) {
                true => with_row += 1,
                false => without_row.extend(names.archive(name)),
            }
        }
        let rows = rows.filter(|rows| rows.episodes().len() != with_row);
        without_archive.extend(rows.into_iter().flat_map(|rows| rows_without_archive(rows, names)));
    }
    let listed: HashSet<_> = listing.hosts.iter().map(|names| &names.host_id).collect();
    let gone = known.hosts().filter(|(host, _)| !listed.contains(host));
    without_archive
        .extend(gone.flat_map(|(host, rows)| rows.episodes().map(|episode| (host.clone(), episode.clone()))));
    without_row.sort_unstable();
    without_archive.sort_unstable();
    (without_row, without_archive)
}

/// The pairs of one host that have a row and no archive.
fn rows_without_archive(rows: &HostRows, names: &HostNames) -> Vec<Pair> {
    let found: HashSet<&str> = names.episodes().collect();
    let missing = rows.episodes().filter(|episode| !found.contains(episode.as_str()));
    missing.map(|episode| (names.host_id.clone(), episode.clone())).collect()
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

    fn known(pairs: &[(&str, &str)]) -> KnownRows {
        let mut known = KnownRows::default();
        for (host, episode) in pairs {
            let row = format!("junk\n{{\"host_id\":\"{host}\",\"episode_id\":\"{episode}\"}}\n");
            known.learn(row.as_bytes()).unwrap();
        }
        known
    }

    fn pair(host: &str, episode: &str) -> Pair {
        (HostId::parse(host).unwrap(), EpisodeId::parse(episode).unwrap())
    }

    #[test]
    fn a_pair_counts_not_the_episode_alone() {
        let known = known(&[("a", "e1"), ("a", "gone")]);
        let archives = vec![archive("a", "e1"), archive("a", "e2"), archive("b", "e1")];
        let without_row = vec![archive("a", "e2"), archive("b", "e1")];
        let expected = Differences { scanned: 3, already_indexed: 1, without_row };
        assert_eq!(Differences::between(archives, &known), expected);
    }

    #[test]
    fn what_lacks_its_other_half_is_found_on_both_sides() {
        let names = |host: &str, episodes: &[&str]| {
            let mut names = HostNames::new(HostId::parse(host).unwrap(), host.into());
            for episode in episodes {
                names.add(&EpisodeId::parse(episode).unwrap());
            }
            names
        };
        let hosts = vec![
            names("c", &["e1", "e2"]),
            names("b", &["e1"]),
            names("a", &["e3", "e2", "e1"]),
            names("d", &[]),
        ];
        let listing = Listing { hosts, failed: Vec::new() };
        let known = known(&[
            ("a", "e1"),
            ("a", "gone"),
            ("a", "e1x"),
            ("c", "e1"),
            ("c", "e2"),
            ("d", "e2"),
            ("d", "e1"),
            ("nowhere", "e1"),
        ]);
        let (without_row, without_archive) = compare(&listing, &known);
        assert_eq!(without_row, [archive("a", "e2"), archive("a", "e3"), archive("b", "e1")]);
        let expected = [("a", "e1x"), ("a", "gone"), ("d", "e1"), ("d", "e2"), ("nowhere", "e1")]
            .map(|(h, e)| pair(h, e));
        assert_eq!(without_archive, expected);
        assert_eq!(compare(&Listing::default(), &KnownRows::default()), (vec![], vec![]));
    }
}
