//! The object of a system call, under a name that is the same in every run.
//!
//! Temporary directories, random names, ports and descriptor numbers differ from run to run, but the meaning of a call
//! does not. A file has its name relative to the sandbox, and a connection has the name of its kind.

use std::path::{Path, PathBuf};

use super::trace::Call;

/// The names that differ from run to run.
#[derive(Debug, Clone)]
pub struct Names {
    sandbox: String,
    /// A word in a path of this run, and the word that replaces it in all runs.
    words: Vec<(String, &'static str)>,
}

/// The object of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    /// Files below the sandbox, by their names for all runs: two for a rename.
    Files(Vec<String>),
    /// A TCP connection, or the socket that accepts them.
    Network,
    /// Wake-ups between threads, messages to the service manager, and files of the system, none of which belong to our
    /// data.
    Aside,
    /// An unknown object, which must be classified in this file.
    Unknown,
}

/// Minimum number of hexadecimal digits of a random name.
const RANDOM: usize = 32;

impl Names {
    /// Returns the names of a run in this sandbox.
    pub fn of(sandbox: &Path) -> Self {
        Self { sandbox: format!("{}/", sandbox.display()), words: Vec::new() }
    }

    /// Replaces `actual`, which only this run uses, by `word`.
    #[must_use]
    pub fn with(mut self, actual: &str, word: &'static str) -> Self {
        self.words.push((actual.to_owned(), word));
        self
    }

    /// Returns the name for all runs; `None` for a file outside the sandbox.
    fn common(&self, path: &str) -> Option<String> {
        let mut path = path.strip_prefix(&self.sandbox)?.to_owned();
        for (actual, word) in &self.words {
            path = path.replace(actual, word);
        }
        let without_random = path.split('/').map(|name| match name.split_once('.') {
            Some((stem, end)) if is_random(stem) => format!("*.{end}"),
            _ => name.to_owned(),
        });
        Some(without_random.collect::<Vec<_>>().join("/"))
    }

    /// Returns the path in this run for a common name; `None` for a random name.
    pub(super) fn actual(&self, common: &str) -> Option<PathBuf> {
        let back = |path: String, (actual, word): &(String, &str)| path.replace(word, actual);
        let path = self.words.iter().fold(common.to_owned(), back);
        (!path.contains('*')).then(|| PathBuf::from(format!("{}{path}", self.sandbox)))
    }

    /// Returns the file of the descriptor with which a call begins. strace compares that file with a path, and not a
    /// name relative to it.
    pub(super) fn matched(&self, call: &Call) -> Option<String> {
        let is_number = call.arguments.starts_with(|c: char| c.is_ascii_digit());
        self.common(descriptor(&call.arguments).filter(|_| is_number)?)
    }

    /// Returns the object of the call.
    pub(super) fn object(&self, call: &Call) -> Object {
        let arguments = call.arguments.as_str();
        let paths = match call.name.as_str() {
            "access" | "chmod" | "link" | "lstat" | "mkdir" | "readlink" | "rename" | "rmdir" | "stat"
            | "statfs" | "symlink" | "truncate" | "unlink" => {
                quoted(arguments).map(|(_, path)| path).collect()
            }
            "faccessat" | "faccessat2" | "fchmodat" | "linkat" | "mkdirat" | "newfstatat" | "openat"
            | "openat2" | "readlinkat" | "renameat" | "renameat2" | "statx" | "unlinkat" | "utimensat" => {
                let named: Vec<_> = quoted(arguments).map(|(before, path)| below(before, path)).collect();
                // Without a path the call works on the descriptor.
                if named.is_empty() {
                    vec![descriptor(arguments).unwrap_or_default().to_owned()]
                } else {
                    named
                }
            }
            "socket" if arguments.starts_with("AF_INET") => return Object::Network,
            "socket" => return Object::Aside,
            _ => vec![descriptor(arguments).unwrap_or_default().to_owned()],
        };
        let Some(first) = paths.first() else { return Object::Unknown };
        if first.starts_with("TCP") {
            return Object::Network;
        }
        let is_aside = ["anon_inode:", "pipe:", "UNIX", "/"].iter().any(|kind| first.starts_with(kind));
        match paths.iter().filter_map(|path| self.common(path)).collect::<Vec<_>>() {
            files if !files.is_empty() => Object::Files(files),
            _ if is_aside => Object::Aside,
            _ => Object::Unknown,
        }
    }
}

fn is_random(stem: &str) -> bool {
    stem.len() >= RANDOM && stem.chars().all(|c| c.is_ascii_hexdigit())
}

