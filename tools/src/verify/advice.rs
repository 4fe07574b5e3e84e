//! The next command for every finding, with the paths of this store, ready to be pasted.
//!
//! No command here destroys data: what is damaged is put aside, and only an upload that nobody was ever told of is
//! removed. Lines that begin with `#` say what no command can do.

use std::path::Path;

use super::findings::{Finding, Subject};
use crate::place::Place;
use crate::shell::quoted;

/// Who owns the store, by the units of this repository.
const AS_SERVICE: &str = "sudo -u cis490";
/// Where a lab host keeps its episodes (protocol section 3.4).
const LAB_HOST_DATA: &str = "/var/lib/cis490/data";

/// The store and the index that were looked at, as they were named.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// `--episodes-root`.
    pub episodes_root: &'a Path,
    /// `--index`.
    pub index: &'a Path,
    /// The configuration that named them.
    pub config: Option<&'a Path>,
}

/// What to do next, a line each.
pub fn next(finding: &Finding, site: Site<'_>) -> Vec<String> {
    let index = quoted(site.index);
    match finding {
        Finding::ArchiveWithoutRow(subject) => {
            vec![format!("{AS_SERVICE} cis490-index-backfill {} --host {}", site.flags(), subject.host_id)]
        }
        Finding::IndexMissing { .. } => {
            vec![format!("{AS_SERVICE} cis490-index-backfill {}", site.flags())]
        }
        Finding::RowPending(_) => vec![format!("{AS_SERVICE} cis490-verify {} --no-hash", site.flags())],
        Finding::RowWithoutArchive { subject, .. } => restore(subject),
        Finding::SizeDiffers { subject, .. } | Finding::HashDiffers { subject, .. } => {
            let path = quoted(&subject.path);
            let mut aside = subject.path.clone().into_os_string();
            aside.push(".damaged");
            let aside = format!("{AS_SERVICE} mv -n {path} {}", quoted(Path::new(&aside)));
            std::iter::once(aside).chain(restore(subject)).collect()
        }
        Finding::ReadUnsteady { subject, .. } => vec![
            "sudo dmesg --level=err,warn | tail -n 50".to_owned(),
            format!("sudo smartctl -a \"$(df --output=source {} | tail -n 1)\"", quoted(&subject.path)),
        ],
        Finding::Unreadable { path, denied: true, .. } => vec![format!("sudo namei -l {}", quoted(path))],
        Finding::Unreadable { denied: false, .. } => {
            vec!["sudo dmesg --level=err,warn | tail -n 50".to_owned()]
        }
        Finding::WrongOwner { path, .. } => {
            let dir = quoted(cis490_shared::durable::parent(path));
            vec![format!("sudo chown --reference={dir} {}", quoted(path))]
        }
        Finding::WrongMode { path, .. } => vec![format!("sudo chmod 0640 {}", quoted(path))],
        Finding::TornLine { .. } => vec![
            "# a receiver that runs ends the line with its next row, and every start does".to_owned(),
            "sudo systemctl restart cis490-receiver".to_owned(),
        ],
        Finding::SecondRow { episode_id, .. } => {
            vec![format!("{AS_SERVICE} grep -n '\"{episode_id}\"' {index}")]
        }
        Finding::NotRows { first_line, .. } | Finding::RowsWithoutHash { first_line, .. } => {
            vec![format!("{AS_SERVICE} sed -n {first_line}p {index}")]
        }
        Finding::LeftOver { path } => vec![format!("{AS_SERVICE} rm {}", quoted(path))],
        Finding::Misplaced { path, .. } | Finding::ForeignName { path } => {
            vec![format!("{AS_SERVICE} ls -ld {}", quoted(path))]
        }
    }
}

/// How an archive comes back: its host may still have the episode, and packs it to the same bytes.
fn restore(subject: &Subject) -> Vec<String> {
    let Subject { host_id, episode_id, path } = subject;
    vec![
        format!(
            "# put a copy that has the hash of the row at {}, or let the host send it again:",
            quoted(path)
        ),
        format!(
            "ssh {host_id} {AS_SERVICE} mv -n {LAB_HOST_DATA}/shipped/{episode_id} {LAB_HOST_DATA}/episodes/"
        ),
    ]
}

impl<'a> Site<'a> {
    /// The store and the index that a run looks at.
    pub fn of(place: &'a Place) -> Self {
        Self { episodes_root: &place.episodes_root, index: &place.index, config: place.config.as_deref() }
    }

    fn flags(self) -> String {
        format!("--episodes-root {} --index {}", quoted(self.episodes_root), quoted(self.index))
    }
}
