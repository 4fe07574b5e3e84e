//! The checkout for the rules: every text file with its path from the top.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::source;

/// All text files, by their path from the top of the checkout, with `/` between its parts.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

/// Names of folders that do not hold our source.
const SKIPPED: [&str; 2] = ["target", ".git"];

impl Tree {
    /// Reads the checkout at `top`. A file that is not UTF-8 is not source and is left out.
    pub(crate) fn read(top: &Path) -> Self {
        let mut tree = Self { files: BTreeMap::new() };
        tree.read_dir(top, "");
        tree
    }

    /// Creates a tree for a unit test.
    pub(crate) fn made_up(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self { files: files.iter().map(owned).collect() }
    }

    fn read_dir(&mut self, dir: &Path, prefix: &str) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.read_dir(&entry.path(), &format!("{path}/"));
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                self.files.insert(path, text);
            }
        }
    }

    /// Returns the text of one file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Returns true if there is a file or a directory at this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains_key(path) || self.under(&format!("{path}/")).next().is_some()
    }

    /// Returns every file whose path begins with `prefix`, in the order of the paths.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(prefix))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Returns every file whose name ends in `suffix`.
    pub(crate) fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.under("").filter(move |(path, _)| path.ends_with(suffix))
    }

    /// Returns every Rust file with its comments and the insides of its literals blanked.
    pub(crate) fn code(&self) -> impl Iterator<Item = (&str, String)> {
        self.ending(".rs").map(|(path, text)| (path, source::blank(text)))
    }

    /// Returns true if any Rust file or script has a function whose name `matches` accepts.
    pub(crate) fn has_function(&self, matches: impl Fn(&str) -> bool) -> bool {
        let in_script = |text: &str| text.lines().filter_map(|line| line.strip_suffix("() {")).any(&matches);
        self.code().any(|(_, code)| source::functions(&code).any(&matches))
            || self.ending(".sh").any(|(_, text)| in_script(text))
    }
}

/// Returns true if a file holds only tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.starts_with("integration-tests/")
}
