//! admitted.json: the amnesties on disk, read again after a change, rewritten by `cis490-receiver admit`. Every
//! function here blocks.
//!
//! People read the file and may edit it by hand. A misspelt entry makes the whole file invalid, because the entries
//! that are left could be the wrong ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cis490_shared::durable::{self, FileLock};
use cis490_shared::excerpt::excerpt;
use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::small_file::SmallFile;
use cis490_shared::watched::WatchedFiles;
use tracing::info;

use super::amnesty::Amnesties;

/// The file's name in the state directory.
const NAME: &str = "admitted.json";
/// The mode of the file: the maintainers' group may read it.
const MODE: u32 = 0o640;
/// Enough for some thousand entries. If more are needed, the window is too small.
const MAX_BYTES: u64 = 1 << 20;
/// The longest wait for another `admit` command that holds the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The reason why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AmnestyFileError {
    /// The file cannot be read or written.
    #[error("the list of admitted commits `{}` cannot be {deed}: {source}", path.display())]
    Io {
        /// The failed operation, as a participle.
        deed: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The content is not a list of amnesties.
    #[error("the list of admitted commits `{}` cannot be understood: {}", path.display(), excerpt(&source.to_string()))]
    Text {
        /// The file.
        path: PathBuf,
        /// The position and the reason of the parse error.
        source: serde_json::Error,
    },
    /// The file is longer than `MAX_BYTES`.
    #[error("the list of admitted commits `{}` has more than {MAX_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
}

impl AmnestyFileError {
    /// Returns the next step for a maintainer.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Text { .. } => {
                "mend it, or put it aside with `mv` and admit again what is needed: `cis490-receiver admit --help`"
            }
            Self::TooLong(_) => "revoke what is not needed, or raise version_gate.window in receiver.toml",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    "its directory is made by the first start: `systemctl start cis490-receiver`"
                }
                io::ErrorKind::PermissionDenied => {
                    "the service's user must be able to read it, and `admit` needs sudo: `ls -l` it"
                }
                io::ErrorKind::WouldBlock => "another `cis490-receiver admit` is at work, try again",
                _ => "`df -h` its file system, `dmesg | tail`",
            },
        }
    }
}

fn failed(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AmnestyFileError {
    let path = path.to_owned();
    move |source| AmnestyFileError::Io { deed, path, source }
}

/// Returns the path of the list in the state directory.
pub fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// The list on disk, and the state in which it was last read.
#[derive(Debug)]
pub struct AmnestyFile {
    path: PathBuf,
    seen: Seen,
    /// The time up to which ended amnesties have been logged.
    told: Option<SystemTime>,
}

/// The state of the file at the last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    File(FileFingerprint),
}

impl AmnestyFile {
    /// Creates a reader for this path. Reads nothing yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path, seen: Seen::Nothing, told: None }
    }
}

impl WatchedFiles for AmnestyFile {
    type Value = Amnesties;
    type Error = AmnestyFileError;
    const WHAT: &'static str = "commits admitted by name";

    /// Returns the list if the file has changed since the last read. A missing file is an empty list, which is also the
    /// initial state.
    fn read_if_changed(&mut self) -> Result<Option<Amnesties>, AmnestyFileError> {
        let found = found(fs::metadata(&self.path)).map_err(failed("looked at", &self.path))?;
        if self.seen == found.map_or(Seen::Nothing, |found| Seen::File(FileFingerprint::of(&found))) {
            return Ok(None);
        }
        let (amnesties, seen) = read(&self.path)?;
        self.seen = seen;
        Ok(Some(amnesties))
    }

    fn help(error: &AmnestyFileError) -> &'static str {
        error.remedy()
    }

    /// Logs each amnesty that has ended since the last call, because episodes of its commit are refused from now on.
    fn remind(&mut self, in_force: &Amnesties, now: SystemTime) {
        let told = self.told.replace(now).unwrap_or(now);
        for ended in in_force.in_force(told).filter(|amnesty| amnesty.is_over(now)) {
            let host_id = ended.host.as_ref().map(tracing::field::display);
            info!(commit = %ended.commit, host_id, reason = %ended.reason, "an amnesty has ended");
        }
    }
}

/// Reads the list from disk. A missing file is an empty list.
pub fn list(path: &Path) -> Result<Amnesties, AmnestyFileError> {
    Ok(read(path)?.0)
}

/// Changes the list durably, under a lock. Drops expired entries if anything changed. A file that cannot be parsed is
/// an error and stays unchanged.
pub fn edit<T>(
    path: &Path,
    now: SystemTime,
    change: impl FnOnce(&mut Amnesties) -> T,
) -> Result<T, AmnestyFileError> {
    let lock = path.with_added_extension("lock");
    let _lock = FileLock::take(&lock, LOCK_PATIENCE).map_err(failed("locked", path))?;
    let before = list(path)?;
    let mut after = before.clone();
    let outcome = change(&mut after);
    if after != before {
        after.tidy(now);
        store(path, &after)?;
    }
    Ok(outcome)
}

