//! host-health/: the newest report of each lab host, replaced as a whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cis490_shared::clock::WallTime;
use cis490_shared::durable;
use cis490_shared::ids::HostId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The modes of the folder and of a report.
const FOLDER_MODE: u32 = 0o750;
const REPORT_MODE: u32 = 0o640;

/// The folder of the reports.
#[derive(Debug, Clone)]
pub struct HostReports {
    folder: PathBuf,
    /// One report is written at a time: all of a host's reports share one temporary name.
    writing: Arc<Mutex<()>>,
}

/// A report as it is kept and as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// When it came.
    pub received_at_wall: WallTime,
    /// What the host sent; its fields are the host's business.
    pub report: Map<String, Value>,
}

impl HostReports {
    /// Opens the folder, creating it durably where it is missing.
    pub fn open(folder: &Path) -> io::Result<Self> {
        durable::create_dir_all(folder, FOLDER_MODE)?;
        Ok(Self { folder: folder.to_owned(), writing: Arc::default() })
    }

    /// Keeps a report in place of the host's one before.
    pub fn store(&self, host: &HostId, report: &HostReport) -> io::Result<()> {
        let path = self.folder.join(format!("{host}.json"));
        // Whoever panicked while it wrote left a temporary at most, which the next one removes.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        durable::replace_file(&path, &serde_json::to_vec(report)?, REPORT_MODE)
    }

    /// All reports, the newest of each host. What cannot be read is left out: one bad file must not hide the rest.
    pub fn load_all(&self) -> io::Result<BTreeMap<String, HostReport>> {
        let mut reports = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let host = path.file_stem().and_then(|stem| HostId::parse(stem.to_str()?).ok());
            let is_report = path.extension().is_some_and(|extension| extension == "json");
            let (Some(host), true) = (host, is_report) else { continue };
            let read = std::fs::read(&path);
            match read.and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from)) {
                Ok(report) => drop(reports.insert(host.to_string(), report)),
                Err(error) => tracing::warn!(%error, host_id = %host, "a host report cannot be read"),
            }
        }
        Ok(reports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_report_of_each_host_is_kept_and_a_damaged_one_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let reports = HostReports::open(&dir.path().join("host-health")).unwrap();
        let report = |n: u64| HostReport {
            received_at_wall: WallTime::from(std::time::SystemTime::UNIX_EPOCH),
            report: Map::from_iter([("n".to_owned(), n.into())]),
        };
        let host = |name| HostId::parse(name).unwrap();
        reports.store(&host("a"), &report(1)).unwrap();
        reports.store(&host("a"), &report(2)).unwrap();
        reports.store(&host("b"), &report(3)).unwrap();
        std::fs::write(dir.path().join("host-health/c.json"), "{").unwrap();
        let all = reports.load_all().unwrap();
        assert_eq!(all, BTreeMap::from([("a".to_owned(), report(2)), ("b".to_owned(), report(3))]));
    }
}
