//! What a crash left in the outbox (accident 6).
//!
//! An archive implies its episode directory, and a partial archive implies an upload in flight; what lacks
//! its counterpart is of no use to anybody. [`plan`] is pure but for the question whether an episode is
//! there; [`apply`] deletes. Running twice changes nothing. Nothing else in the outbox is touched.

use std::collections::BTreeSet;
use std::fs;

use cis490_shared::ids::EpisodeId;
use cis490_shared::step::Step;
use cis490_shared::wire::path::ARCHIVE_SUFFIX;

use crate::store::layout::{Dirs, DirsError, PARTIAL_SUFFIX, failed};

/// Something that can go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name in the outbox.
    pub name: String,
}

/// Finds what can go. `in_flight` must not grow until the plan was applied.
pub fn plan<E>(
    names: impl IntoIterator<Item = String>,
    in_flight: &BTreeSet<EpisodeId>,
    has_episode: impl Fn(&EpisodeId) -> Result<bool, E>,
) -> Result<Vec<Orphan>, E> {
    let mut orphans = Vec::new();
    for name in names {
        let (archive, is_partial) = match name.strip_suffix(PARTIAL_SUFFIX) {
            Some(archive) => (archive, true),
            None => (name.as_str(), false),
        };
        let Some(Ok(id)) = archive.strip_suffix(ARCHIVE_SUFFIX).map(EpisodeId::parse) else { continue };
        if !in_flight.contains(&id) && (is_partial || !has_episode(&id)?) && Step::SweepOutbox.is_taken() {
            orphans.push(Orphan { name });
        }
    }
    Ok(orphans)
}

/// Removes what can go; how much that was. Blocks.
pub fn apply(dirs: &Dirs, orphans: &[Orphan]) -> Result<usize, DirsError> {
    for orphan in orphans {
        dirs.remove_from_outbox(&orphan.name)?;
    }
    Ok(orphans.len())
}

/// Looks into the outbox, plans and applies. Blocks.
pub fn sweep(dirs: &Dirs, in_flight: &BTreeSet<EpisodeId>) -> Result<usize, DirsError> {
    let outbox = dirs.outbox();
    let failed = |source| failed("read", &outbox)(source);
    let mut names = Vec::new();
    for entry in fs::read_dir(&outbox).map_err(failed)? {
        // A name that is no text is not one of ours.
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    apply(dirs, &plan(names, in_flight, |id| dirs.has_episode(id))?)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn planned(names: &[&str], in_flight: &[&str], episodes: &[&str]) -> Vec<String> {
        let in_flight = in_flight.iter().map(|id| EpisodeId::parse(id).unwrap()).collect();
        let has = |id: &EpisodeId| Ok::<_, Infallible>(episodes.contains(&id.as_str()));
        let Ok(orphans) = plan(names.iter().map(|name| (*name).to_owned()), &in_flight, has);
        orphans.into_iter().map(|orphan| orphan.name).collect()
    }

    #[test]
    fn incident_06_what_lacks_its_counterpart_goes_and_nothing_live_is_touched() {
        let names = [
            "orphan.tar.zst",
            "waiting.tar.zst",
            "flying.tar.zst",
            "flying.tar.zst.partial",
            "waiting.tar.zst.partial",
            "orphan.tar.zst.partial",
        ];
        assert_eq!(
            planned(&names, &["flying"], &["waiting", "flying"]),
            ["orphan.tar.zst", "waiting.tar.zst.partial", "orphan.tar.zst.partial"]
        );
        // In flight, but its directory was just moved away: the upload that owns the archive removes it.
        assert!(planned(&["flying.tar.zst"], &["flying"], &[]).is_empty());
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        assert!(
            planned(&["README", "a.b.tar.zst", ".tar.zst", "x.partial", "x.tar.gz"], &[], &[]).is_empty()
        );
    }

    #[test]
    fn nothing_is_deleted_while_nobody_can_tell_whether_its_episode_is_there() {
        let names = ["e1.tar.zst".to_owned()];
        assert!(plan(names, &BTreeSet::new(), |_| Err("permission denied")).is_err());
    }
}
