//! The prospects of this host's episodes: the gate's verdicts on the commits of waiting ones, and coming problems. The
//! work is bounded for any number of episodes, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use cis490_shared::certificate::Remaining;
use cis490_shared::fs_error::FsError;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId};
use cis490_shared::meta::EpisodeMeta;
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use cis490_shared::terminal;
use cis490_shared::wire::answer::CommitAnswer;

use crate::http::client::Client;
use crate::http::requests::{self, Gate, Room};
use crate::report::words;
use crate::store::layout::Dirs;
use crate::store::quarantine::survey;

/// The most episodes in `episodes/` whose meta.json is read.
const MAX_EPISODES: usize = 1000;
/// The most commits that the gate is asked about; a host records with one or two.
const MAX_COMMITS: usize = 20;

/// The waiting episodes of this host.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The number of episodes of each commit, in `episodes/` and in `quarantine/`.
    by_commit: BTreeMap<CommitHash, usize>,
    /// Episodes whose meta.json names no commit, or a text that is none.
    without_commit: usize,
    /// Why some could not be counted.
    problem: Option<String>,
}

impl Waiting {
    /// Counts the episodes below `root`, and notes if some cannot be counted. Blocks.
    pub(super) fn below(root: &Path) -> Self {
        let (dirs, mut waiting) = (Dirs::beside(root), Self::default());
        let quarantine = dirs.quarantine_root();
        if let Err(error) = waiting.count_episodes(&dirs.episodes()) {
            waiting.note(&dirs.episodes(), error);
        }
        match survey(&quarantine, &AtomicBool::new(false)) {
            Ok(tally) => {
                for (commit, episodes) in tally.by_commit {
                    if let Ok(commit) = CommitHash::parse(&commit) {
                        *waiting.by_commit.entry(commit).or_default() += episodes;
                    }
                }
            }
            Err(error) => waiting.note(&quarantine, error),
        }
        waiting
    }

    fn count_episodes(&mut self, episodes: &Path) -> io::Result<()> {
        let names = fs::read_dir(episodes)?.map_while(Result::ok).map(|entry| entry.file_name());
        let ids = names.filter_map(|name| EpisodeId::parse(name.to_str()?).ok());
        for id in ids.take(MAX_EPISODES) {
            // An episode that is still being recorded, or cannot be read, is skipped.
            let Some(meta) = EpisodeMeta::beside(&episodes.join(id.as_str())) else { continue };
            match meta.commit() {
                Some(Ok(commit)) => *self.by_commit.entry(commit).or_default() += 1,
                Some(Err(_)) | None => self.without_commit += 1,
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &Path, error: io::Error) {
        // No shipper has ever run here.
        if error.kind() != io::ErrorKind::NotFound {
            self.problem.get_or_insert(FsError::at("read", path)(error).to_string());
        }
    }
}

/// A commit, the number of its episodes, and the gate's answer; `None` without one.
type Judged = (CommitHash, usize, Option<CommitAnswer>);

/// The receiver's answers about the waiting episodes.
#[derive(Debug, Default)]
pub(super) struct Prospects {
    /// The commits with the most episodes.
    commits: Vec<Judged>,
    /// The number of commits that were not asked about.
    more: usize,
    without_commit: usize,
    problem: Option<String>,
    room: Option<Room>,
}

impl Prospects {
    /// Asks the gate about the commits with the most waiting episodes, and the receiver about its free space.
    pub(super) async fn ask(client: &Client, host: &HostId, waiting: Waiting, limit: Duration) -> Self {
        let Waiting { by_commit, without_commit, problem } = waiting;
        let mut by_number: Vec<_> = by_commit.into_iter().collect();
        by_number.sort_by_key(|(_, episodes)| std::cmp::Reverse(*episodes));
        let more = by_number.len().saturating_sub(MAX_COMMITS);
        by_number.truncate(MAX_COMMITS);
        let mut commits = Vec::new();
        for (commit, episodes) in by_number {
            // After a missing answer the gate is not asked again, because each question may take the whole limit.
            let is_asked = commits.last().is_none_or(|(_, _, answer): &Judged| answer.is_some());
            let answer = match is_asked {
                true => requests::gate(client, host, &commit, limit).await.ok(),
                false => None,
            };
            let answer =
                answer.and_then(|gate| if let Gate::Says(answer) = gate { Some(answer) } else { None });
            commits.push((commit, episodes, answer));
        }
        let room = requests::room(client, limit).await.ok().flatten();
        Self { commits, more, without_commit, problem, room }
    }

    /// Returns a line for each commit with waiting episodes.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .commits
            .iter()
            .map(|(commit, episodes, answer)| {
                let verdict = match answer {
                    Some(CommitAnswer { admitted: true, position: Some(position), window, .. }) => {
                        format!("admitted, {position} of the {window} newest")
                    }
                    Some(CommitAnswer { admitted: true, .. }) => "admitted by name".to_owned(),
                    Some(_) => "refused".to_owned(),
                    None => "no word from the gate".to_owned(),
                };
                format!(
                    "commit {:.12}: {verdict}; waiting here: {}",
                    commit.as_str(),
                    words::episodes(*episodes as u64)
                )
            })
            .collect();
        lines.extend((self.more > 0).then(|| format!("and {} more commits", self.more)));
        lines.extend(
            self.room
                .iter()
                .filter_map(|room| room.free_bytes)
                .map(|free| format!("the receiver has {} free", terminal::bytes(free))),
        );
        lines
    }

    /// Returns the reasons why this host's episodes would be refused now.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut is_first = true;
        for (commit, episodes, answer) in &self.commits {
            let knows = answer.as_ref().filter(|answer| !answer.admitted && answer.head_commit.is_some());
            if let Some(answer) = knows {
                let episodes = words::episodes(*episodes as u64);
                let told = format!("the gate refuses {episodes} of commit {:.12}", commit.as_str());
                let paste = words::block(answer.remediation.as_deref().unwrap_or(DEFAULT_REMEDIATION));
                warnings.push(match std::mem::take(&mut is_first) {
                    true => format!("{told}; run on this host:\n{paste}"),
                    false => format!("{told}, as above"),
                });
            }
        }
        if self.without_commit > 0 {
            let episodes = words::episodes(self.without_commit as u64);
            warnings.push(format!(
                "{episodes} in episodes/ without a valid `code_version.commit` in meta.json: an enabled gate refuses \
                 that; fix the recorder"
            ));
        }
        warnings.extend(self.room.iter().filter_map(|room| room.problem.as_deref()).map(|problem| {
            format!(
                "the receiver's disk: {}; on the collector: df -h",
                cis490_shared::excerpt::excerpt(problem)
            )
        }));
        warnings.extend(self.problem.iter().map(|problem| {
            format!(
                "{problem}; to check the commits of waiting episodes: sudo -u cis490 cis490-shipper --ping"
            )
        }));
        warnings
    }
}

/// Returns a warning if this host's certificate expires soon.
pub(super) fn certificate(expires: Option<SystemTime>, now: SystemTime) -> Option<String> {
    let remaining = Remaining::of(expires?, now);
    remaining.is_short().then(|| format!("the certificate of this host {remaining}"))
}
