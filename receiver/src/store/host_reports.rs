//! host-health/: the newest report of each lab host, replaced as a whole.
//!
//! A report is stored as it came, once it is proven to be a JSON object. So listing the reports copies files and parses
//! none into memory. Each host can send one report at a time, and the number in all is limited.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cis490_shared::clock::WallTime;
use cis490_shared::durable;
use cis490_shared::ids::HostId;
use cis490_shared::json;
use cis490_shared::small_file::SmallFile;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// The modes of the folder and of a report.
const FOLDER_MODE: u32 = 0o750;
const REPORT_MODE: u32 = 0o640;

/// The longest report, in bytes (protocol section 2).
pub const MAX_REPORT_BYTES: usize = 256 * 1024;
/// The longest file, in bytes: a report and its time of arrival.
const MAX_FILE_BYTES: u64 = MAX_REPORT_BYTES as u64 + 1024;
/// The most reports that arrive at the same time: some 200 MiB, with the memory for parsing.
const MOST_AT_ONCE: usize = 64;
/// The most hosts with reports where no host has to prove its name: 256 MiB at most.
const MOST_UNPROVEN: usize = 1000;

/// The reason why a report is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefusal {
    /// Another report of the host is arriving.
    #[error("another report of this host is being taken right now")]
    HostInFlight,
    /// As many reports as allowed are arriving already.
    #[error("{MOST_AT_ONCE} reports are being taken, which is the limit")]
    TooMany,
    /// The host did not prove its name, and enough hosts have reports. Without this limit, invented names could fill
    /// the disk.
    #[error(
        "{MOST_UNPROVEN} hosts have reports, which is the limit for hosts without authentication: see `host-health/` \
         and `[auth]` on the collector"
    )]
    TooManyHosts,
    /// The report is not a JSON object.
    #[error("it is not a JSON object")]
    NoObject,
}

/// The folder of the reports. Clones share the set of arriving reports.
#[derive(Debug, Clone)]
pub struct HostReports {
    folder: PathBuf,
    arriving: Arc<Mutex<HashSet<HostId>>>,
}

/// The right to send a report; the host's next report is refused until it is dropped.
#[derive(Debug)]
pub struct Place {
    host: HostId,
    /// True if the host has proven its name.
    is_proven: bool,
    arriving: Arc<Mutex<HashSet<HostId>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.arriving).remove(&self.host);
    }
}

fn lock(arriving: &Mutex<HashSet<HostId>>) -> MutexGuard<'_, HashSet<HostId>> {
    // Nothing can panic while the lock is held.
    arriving.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file of the folder; its contents are not kept.
#[derive(Deserialize)]
struct Shape {
    #[expect(dead_code, reason = "it has to be there")]
    received_at_wall: IgnoredAny,
    #[expect(dead_code, reason = "it has to be there")]
    report: IgnoredAny,
}

impl HostReports {
    /// Opens the folder; creates it, durably, if it is missing.
    pub fn open(folder: &Path) -> io::Result<Self> {
        durable::create_dir_all(folder, FOLDER_MODE)?;
        Ok(Self { folder: folder.to_owned(), arriving: Arc::default() })
    }

    /// Admits a report of a host before the first byte of its body.
    pub fn admit(&self, host: &HostId, is_proven: bool) -> Result<Place, ReportRefusal> {
        let mut arriving = lock(&self.arriving);
        if arriving.contains(host) {
            return Err(ReportRefusal::HostInFlight);
        }
        if arriving.len() >= MOST_AT_ONCE {
            return Err(ReportRefusal::TooMany);
        }
        arriving.insert(host.clone());
        Ok(Place { host: host.clone(), is_proven, arriving: Arc::clone(&self.arriving) })
    }

    /// Stores a report in place of the host's previous one. Blocks.
    pub fn store(
        &self,
        place: &Place,
        received: &WallTime,
        report: &[u8],
    ) -> io::Result<Result<(), ReportRefusal>> {
        // Parsed like every reader of the list will parse it: with limited depth, and as UTF-8.
        if serde_json::from_slice::<Map<String, Value>>(report).is_err() {
            return Ok(Err(ReportRefusal::NoObject));
        }
        let path = self.path(&place.host);
        if !place.is_proven && !path.try_exists()? && self.hosts()?.len() >= MOST_UNPROVEN {
            return Ok(Err(ReportRefusal::TooManyHosts));
        }
        let mut file =
            format!("{{\"received_at_wall\":{},\"report\":", serde_json::to_string(received)?).into_bytes();
        file.extend_from_slice(report.trim_ascii());
        file.push(b'}');
        durable::replace_file(&path, &file, REPORT_MODE).map(Ok)
    }