/// Returns the text that strace writes after the number of the first descriptor: `12</path>`.
fn descriptor(arguments: &str) -> Option<&str> {
    let (number, rest) = arguments.split_once('<')?;
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    // The path of a deleted file ends in `>(deleted)`.
    let end = [">,", ">(deleted)", "> "].iter().filter_map(|end| rest.find(end)).min();
    Some(&rest[..end.unwrap_or_else(|| rest.trim_end().strip_suffix('>').unwrap_or(rest).len())])
}

/// Returns every string among the arguments, with the text before it.
fn quoted(arguments: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = arguments;
    std::iter::from_fn(move || {
        let (before, from) = rest.split_once('"')?;
        let (text, after) = from.split_once('"')?;
        rest = after;
        Some((before, text.to_owned()))
    })
}

/// Returns the path of a name that is relative to the directory in the text before it.
fn below(before: &str, name: String) -> String {
    let dir = descriptor(before.trim_start_matches([',', ' '])).unwrap_or_default();
    match name.as_str() {
        "" => dir.to_owned(),
        _ if name.starts_with('/') => name,
        _ => format!("{dir}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, arguments: &str) -> Object {
        let names = Names::of(Path::new("/tmp/s")).with("lab-7", "HOST");
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        names.object(&Call { thread: 1, name, arguments, result: "0".to_owned() })
    }

    fn file(name: &str) -> Object {
        Object::Files(vec![name.to_owned()])
    }

    #[test]
    fn a_file_has_the_same_name_however_it_is_given_and_in_every_run() {
        assert_eq!(object("fsync", "3</tmp/s/lab-7-data>"), file("HOST-data"));
        assert_eq!(object("write", "3</tmp/s/x>, \"/tmp/s/y\", 6"), file("x"));
        assert_eq!(object("unlink", "\"/tmp/s/a/b\""), file("a/b"));
        assert_eq!(object("statx", "4</tmp/s/x>, \"\", AT_EMPTY_PATH"), file("x"));
        assert_eq!(object("openat", "AT_FDCWD</tmp>, \"/tmp/s/x\", O_RDONLY"), file("x"));
        assert_eq!(object("unlinkat", "5</tmp/s/d>, \"x\", 0"), file("d/x"));
        assert_eq!(
            object("fdatasync", "3</tmp/s/0123456789abcdef0123456789abcdef.partial>"),
            file("*.partial")
        );
        assert_eq!(object("close", "3</tmp/s/x>(deleted)"), file("x"));
        let renamed = object("renameat2", "AT_FDCWD</tmp>, \"/tmp/s/x\", AT_FDCWD</tmp>, \"/tmp/s/y\", 0");
        assert_eq!(renamed, Object::Files(vec!["x".to_owned(), "y".to_owned()]));
    }

    #[test]
    fn strace_finds_a_call_by_an_open_directory_and_not_by_a_name_in_it() {
        let matched = |arguments: &str| {
            let (name, arguments) = ("openat".to_owned(), arguments.to_owned());
            let call = Call { thread: 1, name, arguments, result: "0".to_owned() };
            Names::of(Path::new("/tmp/s")).matched(&call)
        };
        assert_eq!(matched("5</tmp/s/d>, \"x\", O_RDONLY"), Some("d".to_owned()));
        assert_eq!(matched("AT_FDCWD</tmp/s>, \"/tmp/s/x\", O_RDONLY"), None);
    }

    #[test]
    fn what_is_not_a_file_of_the_sandbox_is_told_apart() {
        assert_eq!(object("recvfrom", "35<TCP:[127.0.0.1:1->127.0.0.1:2]>, 0x1, 2"), Object::Network);
        assert_eq!(object("socket", "AF_INET, SOCK_STREAM, IPPROTO_IP"), Object::Network);
        assert_eq!(object("write", "5<anon_inode:[eventfd]>, \"\\1\", 8"), Object::Aside);
        assert_eq!(object("connect", "5<UNIX:[1]>, {sun_path=\"/tmp/s/n\"}, 3"), Object::Aside);
        assert_eq!(object("openat", "AT_FDCWD</tmp/s>, \"/proc/self/maps\", O_RDONLY"), Object::Aside);
        assert_eq!(object("io_uring_setup", "8, {flags=0}"), Object::Unknown);
    }

    #[test]
    fn a_name_for_all_runs_leads_back_to_the_path_of_one() {
        let names = Names::of(Path::new("/tmp/s")).with("lab-7", "HOST");
        assert_eq!(names.actual("HOST-data/x"), Some(PathBuf::from("/tmp/s/lab-7-data/x")));
        assert_eq!(names.actual("*.partial"), None);
    }
}
