//! The data directory of a lab host, with recorded episodes.

use std::fs;
use std::path::{Path, PathBuf};

use cis490_shared::archive::DONE_MARKER;
use cis490_shared::durable::FileLock;
use cis490_shared::ids::EpisodeId;
use cis490_shipper::store::layout::Dirs;
use tempfile::TempDir;

/// The commit of recorded episodes unless a test says otherwise.
pub const COMMIT: &str = "abababababababababababababababababababab";

/// Returns an id; panics if the text is not one.
pub fn id(text: &str) -> EpisodeId {
    EpisodeId::parse(text).unwrap()
}

/// A data directory that is deleted with the test.
pub struct Host {
    root: TempDir,
}

impl Host {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        drop(Dirs::open(&root.path().join("data")).unwrap());
        Self { root }
    }

    /// Returns the directories, opened as by a running shipper.
    pub fn open(&self) -> (Dirs, FileLock) {
        Dirs::open(&self.data()).unwrap()
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Records an episode with this `code_version.commit`, or without any.
    pub fn record(&self, name: &str, commit: Option<&str>) -> PathBuf {
        let code =
            commit.map(|commit| format!(r#", "code_version": {{"commit": "{commit}", "dirty": false}}"#));
        let meta = format!(r#"{{"episode_id": "{name}", "schema_version": 1{}}}"#, code.unwrap_or_default());
        self.record_with_meta(name, &meta)
    }

    pub fn record_with_meta(&self, name: &str, meta: &str) -> PathBuf {
        let dir = self.data().join("episodes").join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("meta.json"), meta).unwrap();
        fs::write(dir.join("events.jsonl"), format!("{{\"episode\": \"{name}\"}}\n")).unwrap();
        fs::write(dir.join(DONE_MARKER), "").unwrap();
        dir
    }

    /// Adds a file that does not compress to an episode.
    pub fn add_capture(&self, name: &str, bytes: usize) {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut content = Vec::with_capacity(bytes + 8);
        while content.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend(state.to_le_bytes());
        }
        fs::write(self.data().join("episodes").join(name).join("network.pcap"), content).unwrap();
    }

    /// Returns the names in one of the directories, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.data().join(directory)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns the note beside a refused episode.
    pub fn reason(&self, name: &str) -> serde_json::Value {
        let path = self.data().join("quarantine").join(name).join("quarantine_reason.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}