    /// Returns the hosts that have a report, sorted. Blocks.
    pub fn hosts(&self) -> io::Result<Vec<HostId>> {
        let mut hosts = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let host = name.to_str().and_then(|name| HostId::parse(name.strip_suffix(".json")?).ok());
            hosts.extend(host);
        }
        hosts.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(hosts)
    }

    /// Returns a host's report and its time of arrival, as the JSON object in the file. Blocks.
    pub fn read(&self, host: &HostId) -> io::Result<Vec<u8>> {
        let text = SmallFile::open(&self.path(host), MAX_FILE_BYTES)?.bytes()?;
        json::object::<Shape>(&text)?;
        Ok(text)
    }

    fn path(&self, host: &HostId) -> PathBuf {
        self.folder.join(format!("{host}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostId {
        HostId::parse(name).unwrap()
    }

    fn store(reports: &HostReports, name: &str, is_proven: bool, report: &str) -> Result<(), ReportRefusal> {
        let place = reports.admit(&host(name), is_proven)?;
        let epoch = WallTime::from(std::time::SystemTime::UNIX_EPOCH);
        reports.store(&place, &epoch, report.as_bytes()).unwrap()
    }

    #[test]
    fn the_newest_report_of_each_host_is_kept_as_it_came_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let reports = HostReports::open(&dir.path().join("host-health")).unwrap();
        for (name, report) in [("b", "{\"n\": 1}"), ("b", " {\"n\": 2.50}\n"), ("a", "{}")] {
            store(&reports, name, true, report).unwrap();
        }
        for no_object in ["[1]", "{", "", "{\"a\": \"\u{0}\"}", &"{\"a\":".repeat(500)] {
            assert_eq!(store(&reports, "b", true, no_object), Err(ReportRefusal::NoObject), "{no_object}");
        }
        std::fs::write(dir.path().join("host-health/c.json"), "{").unwrap();
        std::fs::write(dir.path().join("host-health/b.json.new"), "{").unwrap();
        assert_eq!(reports.hosts().unwrap(), [host("a"), host("b"), host("c")]);
        let kept = String::from_utf8(reports.read(&host("b")).unwrap()).unwrap();
        assert!(kept.ends_with(",\"report\":{\"n\": 2.50}}"), "{kept}");
        assert!(kept.starts_with("{\"received_at_wall\":\"1970-01-01T"), "{kept}");
        reports.read(&host("c")).unwrap_err();
    }

    #[test]
    fn one_report_of_a_host_is_on_its_way_and_a_bounded_number_in_all() {
        let dir = tempfile::tempdir().unwrap();
        let reports = HostReports::open(dir.path()).unwrap();
        let first = reports.admit(&host("a"), true).unwrap();
        assert_eq!(reports.clone().admit(&host("a"), true).unwrap_err(), ReportRefusal::HostInFlight);
        let _others: Vec<_> =
            (1..MOST_AT_ONCE).map(|n| reports.admit(&host(&n.to_string()), true).unwrap()).collect();
        assert_eq!(reports.admit(&host("b"), true).unwrap_err(), ReportRefusal::TooMany);
        drop(first);
        reports.admit(&host("a"), true).unwrap();
    }

    #[test]
    fn invented_hosts_fill_no_disk_and_keep_no_proven_one_out() {
        let dir = tempfile::tempdir().unwrap();
        let reports = HostReports::open(dir.path()).unwrap();
        store(&reports, "old", false, "{}").unwrap();
        for number in 1..MOST_UNPROVEN {
            std::fs::write(dir.path().join(format!("{number}.json")), "{}").unwrap();
        }
        assert_eq!(store(&reports, "new", false, "{}"), Err(ReportRefusal::TooManyHosts));
        store(&reports, "old", false, "{}").unwrap();
        store(&reports, "new", true, "{}").unwrap();
    }
}
