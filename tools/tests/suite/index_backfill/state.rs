//! A state directory that a test makes, and the program's output for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use cis490_shared::ids::Sha256Digest;
use cis490_shared::row::IndexRow;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cis490-index-backfill");

/// A state directory with a store in it.
pub(crate) struct State(pub(crate) TempDir);

impl State {
    pub(crate) fn new() -> Self {
        let state = Self(tempfile::tempdir().unwrap());
        fs::create_dir(state.path("episodes")).unwrap();
        state
    }

    /// Creates a state whose store holds `h1/e1` to `h1/eN`.
    pub(crate) fn with_archives(count: usize) -> Self {
        let state = Self::new();
        for n in 1..=count {
            state.store(&format!("h1/e{n}"), &usual_archive());
        }
        state
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Stores an archive at a time that is no full second.
    pub(crate) fn store(&self, name: &str, bytes: &[u8]) {
        let path = self.path("episodes").join(format!("{name}.tar.zst"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_760_000_000_000_001);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }

    pub(crate) fn index(&self) -> String {
        fs::read_to_string(self.path("index.jsonl")).unwrap()
    }

    /// Counts the rows of each episode.
    pub(crate) fn rows(&self) -> BTreeMap<String, usize> {
        let mut rows = BTreeMap::new();
        for line in self.index().lines() {
            *rows.entry(IndexRow::parse(line.as_bytes()).unwrap().episode_id.to_string()).or_default() += 1;
        }
        rows
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

    pub(crate) fn told_by(&self, child: Child) -> String {
        let output = child.wait_with_output().unwrap();
        let text = format!(
            "exit {}\n{}--\n{}",
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        text.replace(self.0.path().to_str().unwrap(), "[STATE]").replace(&hex(&usual_archive()), "[SHA256]")
    }
}

/// Returns an archive with this meta.json, in which `COMMIT` is replaced by a commit.
pub(crate) fn archive(meta: &str) -> Vec<u8> {
    let meta = meta.replace("COMMIT", &"ab".repeat(20));
    let mut header = tar::Header::new_gnu();
    header.set_size(meta.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "e/meta.json", meta.as_bytes()).unwrap();
    zstd::encode_all(tar.into_inner().unwrap().as_slice(), 3).unwrap()
}

/// Returns an archive for tests that do not care about its contents.
pub(crate) fn usual_archive() -> Vec<u8> {
    archive(r#"{"code_version": {"commit": "COMMIT"}}"#)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256Digest::from_bytes(Sha256::digest(bytes).into()).to_string()
}
