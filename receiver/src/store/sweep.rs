//! What a crash left in `.incoming`: nothing there was ever acknowledged, so it goes (invariant I5).

use std::io;

use cis490_shared::step::Step;

use super::layout::{PARTIAL_SUFFIX, Store};

/// What [`sweep`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes the partial uploads of an earlier run; to be called before the first upload is taken.
///
/// Only names that an upload gives are touched: a file that a person put there stays.
pub fn sweep(store: &Store) -> io::Result<Swept> {
    let mut swept = Swept::default();
    if !Step::SweepIncoming.is_taken() {
        return Ok(swept);
    }
    for entry in std::fs::read_dir(store.incoming())? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(PARTIAL_SUFFIX) {
            continue;
        }
        let found = entry.metadata()?;
        if found.is_file() {
            std::fs::remove_file(entry.path())?;
            swept.files += 1;
            swept.bytes += found.len();
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_uploads_go_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("episodes")).unwrap();
        std::fs::write(store.new_partial(), "12345").unwrap();
        std::fs::write(store.incoming().join("README"), "by hand").unwrap();
        std::fs::create_dir(store.root().join("h")).unwrap();
        std::fs::write(store.root().join("h/e.tar.zst"), "stored").unwrap();
        assert_eq!(sweep(&store).unwrap(), Swept { files: 1, bytes: 5 });
        assert_eq!(sweep(&store).unwrap(), Swept::default());
        assert!(store.incoming().join("README").is_file() && store.root().join("h/e.tar.zst").is_file());
    }
}
