//! The last report of verify (`cis490-verify --report`): one JSON object a line, the summary at the end.
//!
//! A finding is a reason to check, never a verdict: an archive that is reported as damaged is read again.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use cis490_shared::ids::{EpisodeId, HostId};
use cis490_shared::moment::Moment;
use cis490_shared::small_file::read_text;
use serde::Deserialize;

/// The longest report, in bytes; a longer one is an error. A store with that much damage has another problem.
const MAX_REPORT: u64 = 64 << 20;

/// One run of verify, according to its report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The time at which it ended.
    pub ended: Option<Moment>,
    /// The number of errors and warnings.
    pub findings: u64,
    /// The pairs whose archive it reported as damaged.
    pub damaged: HashSet<(HostId, EpisodeId)>,
}

/// A line of the report; its other members are for people.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Finding {
        finding: String,
        host_id: Option<HostId>,
        episode_id: Option<EpisodeId>,
    },
    Summary {
        #[serde(default)]
        ended: Option<Moment>,
        errors: u64,
        warnings: u64,
    },
}

/// The findings that an archive differs from its row.
const DAMAGE: [&str; 2] = ["size-differs", "hash-differs"];

/// Reads a report; returns `None` if there is none yet. Blocks.
pub fn read(path: &Path) -> io::Result<Option<Verified>> {
    match read_text(path, MAX_REPORT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => parse(&text?).map(Some),
    }
}

fn parse(text: &str) -> io::Result<Verified> {
    let mut verified = Verified::default();
    for line in text.lines() {
        match serde_json::from_str(line)? {
            Line::Finding { finding, host_id: Some(host), episode_id: Some(episode) }
                if DAMAGE.contains(&finding.as_str()) =>
            {
                verified.damaged.insert((host, episode));
            }
            Line::Finding { .. } => {}
            Line::Summary { ended, errors, warnings } => {
                verified.ended = ended;
                verified.findings = errors + warnings;
                return Ok(verified);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the report has no summary at its end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_damaged_pairs_and_the_summary_are_read_and_all_else_is_left_alone() {
        let text = [
            r#"{"type":"finding","severity":"error","finding":"hash-differs","host_id":"h","episode_id":"e1","path":"/x","message":"..."}"#,
            r#"{"type":"finding","severity":"error","finding":"size-differs","host_id":"h","episode_id":"e2"}"#,
            r#"{"type":"finding","severity":"warning","finding":"read-unsteady","host_id":"h","episode_id":"e3"}"#,
            r#"{"type":"finding","severity":"error","finding":"index-missing","archives":3}"#,
            r#"{"type":"summary","archives":3,"rows":3,"errors":3,"warnings":1,"notes":0,"ended":"2026-01-02T03:04:05.000000+00:00"}"#,
        ];
        let verified = parse(&text.join("\n")).unwrap();
        let pair = |episode| (HostId::parse("h").unwrap(), EpisodeId::parse(episode).unwrap());
        assert_eq!(verified.damaged, HashSet::from([pair("e1"), pair("e2")]));
        assert_eq!(verified.findings, 4);
        assert!(verified.ended.is_some());
        parse(&text[..4].join("\n")).unwrap_err();
        parse("{\"type\":").unwrap_err();
    }

    #[test]
    fn a_report_that_is_not_there_says_nothing() {
        assert_eq!(read(Path::new("/nonexistent/report.json")).unwrap(), None);
    }
}
