//! The next command for every finding, with the paths of this store, ready to be pasted.
//!
//! No command here destroys data: a damaged archive is renamed, and only an upload that was never acknowledged is
//! removed. Lines that begin with `#` are advice that no command can give.

use std::path::Path;

use super::findings::{Finding, Subject};
use crate::shell::quoted;

/// Runs a command as the owner of the store that the units name.
const AS_SERVICE: &str = "sudo -u cis490 ";
/// The data directory of a lab host (protocol section 3.4).
const LAB_HOST_DATA: &str = "/var/lib/cis490/data";

/// The store and the index of the run, with the names from the flags.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// `--episodes-root`, or `--copy`.
    pub episodes_root: &'a Path,
    /// `--index`.
    pub index: &'a Path,
    /// The configuration that named them.
    pub config: Option<&'a Path>,
    /// True for a copy, on a machine that need not be the collector.
    pub is_copy: bool,
}

/// Returns the next commands, one per line.
pub fn next(finding: &Finding, site: Site<'_>) -> Vec<String> {
    let (index, user) = (quoted(site.index), site.user());
    match finding {
        Finding::ArchiveWithoutRow(subject) => {
            vec![format!("{user}cis490-index-backfill {} --host {}", site.flags(), subject.host_id)]
        }
        Finding::IndexMissing { .. } => {
            vec![format!("{user}cis490-index-backfill {}", site.flags())]
        }
        Finding::RowPending(_) => vec![format!("{user}cis490-verify {} --no-hash", site.flags())],
        Finding::NotInIndex(_) => vec![
            "# an index that is newer than the copy names every episode; COLLECTOR is where both come from:"
                .to_owned(),
            format!("rsync -t COLLECTOR:/var/lib/cis490/index.jsonl {index}"),
        ],
        Finding::RowWithoutArchive { subject, .. } => site.restore(subject),
        Finding::SizeDiffers { subject, .. } | Finding::HashDiffers { subject, .. } => {
            let path = quoted(&subject.path);
            let mut aside = subject.path.clone().into_os_string();
            aside.push(".damaged");
            let aside = format!("{user}mv -n {path} {}", quoted(Path::new(&aside)));
            std::iter::once(aside).chain(site.restore(subject)).collect()
        }
        Finding::NoEpisode { subject, .. } => vec![
            "# these are the bytes that its host sent, so no copy is better: do not train with it".to_owned(),
            format!("{user}tar --zstd -tvf {}", quoted(&subject.path)),
        ],
        Finding::OtherEpisode { subject, .. } => vec![site.show_meta(subject)],
        Finding::OtherCommit { subject, .. } => vec![
            "# the gate checked the commit in the request: find out which code ran before training with it"
                .to_owned(),
            site.show_meta(subject),
        ],
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
            "# a running receiver terminates the line with its next row, and every start does:".to_owned(),
            "sudo systemctl restart cis490-receiver".to_owned(),
        ],
        Finding::SecondRow { episode_id, .. } => {
            vec![format!("{user}grep -n '\"{episode_id}\"' {index}")]
        }
        Finding::NotRows { first_line, .. } | Finding::RowsWithoutHash { first_line, .. } => {
            vec![format!("{user}sed -n {first_line}p {index}")]
        }
        Finding::LeftOver { path } => vec![format!("{user}rm {}", quoted(path))],
        Finding::Misplaced { path, .. } | Finding::ForeignName { path } => {
            vec![format!("{user}ls -ld {}", quoted(path))]
        }
    }
}

impl Site<'_> {
    /// Returns the prefix that changes the user: none for a copy, which belongs to the person who checks it.
    const fn user(self) -> &'static str {
        if self.is_copy { "" } else { AS_SERVICE }
    }

    fn flags(self) -> String {
        format!("--episodes-root {} --index {}", quoted(self.episodes_root), quoted(self.index))
    }

    fn show_meta(self, subject: &Subject) -> String {
        format!("{}tar --zstd -xOf {} --wildcards '*meta.json'", self.user(), quoted(&subject.path))
    }

    /// Returns the commands that restore an archive: from the collector, or from its host, which packs the same bytes.
    fn restore(self, subject: &Subject) -> Vec<String> {
        let Subject { host_id, episode_id, path } = subject;
        if self.is_copy {
            let dir = quoted(cis490_shared::durable::parent(path));
            return vec![
                "# COLLECTOR is where the copy comes from:".to_owned(),
                format!("rsync -t COLLECTOR:/var/lib/cis490/episodes/{host_id}/{episode_id}.tar.zst {dir}/"),
            ];
        }
        vec![
            format!(
                "# put a copy that has the hash of the row at {}, or let the host send it again:",
                quoted(path)
            ),
            format!(
                "ssh {host_id} {AS_SERVICE}mv -n {LAB_HOST_DATA}/shipped/{episode_id} {LAB_HOST_DATA}/episodes/"
            ),
        ]
    }
}
