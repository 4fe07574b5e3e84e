//! The token file: read after each change, rewritten by `cis490-receiver token`. Everything here blocks.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cis490_shared::durable::{self, FileLock};
use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::ids::HostId;
use cis490_shared::moment::Moment;
use cis490_shared::small_file::SmallFile;
use cis490_shared::watched::WatchedFiles;
use tracing::warn;

use super::tokens::{BadLine, Token, TokenId, Tokens, lines_of, token_in};

/// The mode of a token file: the hashes reveal no token, but the names in it are not public.
const MODE: u32 = 0o640;
/// The size limit of the file: more than a fleet needs, at some 100 bytes per host.
const MAX_BYTES: u64 = 4 << 20;
/// How long another `token` command may hold the file.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read or written.
    #[error("the token file `{}` cannot be {deed}: {source}", path.display())]
    Io {
        /// The failed operation, as a participle.
        deed: &'static str,
        /// The file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
    /// The file holds something other than names and hashes.
    #[error("the token file `{}` cannot be used: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The bad line.
        source: BadLine,
    },
}

impl TokenFileError {
    /// Returns the next step for a maintainer.
    pub fn remedy(&self) -> &'static str {
        let Self::Io { source, .. } = self else {
            return "take the line out with an editor, or mend it: `HOST = HASH`";
        };
        match source.kind() {
            io::ErrorKind::NotFound => "`sudo cis490-receiver token add HOST` makes it",
            io::ErrorKind::PermissionDenied => {
                "`ls -l` it: the service's user must be able to read it, and `cis490-receiver token` needs sudo"
            }
            io::ErrorKind::FileTooLarge => {
                "at most 4 MiB are read: take out with an editor the lines of hosts that are gone"
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => {
                "`ls -l` it: a regular file is needed"
            }
            io::ErrorKind::WouldBlock => "another `cis490-receiver token` is at work, try again",
            _ => "`df -h` its file system, `dmesg | tail`",
        }
    }
}

fn failed(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TokenFileError {
    let path = path.to_owned();
    move |source| TokenFileError::Io { deed, path, source }
}

/// A token file, and its state at the last read.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    seen: Seen,
    /// True if the log has been told that no token is accepted.
    told: bool,
}

/// The state of the path at the last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The path has not been read yet.
    Unread,
    /// There was no file, which counts as an empty one.
    Missing,
    /// A file.
    File(FileFingerprint),
}

impl TokenFile {
    /// Names the file without reading it.
    pub fn at(path: PathBuf) -> Self {
        Self { path, seen: Seen::Unread, told: false }
    }

    /// Handles a missing file. At the start it is an empty list, because the maintainer has not made a token yet. Later
    /// it is an error, so that the tokens in force stay.
    fn read_missing(&mut self, error: io::Error) -> Result<Option<Tokens>, TokenFileError> {
        match self.seen {
            Seen::Unread => {
                self.seen = Seen::Missing;
                Ok(Some(Tokens::default()))
            }
            Seen::Missing => Ok(None),
            Seen::File(_) => Err(failed("opened", &self.path)(error)),
        }
    }
}

impl WatchedFiles for TokenFile {
    type Value = Tokens;
    type Error = TokenFileError;
    const WHAT: &'static str = "tokens";

    fn read_if_changed(&mut self) -> Result<Option<Tokens>, TokenFileError> {
        let file = match SmallFile::open(&self.path, MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.read_missing(error),
            opened => opened.map_err(failed("opened", &self.path))?,
        };
        if self.seen == Seen::File(file.stamp()) {
            return Ok(None);
        }
        let tokens = parse(&self.path, &file.text().map_err(failed("read", &self.path))?)?;
        self.seen = Seen::File(file.stamp());
        Ok(Some(tokens))
    }

    fn remind(&mut self, in_force: &Tokens, _now: SystemTime) {
        let is_empty = in_force.is_empty();
        if is_empty && !self.told {
            warn!(
                path = %self.path.display(),
                help = "add one: `sudo cis490-receiver token add HOST`; it takes effect within a second",
                "the token file is empty, every token is refused"
            );
        }
        self.told = is_empty;
    }

    fn help(error: &TokenFileError) -> &'static str {
        error.remedy()
    }
}

fn parse(path: &Path, text: &str) -> Result<Tokens, TokenFileError> {
    Tokens::parse(text).map_err(|source| TokenFileError::Line { path: path.to_owned(), source })
}

/// Returns the text of the file; a missing file is empty.
fn text(path: &Path) -> Result<String, TokenFileError> {
    match SmallFile::open(path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        opened => opened.and_then(|file| file.text()).map_err(failed("read", path)),
    }
}

/// Adds a token for this name; existing tokens stay valid until they are removed.
pub fn add(path: &Path, name: &HostId, token: &Token, made: Moment) -> Result<(), TokenFileError> {
    rewrite(path, |text| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&lines_of(name, token, made));
    })
}

/// Removes all tokens of this name, or only the one with this id, and returns the number of removed ones.
pub fn remove(path: &Path, name: &HostId, id: Option<TokenId>) -> Result<usize, TokenFileError> {
    let mut removed = 0;
    rewrite(path, |text| {
        let is_meant = |line: &str| {
            let is_his = line.split_once('=').is_some_and(|(of, _)| of.trim() == name.as_str());
            is_his && id.is_none_or(|id| token_in(line) == Some(id))
        };
        let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
        removed = lines().filter(|line| is_meant(line)).count();
        let ids: HashSet<TokenId> = lines().filter(|line| is_meant(line)).filter_map(token_in).collect();
        let stays = |line: &&str| match line.trim_start().starts_with('#') {
            true => token_in(line).is_none_or(|id| !ids.contains(&id)),
            false => !is_meant(line),
        };
        *text = text.lines().filter(stays).flat_map(|line| [line, "\n"]).collect();
    })?;
    Ok(removed)
}

