//! A state directory that a test makes, and the program's output for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use cis490_shared::ids::Sha256Digest;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cis490-verify");

/// A state directory with a store in it.
pub(crate) struct State(pub(crate) TempDir);

impl State {
    pub(crate) fn new() -> Self {
        let state = Self(tempfile::tempdir().unwrap());
        fs::create_dir(state.path("episodes")).unwrap();
        state
    }

    /// Creates a state whose store holds `h1/e1` to `h1/eN`, each with its row.
    pub(crate) fn with_episodes(count: usize) -> Self {
        let state = Self::new();
        for n in 1..=count {
            state.add(&format!("h1/e{n}"), &format!("episode {n}"));
        }
        state
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn archive(&self, name: &str) -> PathBuf {
        self.path("episodes").join(format!("{name}.tar.zst"))
    }

    /// Stores bytes as the archive `HOST/EPISODE`, and adds its row.
    pub(crate) fn add(&self, name: &str, bytes: &str) {
        self.store(name, bytes);
        self.append(&row(name, bytes));
    }

    /// Stores an archive that can be opened, and adds its row with this commit.
    pub(crate) fn add_archive(&self, name: &str, bytes: &[u8], commit: Option<&str>) {
        fs::create_dir_all(self.archive(name).parent().unwrap()).unwrap();
        fs::write(self.archive(name), bytes).unwrap();
        let commit = commit.map(|commit| format!("\"commit\":\"{commit}\",")).unwrap_or_default();
        self.append(&row(name, bytes).replacen('{', &format!("{{{commit}"), 1));
    }

    /// Stores bytes as an archive without a row.
    pub(crate) fn store(&self, name: &str, bytes: &str) {
        let path = self.archive(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Adds a line, or a part of one as after a crash, to the index.
    #[expect(clippy::disallowed_methods, reason = "a damaged index is not made by the code that is tested")]
    pub(crate) fn append(&self, text: &str) {
        let mut index = File::options().create(true).append(true).open(self.path("index.jsonl")).unwrap();
        index.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn start(&self, flags: &[&str]) -> Child {
        self.command(Path::new(PROGRAM), flags).spawn().unwrap()
    }

    pub(crate) fn command(&self, program: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("--episodes-root").arg(self.path("episodes")).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program and returns exit code and output, with variable parts replaced.
    pub(crate) fn run(&self, flags: &[&str]) -> String {
        self.told_by(self.start(flags))
    }

    /// Runs the program without a flag that names the store.
    pub(crate) fn run_bare(&self, flags: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.told_by(command.spawn().unwrap())
    }

    pub(crate) fn told_by(&self, child: Child) -> String {
        let output = child.wait_with_output().unwrap();
        let text = format!(
            "exit {}\n{}--\n{}",
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        text.replace(self.0.path().to_str().unwrap(), "[STATE]")
    }

    /// Lists the state directory, with all metadata that a write would change.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, String> {
        let mut listing = BTreeMap::new();
        let mut left = vec![self.0.path().to_owned()];
        while let Some(path) = left.pop() {
            let found = fs::symlink_metadata(&path).unwrap();
            if found.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let (modified, changed) =
                ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
            let owner = (found.uid(), found.gid(), found.mode());
            let told = format!("{} {} {owner:?} {modified:?} {changed:?}", found.ino(), found.len());
            listing.insert(path, told);
        }
        listing
    }
}

/// Returns the row of `HOST/EPISODE` with these bytes.
pub(crate) fn row(name: &str, bytes: impl AsRef<[u8]>) -> String {
    row_at(name, bytes, "2025-10-09T08:53:20.000001+00:00")
}

/// Returns the row of `HOST/EPISODE` with these bytes, stored at this time.
pub(crate) fn row_at(name: &str, bytes: impl AsRef<[u8]>, time: &str) -> String {
    let bytes = bytes.as_ref();
    let (host, episode) = name.split_once('/').unwrap();
    let (sha256, size) = (Sha256Digest::from_bytes(Sha256::digest(bytes).into()), bytes.len());
    format!(
        "{{\"episode_id\":\"{episode}\",\"host_id\":\"{host}\",\"received_at_wall\":\"{time}\",\
         \"schema_version\":1,\"sha256\":\"{sha256}\",\"size_bytes\":{size}}}\n"
    )
}

/// Returns an archive whose only member is this meta.json.
pub(crate) fn archive_with(meta: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(meta.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "e/meta.json", meta.as_bytes()).unwrap();
    zstd::encode_all(tar.into_inner().unwrap().as_slice(), 3).unwrap()
}

/// Sets the modification time of a file to `age` ago.
pub(crate) fn age(path: &Path, age: Duration) {
    let modified = SystemTime::UNIX_EPOCH.max(cis490_shared::clock::system_time() - age);
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}
