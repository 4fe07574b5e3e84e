//! What the daemon says about itself: in `status.json` below the data directory.
//!
//! - [`Status`]: the file; keys are added and never change their meaning, and a reader takes what it knows
//! - its parts: each is made once, by its owner, and passed on whole
//!
//! Nothing here is durable or decides anything, so losing the file loses nothing. It is written by
//! [`crate::actors::status`].

use cis490_shared::clock::WallTime;
use serde::{Deserialize, Serialize};

use crate::policy::awaited::Tally;
use crate::store::scan::Oldest;
use crate::store::unshippable::Unshippable;

/// `status.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The version of the program that wrote it.
    pub version: String,
    /// The process that wrote it.
    pub pid: u32,
    /// This host.
    pub host_id: String,
    /// The receiver.
    pub url: String,
    /// The data directory.
    pub data_root: String,
    /// What the shipper is doing.
    pub state: State,
    /// When the daemon started.
    pub started_at: Option<WallTime>,
    /// When this was written; half a minute ago at most while the daemon lives.
    pub updated_at: Option<WallTime>,
    /// Episodes that are still to be shipped.
    pub backlog: Backlog,
    /// Finished directories that need a person before they can be shipped.
    pub unshippable: Unshippable,
    /// Why the directories cannot be looked through, where the last look failed.
    pub scan_failure: Option<Hold>,
    /// The episodes in `quarantine/`; `None` if they were not counted.
    pub quarantined: Option<Quarantined>,
    /// Conflicts that were put aside since the start.
    pub conflicts: u64,
    /// Episodes shipped since the start.
    pub shipped: u64,
    /// How fast that goes.
    pub rate: Rates,
    /// Uploads that are under way, the oldest first.
    pub under_way: Vec<UnderWay>,
    /// The oldest finished episode that is not shipped.
    pub oldest_unshipped: Option<Oldest>,
    /// The episode that was shipped last; by an earlier run where `shipped` is 0.
    pub last_success: Option<Success>,
    /// When something is tried again, where nothing can be tried now.
    pub next_try: Option<WallTime>,
    /// Why the whole queue waits, where it does.
    pub hold: Option<Hold>,
    /// The refusal that came last, since the start.
    pub last_refusal: Option<LastRefusal>,
    /// `X-Cis490-Commit-Position` of the latest answer that had one, such as `7/100`.
    pub commit_position: Option<String>,
    /// The end of this host's certificate; `None` without one.
    pub certificate_expires: Option<WallTime>,
    /// The receiver's clock minus this host's, in seconds; none before the first answer.
    pub clock_skew_s: Option<i64>,
    /// The file system of the data directory.
    pub disk: Option<Disk>,
}

/// What the shipper is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Episodes are on their way, or about to be.
    Shipping,
    /// Everything that is finished is shipped or refused.
    Idle,
    /// Nothing is sent before a certain time.
    Waiting,
    /// It was asked to end and begins nothing new.
    Stopping,
    /// It has ended.
    Stopped,
    /// Something that only a later version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Episodes that are still to be shipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backlog {
    /// All directories in `episodes/`, those among them that are not finished.
    pub in_episodes: usize,
    /// Those that may be tried; of a long backlog the oldest 1,024 only.
    pub ready: usize,
    /// Those that wait for another try.
    pub waiting: usize,
    /// Those that are being packed, sent or put away.
    pub in_flight: usize,
}

/// The episodes in `quarantine/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quarantined {
    /// All episodes there.
    pub total: u64,
    /// Of these: those that were refused for their commit, by commit.
    pub by_commit: Vec<RefusedCommit>,
}

impl From<&Tally> for Quarantined {
    fn from(tally: &Tally) -> Self {
        let by_commit = tally.by_commit.iter().map(|(commit, episodes)| RefusedCommit {
            commit: Some(commit.clone()),
            episodes: *episodes as u64,
        });
        Self { total: tally.total as u64, by_commit: by_commit.collect() }
    }
}

/// A commit whose episodes are not taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedCommit {
    /// The commit; `None` if meta.json names none.
    pub commit: Option<String>,
    /// So many episodes of it are in quarantine.
    pub episodes: u64,
}

/// How fast episodes are shipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// Over the last minute.
    pub last_minute: Speed,
    /// Over the last ten.
    pub last_ten_minutes: Speed,
}

/// A mean over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Speed {
    /// Episodes that the receiver took, per second.
    pub episodes_per_s: f64,
    /// Bytes of archives that were handed to the network, per second.
    pub bytes_per_s: u64,
}

/// An upload that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnderWay {
    /// Tells it from all others of this run, the same episode sent again among them.
    #[serde(skip)]
    pub number: u64,
    /// The episode.
    pub episode_id: String,
    /// Bytes of its archive that were handed to the network.
    pub sent_bytes: u64,
    /// The size of its archive.
    pub total_bytes: u64,
}

/// An episode that the receiver has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Success {
    /// The episode.
    pub episode_id: String,
    /// When it was put away.
    pub at: Option<WallTime>,
}

/// Why the whole queue waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// `unreachable`, `distrusted`, `unavailable`, `blocked`, `failing` or `unmovable`; `unscannable` of `scan_failure`.
    pub cause: String,
    /// What happened.
    pub reason: String,
    /// What a person should look at, where waiting will not help.
    pub help: Option<String>,
    /// Since when it waits for this cause.
    pub since: Option<WallTime>,
}

/// An episode that is not taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastRefusal {
    /// The episode.
    pub episode_id: String,
    /// The commit that recorded it.
    pub commit: Option<String>,
    /// The `error` member of the answer, or its substitute.
    pub error: String,
    /// What the receiver, or the packer, says about it.
    pub detail: Option<String>,
    /// What to paste on this host; only where the commit is the matter.
    pub remediation: Option<String>,
    /// When it was put into quarantine.
    pub at: Option<WallTime>,
}

/// A file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// What a user may still fill.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
    /// Too little is free.
    pub is_nearly_full: bool,
}

/// Whether the status comes from a running shipper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs, and says so.
    Running,
    /// A shipper works on the data directory, and it is not the one that wrote the file, or it is stuck.
    Silent,
    /// None does.
    NotRunning,
}
