//! Detects a shallow clone whose history ends within the window.
//!
//! `git fetch --depth 1`, for example from a cron job, makes a clone forget all but its newest commit. Its list of
//! commits must not become the window, because that would refuse what the whole fleet records.

use std::io;
use std::path::Path;

use cis490_shared::ids::CommitHash;
use cis490_shared::small_file::read_text;

use super::clone_paths::common_dir;
use super::window::Window;

/// The longest list that is read, in bytes: at least 16,000 commits.
const MAX_BYTES: u64 = 1 << 20;

/// Returns the commits whose parents the clone does not have (gitformat-shallow(5)); empty if the clone is complete.
/// Blocks.
pub fn boundaries(git_dir: &Path) -> io::Result<Vec<CommitHash>> {
    let path = common_dir(git_dir)?.join("shallow");
    let text = match read_text(&path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    Ok(text.lines().filter_map(|line| CommitHash::parse(line).ok()).collect())
}

/// Returns true if a boundary may hide commits that belong to the first `wanted` ones. The missing parents of a listed
/// commit may be newer than the commits listed after it. Only the last commit of a full list is harmless, because
/// nothing after it was asked for.
pub fn cuts(boundaries: &[CommitHash], window: &Window, wanted: usize) -> bool {
    let listed = window.commits();
    let decisive = if listed.len() == wanted { &listed[..wanted.saturating_sub(1)] } else { listed };
    boundaries.iter().any(|boundary| decisive.contains(boundary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: char) -> CommitHash {
        CommitHash::parse(&digit.to_string().repeat(40)).unwrap()
    }

    #[test]
    fn a_boundary_cuts_a_window_unless_it_is_the_last_of_a_full_one() {
        let window = Window::new(vec![commit('a'), commit('b'), commit('c')]).unwrap();
        let cuts = |boundary, wanted| cuts(&[commit(boundary)], &window, wanted);
        assert!(cuts('a', 3) && cuts('b', 3) && !cuts('c', 3));
        assert!(cuts('c', 100), "the clone ends where the window goes on");
        assert!(!cuts('d', 3) && !cuts('d', 100), "far behind it");
    }

    #[test]
    fn a_whole_clone_has_no_boundaries() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(boundaries(dir.path()).unwrap(), []);
        std::fs::write(dir.path().join("shallow"), format!("{}\njunk\n", commit('a'))).unwrap();
        assert_eq!(boundaries(dir.path()).unwrap(), [commit('a')]);
    }
}
