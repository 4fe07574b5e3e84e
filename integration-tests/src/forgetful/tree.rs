//! A directory with everything below it, as a value that can be compared, hashed, read from a real disk and written to
//! one.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Directories and files by their paths, relative to the top. A directory comes before its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tree(BTreeMap<PathBuf, Leaf>);

/// A file or directory in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// Its permissions.
    pub mode: u32,
    /// The bytes of a file; `None` for a directory.
    pub bytes: Option<Vec<u8>>,
}

impl Tree {
    /// Reads everything below a real directory, which may hold only files and directories.
    pub fn read_from(top: &Path) -> Self {
        let mut tree = Self::default();
        tree.take(top, Path::new(""));
        tree
    }

    fn take(&mut self, top: &Path, inner: &Path) {
        for entry in fs::read_dir(top.join(inner)).expect("a directory") {
            let entry = entry.expect("an entry");
            let (path, metadata) = (inner.join(entry.file_name()), entry.metadata().expect("its metadata"));
            let bytes = metadata.is_file().then(|| fs::read(entry.path()).expect("a file that can be read"));
            self.insert(path.clone(), metadata.permissions().mode() & 0o7777, bytes);
            if metadata.is_dir() {
                self.take(top, &path);
            }
        }
    }

    pub(super) fn insert(&mut self, path: PathBuf, mode: u32, bytes: Option<Vec<u8>>) {
        self.0.insert(path, Leaf { mode, bytes });
    }

    /// Returns all entries, each directory before its content.
    pub fn leaves(&self) -> impl Iterator<Item = (&Path, &Leaf)> {
        self.0.iter().map(|(path, leaf)| (path.as_path(), leaf))
    }

    /// Returns the files below a directory, by their paths relative to it.
    pub fn files_below(&self, directory: impl AsRef<Path>) -> BTreeMap<&Path, &[u8]> {
        let below = |(path, leaf): (&'_ PathBuf, &'_ Leaf)| {
            path.starts_with(directory.as_ref()) && leaf.bytes.is_some()
        };
        let files = self.0.iter().filter(|found| below(*found));
        let relative = files.map(|(path, leaf)| {
            let inner = path.strip_prefix(directory.as_ref()).expect("it lies below");
            (inner, leaf.bytes.as_deref().unwrap_or_default())
        });
        relative.collect()
    }

    /// Returns the bytes of a file; `None` if there is none.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        self.0.get(path.as_ref())?.bytes.as_deref()
    }

    /// Returns a hash of the tree: equal trees have equal hashes.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Writes the tree below a real directory, which is created if it is missing.
    pub fn write_to(&self, top: &Path) {
        fs::create_dir_all(top).expect("a directory");
        for (path, leaf) in &self.0 {
            let at = top.join(path);
            match &leaf.bytes {
                None => fs::create_dir(&at),
                Some(bytes) => fs::write(&at, bytes),
            }
            .unwrap_or_else(|error| panic!("`{}`: {error}", at.display()));
            fs::set_permissions(&at, fs::Permissions::from_mode(leaf.mode)).expect("our own file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_was_written_is_read_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.insert("a".into(), 0o750, None);
        tree.insert("a/b".into(), 0o640, Some(b"bytes".to_vec()));
        tree.insert("c".into(), 0o600, Some(Vec::new()));
        tree.write_to(&dir.path().join("copy"));
        let copy = Tree::read_from(&dir.path().join("copy"));
        assert_eq!(copy, tree);
        assert_eq!(copy.fingerprint(), tree.fingerprint());
        assert_eq!(copy.files_below("a").into_keys().collect::<Vec<_>>(), [Path::new("b")]);
        assert_eq!((copy.file("a/b"), copy.file("a")), (Some(&b"bytes"[..]), None));
    }
}
