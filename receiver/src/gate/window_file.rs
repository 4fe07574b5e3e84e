//! gate.json: the last good window, so that a restart during a git outage locks out no host (incident 3).
//!
//! A window of another clone, ref or size is ignored. Every function here blocks.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cis490_shared::durable;
use cis490_shared::ids::CommitHash;
use cis490_shared::small_file::SmallFile;
use serde::{Deserialize, Serialize};

use super::window::{Window, WindowReading};

/// The mode of gate.json: the maintainers' group may read it.
const MODE: u32 = 0o640;
/// More than twice the size of the largest window: 100,000 commits of 67 bytes each.
const MAX_BYTES: u64 = 16 << 20;

/// The path of gate.json, and the source that its window must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowFile {
    /// The path of gate.json.
    pub path: PathBuf,
    /// The source of the window.
    pub source: Source,
}

/// The clone, ref and size from which a window was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The clone.
    pub repo_path: PathBuf,
    /// `HEAD` or a full ref name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The configured size of the window.
    pub window: usize,
}

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(flatten)]
    source: Source,
    read_at_unix_s: u64,
    commits: Vec<CommitHash>,
}

impl WindowFile {
    /// Writes the window durably.
    pub fn store(&self, reading: &WindowReading) -> io::Result<()> {
        let since_epoch = reading.read_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let content = Content {
            source: self.source.clone(),
            read_at_unix_s: since_epoch.as_secs(),
            commits: reading.window.commits().to_vec(),
        };
        durable::replace_file(&self.path, &serde_json::to_vec(&content)?, MODE)
    }

    /// Reads the window. Returns `None` if the file is missing or its window is of another clone, ref or size.
    pub fn load(&self) -> io::Result<Option<WindowReading>> {
        let text = match SmallFile::open(&self.path, MAX_BYTES).and_then(|file| file.bytes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let content: Content = serde_json::from_slice(&text)?;
        let window = Window::new(content.commits).ok().filter(|_| content.source == self.source);
        let read_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(content.read_at_unix_s));
        let read_at = read_at.ok_or_else(|| {
            let reason = format!("`read_at_unix_s` is {}, which is no time", content.read_at_unix_s);
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?;
        Ok(window.map(|window| WindowReading { window, read_at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_survives_on_disk_and_only_for_its_own_source() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source { repo_path: "/clone".into(), reference: "HEAD".into(), window: 100 };
        let file = WindowFile { path: dir.path().join("gate.json"), source: source.clone() };
        assert_eq!(file.load().unwrap(), None);
        let window = Window::new(vec![CommitHash::parse(&"ab".repeat(20)).unwrap()]).unwrap();
        let reading = WindowReading { window, read_at: SystemTime::UNIX_EPOCH + Duration::from_secs(7) };
        file.store(&reading).unwrap();
        assert_eq!(file.load().unwrap(), Some(reading));
        for other in [
            Source { repo_path: "/other".into(), ..source.clone() },
            Source { reference: "refs/heads/x".into(), ..source.clone() },
            Source { window: 50, ..source },
        ] {
            assert_eq!(WindowFile { source: other, ..file.clone() }.load().unwrap(), None);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_window() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source { repo_path: "/clone".into(), reference: "HEAD".into(), window: 100 };
        let file = WindowFile { path: dir.path().join("gate.json"), source };
        std::fs::write(&file.path, "{\"commits\": [\"x\"]}").unwrap();
        assert!(file.load().is_err());
        let window = Window::new(vec![CommitHash::parse(&"ab".repeat(20)).unwrap()]).unwrap();
        file.store(&WindowReading { window, read_at: SystemTime::UNIX_EPOCH }).unwrap();
        let good = std::fs::read_to_string(&file.path).unwrap();
        let damaged = good.replace("\"read_at_unix_s\":0", &format!("\"read_at_unix_s\":{}", u64::MAX));
        assert_ne!(damaged, good);
        std::fs::write(&file.path, damaged).unwrap();
        assert!(file.load().unwrap_err().to_string().contains("no time"));
    }
}