/// Returns the tokens in the file; a missing file has none.
pub fn list(path: &Path) -> Result<Tokens, TokenFileError> {
    parse(path, &text(path)?)
}

/// Changes the text of the file under a lock. A file that cannot be parsed is not changed.
fn rewrite(path: &Path, change: impl FnOnce(&mut String)) -> Result<(), TokenFileError> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let _lock = FileLock::take(Path::new(&lock), LOCK_PATIENCE).map_err(failed("locked", path))?;
    let mut content = text(path)?;
    parse(path, &content)?;
    change(&mut content);
    if content.len() as u64 > MAX_BYTES {
        return Err(failed("written", path)(io::ErrorKind::FileTooLarge.into()));
    }
    durable::replace_file_of_its_owner(path, content.as_bytes(), MODE).map_err(failed("written", path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::auth::tokens::RANDOM_BYTES;

    fn made() -> Moment {
        "2025-10-09T08:53:20Z".parse().unwrap()
    }

    fn name(text: &str) -> HostId {
        HostId::parse(text).unwrap()
    }

    #[test]
    fn a_token_is_added_and_all_of_a_name_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let tokens = [1, 2, 3].map(|byte| Token::of([byte; RANDOM_BYTES]));
        fs::write(&path, "# kept\n").unwrap();
        for (name_of, token) in [("a", &tokens[0]), ("a", &tokens[1]), ("ab", &tokens[2])] {
            add(&path, &name(name_of), token, made()).unwrap();
        }
        let listed = list(&path).unwrap();
        assert_eq!(listed.owner(tokens[1].expose()), Some(&name("a")));
        assert_eq!(remove(&path, &name("a"), None).unwrap(), 2);
        assert_eq!(remove(&path, &name("a"), None).unwrap(), 0);
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(left, format!("# kept\n{}", lines_of(&name("ab"), &tokens[2], made())));
        assert!(!left.contains(tokens[2].expose()));
    }

    #[test]
    fn a_file_is_read_again_when_it_was_changed_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let mut file = TokenFile::at(path.clone());
        assert_eq!(file.read_if_changed().unwrap(), Some(Tokens::default()), "no file is an empty one");
        assert_eq!(file.read_if_changed().unwrap(), None);
        add(&path, &name("a"), &Token::of([1; RANDOM_BYTES]), made()).unwrap();
        assert_eq!(file.read_if_changed().unwrap().unwrap().names().len(), 1);
        assert_eq!(file.read_if_changed().unwrap(), None);
        add(&path, &name("b"), &Token::of([2; RANDOM_BYTES]), made()).unwrap();
        assert_eq!(file.read_if_changed().unwrap().unwrap().names().len(), 2);
        fs::remove_file(&path).unwrap();
        let gone = file.read_if_changed();
        assert!(matches!(gone, Err(TokenFileError::Io { deed: "opened", .. })), "what is in force stays");
    }

    #[test]
    fn one_token_of_several_is_removed_by_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let tokens = [1, 2, 3].map(|byte| Token::of([byte; RANDOM_BYTES]));
        // The first line has the format of an earlier version.
        fs::write(&path, format!("a = {}\n", tokens[0].hash())).unwrap();
        add(&path, &name("a"), &tokens[1], made()).unwrap();
        add(&path, &name("b"), &tokens[2], made()).unwrap();
        assert_eq!(remove(&path, &name("b"), Some(tokens[1].id())).unwrap(), 0, "it is not b's");
        assert_eq!(remove(&path, &name("a"), Some(tokens[1].id())).unwrap(), 1);
        let left = fs::read_to_string(&path).unwrap();
        let b = lines_of(&name("b"), &tokens[2], made());
        assert_eq!(left, format!("a = {}\n{b}", tokens[0].hash()));
        assert_eq!(remove(&path, &name("a"), Some(tokens[0].id())).unwrap(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), b);
    }

    #[test]
    fn a_file_that_is_too_long_loses_no_token_to_an_edit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let line = format!("a = {}\n", Token::of([1; RANDOM_BYTES]).hash());
        let lines = usize::try_from(MAX_BYTES).unwrap() / line.len();
        fs::write(&path, line.repeat(lines + 1)).unwrap();
        let before = fs::metadata(&path).unwrap().len();
        let too_long = |error: TokenFileError| error.remedy().contains("at most 4 MiB");
        assert!(too_long(add(&path, &name("b"), &Token::of([2; RANDOM_BYTES]), made()).unwrap_err()));
        assert!(too_long(TokenFile::at(path.clone()).read_if_changed().unwrap_err()));
        assert_eq!(fs::metadata(&path).unwrap().len(), before);
        fs::write(&path, line.repeat(lines)).unwrap();
        assert!(too_long(add(&path, &name("b"), &Token::of([2; RANDOM_BYTES]), made()).unwrap_err()));
        assert_eq!(fs::metadata(&path).unwrap().len(), (line.len() * lines) as u64, "as it was");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_neither_believed_nor_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        fs::write(&path, "lab-1 cis490-secret\n").unwrap();
        assert!(matches!(TokenFile::at(path.clone()).read_if_changed(), Err(TokenFileError::Line { .. })));
        let error = add(&path, &name("a"), &Token::of([1; RANDOM_BYTES]), made()).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "lab-1 cis490-secret\n");
    }
}
