//! Settings of systemd units that are derived from a configuration, as the text of a drop-in.
//!
//! A unit may write only its state directory, so every other directory that the configuration names needs a setting. A
//! generator asks the program for these settings, so that nobody writes a directory down twice (systemd.generator(7)).

use std::fmt::{Display, Write};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The directory that `StateDirectory=` of our units creates and makes writable.
const STATE: &str = "/var/lib/cis490";
/// The directories that `ProtectHome=tmpfs` hides. Anything below them has to be mounted into the empty directories.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// The text of a drop-in.
#[derive(Debug)]
pub struct UnitSettings(String);

impl UnitSettings {
    /// Creates a drop-in with one section, such as `Service`.
    pub fn of(section: &str) -> Self {
        Self(format!("[{section}]\n"))
    }

    /// Adds one line. The value is written unchanged except for `%`, which is doubled because it would begin a
    /// specifier.
    pub fn set(&mut self, key: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key}={}", value.to_string().replace('%', "%%"));
    }

    /// Lets the service write below a directory, which need not exist.
    pub fn writable(&mut self, dir: &Path) {
        if dir.starts_with(STATE) {
            return;
        }
        let is_hidden = HIDDEN.iter().any(|hidden| dir.starts_with(hidden));
        let key = if is_hidden { "BindPaths" } else { "ReadWritePaths" };
        self.set(key, word(&format!("-{}", dir.display())));
    }

    /// Lets the service read below a directory anywhere, even in a home whose modes forbid it.
    pub fn readable(&mut self, dir: &Path) {
        self.set("BindReadOnlyPaths", word(&format!("-{}", dir.display())));
    }

    /// Lets the service manager read a secret and pass it on under this name, so that root alone needs access to the
    /// file. Blocks.
    ///
    /// A missing file is left out. It would keep the unit from starting, and so the program from reporting the missing
    /// file.
    pub fn credential(&mut self, name: &str, path: &Path) {
        if path.is_file() {
            self.set("LoadCredential", format!("{name}:{}", path.display()));
        }
    }

    /// Returns the text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Returns the path from which to read a secret. It is the configured file or, if only root can open that, the copy
/// that the service manager has passed on. The file itself is preferred, because a new one takes effect without a
/// restart. Blocks.
pub fn readable_secret(path: &Path, name: &str, credentials: &Path) -> PathBuf {
    let handed_over = credentials.join(name);
    let is_closed = File::open(path).is_err();
    if is_closed && handed_over.is_file() { handed_over } else { path.to_owned() }
}

/// Quotes a word as systemd.syntax(7) requires.
pub fn word(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_opened_by_what_works_where_they_are() {
        let mut settings = UnitSettings::of("Service");
        for dir in ["/var/lib/cis490/episodes", "/srv/epi sodes", "/home/lab/data", "/homestead"] {
            settings.writable(Path::new(dir));
        }
        settings.readable(Path::new("/home/max/100% \"mine\""));
        settings.set("TimeoutStopSec", 45);
        let expected = "[Service]\nReadWritePaths=\"-/srv/epi sodes\"\nBindPaths=\"-/home/lab/data\"\n\
            ReadWritePaths=\"-/homestead\"\nBindReadOnlyPaths=\"-/home/max/100%% \\\"mine\\\"\"\nTimeoutStopSec=45\n";
        assert_eq!(settings.into_text(), expected);
    }

    #[test]
    fn what_was_handed_over_is_taken_where_the_file_itself_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("client-key"), "handed over").unwrap();
        std::fs::write(path("open.key"), "itself").unwrap();
        let read = |file: &str, name| readable_secret(&path(file), name, dir.path());
        assert_eq!(read("closed.key", "client-key"), path("client-key"));
        assert_eq!(read("open.key", "client-key"), path("open.key"));
        assert_eq!(read("closed.key", "token"), path("closed.key"), "nothing was handed over");
    }

    #[test]
    fn no_path_ends_its_line() {
        assert_eq!(word("/a\nUser=root"), "\"/a\\nUser=root\"");
    }
}