fn store(path: &Path, amnesties: &Amnesties) -> Result<(), AmnestyFileError> {
    let text = serde_json::to_string_pretty(amnesties)
        .map_err(|source| AmnestyFileError::Text { path: path.to_owned(), source })?;
    if text.len() as u64 >= MAX_BYTES {
        return Err(AmnestyFileError::TooLong(path.to_owned()));
    }
    durable::replace_file_of_its_owner(path, format!("{text}\n").as_bytes(), MODE)
        .map_err(failed("written", path))
}

fn read(path: &Path) -> Result<(Amnesties, Seen), AmnestyFileError> {
    let opened = found(SmallFile::open(path, MAX_BYTES)).map_err(failed("opened", path))?;
    let Some(file) = opened else { return Ok((Amnesties::default(), Seen::Nothing)) };
    let text = file.text().map_err(|source| match source.kind() {
        io::ErrorKind::FileTooLarge => AmnestyFileError::TooLong(path.to_owned()),
        _ => failed("read", path)(source),
    })?;
    let amnesties = serde_json::from_str(&text)
        .map_err(|source| AmnestyFileError::Text { path: path.to_owned(), source })?;
    Ok((amnesties, Seen::File(file.stamp())))
}

/// Turns `NotFound` into `None`.
fn found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use cis490_shared::ids::CommitHash;
    use cis490_shared::moment::Moment;

    use super::*;
    use crate::gate::amnesty::{Amnesty, Reason};

    fn time(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn amnesty(byte: u8, until: Option<u64>) -> Amnesty {
        Amnesty {
            commit: CommitHash::parse(&format!("{byte:02x}").repeat(20)).unwrap(),
            host: None,
            until: until.map(|seconds| Moment::of(time(seconds))),
            reason: Reason::parse("an old but honest backlog").unwrap(),
            by: Reason::parse("alice").unwrap(),
            at: Moment::of(time(0)),
        }
    }

    #[test]
    fn what_was_admitted_is_read_back_and_only_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        let mut file = AmnestyFile::at(path.clone());
        assert_eq!(file.read_if_changed().unwrap(), None, "there is no file");
        edit(&path, time(1), |list| list.admit(amnesty(1, Some(9)))).unwrap();
        assert_eq!(file.read_if_changed().unwrap().unwrap().all(), [amnesty(1, Some(9))]);
        assert_eq!(file.read_if_changed().unwrap(), None);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"until\": \"1970-01-01T00:00:09Z\"") && text.ends_with("}\n"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        fs::remove_file(&path).unwrap();
        assert_eq!(file.read_if_changed().unwrap(), Some(Amnesties::default()), "nothing is left of it");
    }

    #[test]
    fn what_is_over_goes_with_the_next_change_and_no_change_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        edit(&path, time(1), |list| list.admit(amnesty(1, Some(9)))).unwrap();
        let written = fs::metadata(&path).unwrap().ino();
        edit(&path, time(10), |list| list.revoke(&amnesty(7, None).commit, None)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), written);
        edit(&path, time(10), |list| list.admit(amnesty(2, None))).unwrap();
        assert_eq!(list(&path).unwrap().all(), [amnesty(2, None)]);
    }

    #[test]
    fn a_list_that_cannot_be_understood_is_neither_believed_nor_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        let hex = "ab".repeat(20);
        let entry = |more: &str| {
            format!(
                "{{\"admitted\": [{{\"commit\": \"{hex}\", \"reason\": \"r\", \"by\": \"a\", \"at\": \"2026-01-01\"{more}}}]}}"
            )
        };
        fs::write(&path, entry("")).unwrap();
        assert_eq!(list(&path).unwrap().all().len(), 1, "as a person may write it");
        for text in [
            "",
            "{",
            "[]",
            &entry(", \"untill\": \"2026-01-01\""),
            &entry("").replace("ab", "xy"),
            &entry("")[1..],
        ] {
            fs::write(&path, text).unwrap();
            let error = AmnestyFile::at(path.clone()).read_if_changed().unwrap_err();
            assert!(matches!(error, AmnestyFileError::Text { .. }), "{error}");
            edit(&path, time(1), |list| list.admit(amnesty(1, None))).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_list_without_end_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        fs::write(&path, " ".repeat(usize::try_from(MAX_BYTES).unwrap() + 1)).unwrap();
        assert!(matches!(list(&path), Err(AmnestyFileError::TooLong(_))));
    }

    #[test]
    fn a_list_made_by_root_belongs_to_the_owner_of_its_directory() {
        const SERVICE: u32 = 65534;
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(SERVICE), Some(SERVICE)).unwrap();
        let path = path_in(dir.path());
        edit(&path, time(1), |list| list.admit(amnesty(1, None))).unwrap();
        for name in [path.clone(), path.with_added_extension("lock")] {
            let owner = fs::metadata(&name).unwrap();
            assert_eq!((owner.uid(), owner.gid()), (SERVICE, SERVICE), "{}", name.display());
        }
    }
}
