//! Compares the store with its index, both ways. The comparison is pure.
//!
//! An archive without a row is repaired: the row is made from the archive. A row without an archive is only reported,
//! because no program can restore the bytes, and none may delete their trace (invariant I3).

use std::collections::HashSet;

use cis490_shared::ids::{EpisodeId, HostId};

use super::scan::{Archive, HostNames, Listing};
use crate::index::known::{HostRows, KnownRows};

/// The key of an episode.
pub type Pair = (HostId, EpisodeId);

/// Returns the archives that have no row and the pairs that have no archive, both sorted. If only one host was listed,
/// the rows of other hosts are ignored.
///
/// Optimised for a start, where most of a million archives have their rows: each name is looked up once, and nothing is
/// allocated for a name that has its row.
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
    let is_meant = |host| listing.only.as_ref().is_none_or(|only| only == host);
    let gone = known.hosts().filter(|(host, _)| is_meant(*host) && !listed.contains(host));
    without_archive
        .extend(gone.flat_map(|(host, rows)| rows.episodes().map(|episode| (host.clone(), episode.clone()))));
    without_row.sort_unstable();
    without_archive.sort_unstable();
    (without_row, without_archive)
}

/// Returns the pairs of one host that have a row and no archive.
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

    fn names(host: &str, episodes: &[&str]) -> HostNames {
        let mut names = HostNames::new(HostId::parse(host).unwrap(), host.into());
        for episode in episodes {
            names.add(&EpisodeId::parse(episode).unwrap());
        }
        names
    }

    fn pair(host: &str, episode: &str) -> Pair {
        (HostId::parse(host).unwrap(), EpisodeId::parse(episode).unwrap())
    }

    #[test]
    fn what_lacks_its_other_half_is_found_on_both_sides() {
        let hosts = vec![
            names("c", &["e1", "e2"]),
            names("b", &["e1"]),
            names("a", &["e3", "e2", "e1"]),
            names("d", &[]),
        ];
        let listing = Listing { hosts, ..Listing::default() };
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

        let only = Some(HostId::parse("a").unwrap());
        let listing = Listing { only, hosts: vec![names("a", &["e1", "e2"])], ..Listing::default() };
        let expected = (vec![archive("a", "e2")], vec![pair("a", "e1x"), pair("a", "gone")]);
        assert_eq!(compare(&listing, &known), expected, "the rows of other hosts are left alone");
    }

    #[test]
    fn a_pair_counts_not_the_episode_alone() {
        let known = known(&[("a", "e1"), ("a", "gone")]);
        let listing =
            Listing { hosts: vec![names("a", &["e1", "e2"]), names("b", &["e1"])], ..Listing::default() };
        let (without_row, _) = compare(&listing, &known);
        assert_eq!(without_row, [archive("a", "e2"), archive("b", "e1")]);
        assert_eq!(listing.count(), 3);
    }
}
