//! Whether a ref can have moved since it was looked at, told from its files and without running git.
//!
//! git costs some milliseconds of processor time each time it is started, and a clone is looked at every few seconds for
//! years. Every way in which git moves a ref puts a new file in place of one of those that are looked at here; for ways
//! that are not known here, git is asked once in a while all the same.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::small_file::read_text;

use super::clone_paths::common_dir;

/// A change that is younger than this may be followed by another that leaves the same time in the file system.
const RECENT: Duration = Duration::from_secs(2);
/// A ref that leads to a ref that leads to a ref: git follows five.
const MOST_STEPS: usize = 5;
/// The longest file of a symbolic ref, in bytes.
const MAX_REF_BYTES: u64 = 4096;

/// The states of all files that say which commit a ref is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefState {
    files: Vec<Option<FileFingerprint>>,
    /// The last change of any of them.
    changed: SystemTime,
}

impl RefState {
    /// Looks at the files of a ref, `HEAD` or a full name. Blocks.
    pub fn look(git_dir: &Path, reference: &str) -> io::Result<Self> {
        let common = common_dir(git_dir)?;
        // A work tree has some refs to itself, HEAD among them, and shares the others.
        let dirs: &[&Path] = if common == git_dir { &[git_dir] } else { &[git_dir, &common] };
        let mut state = Self { files: Vec::new(), changed: SystemTime::UNIX_EPOCH };
        for dir in dirs {
            state.add(&dir.join("packed-refs"))?;
            state.add(&dir.join("reftable/tables.list"))?;
        }
        let mut name = reference.to_owned();
        for _ in 0..MOST_STEPS {
            let mut next = None;
            for dir in dirs {
                let path = dir.join(&name);
                state.add(&path)?;
                next = next.or(leads_to(&path)?);
            }
            match next {
                Some(next) => name = next,
                None => break,
            }
        }
        Ok(state)
    }

    /// Whether it was old enough when it was looked at that every later change shows.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        now.duration_since(self.changed).is_ok_and(|age| age > RECENT)
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let found = found(fs::metadata(path))?;
        let stamp = found.as_ref().map(FileFingerprint::of);
        self.changed = self.changed.max(stamp.map_or(SystemTime::UNIX_EPOCH, FileFingerprint::changed));
        self.files.push(stamp);
        Ok(())
    }
}

/// The name in a symbolic ref.
fn leads_to(path: &Path) -> io::Result<Option<String>> {
    let text = found(read_text(path, MAX_REF_BYTES))?;
    Ok(text.as_deref().and_then(|text| text.strip_prefix("ref:")).map(|name| name.trim().to_owned()))
}

/// None for what is not there: most of these files need not be.
fn found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_young_or_of_the_future_is_not_settled() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let state = RefState { files: Vec::new(), changed: at(100) };
        for (now, expected) in [(99, false), (100, false), (102, false), (103, true)] {
            assert_eq!(state.is_settled(at(now)), expected, "{now}");
        }
    }
}
