//! The daemon's status in `status.json` below the data directory.
//!
//! - [`Status`]: the file; keys are added and never change their meaning, and a reader ignores unknown ones
//! - its parts: each is made once, by its owner, and passed on unchanged
//!
//! The file is not durable and decides nothing, so losing it does no harm. [`crate::actors::status`] writes it.

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
    /// The state of the shipper.
    pub state: State,
    /// When the daemon started.
    pub started_at: Option<WallTime>,
    /// When this was written: at most half a minute ago while the daemon runs.
    pub updated_at: Option<WallTime>,
    /// Episodes that are still to be shipped.
    pub backlog: Backlog,
    /// Finished directories that need a person before they can be shipped.
    pub unshippable: Unshippable,
    /// Why the last scan of the directories failed, if it did.
    pub scan_failure: Option<Hold>,
    /// The episodes in `quarantine/`; `None` if they were not counted.
    pub quarantined: Option<Quarantined>,
    /// Conflicts that were put aside since the start.
    pub conflicts: u64,
    /// Episodes shipped since the start.
    pub shipped: u64,
    /// The rate of shipping.
    pub rate: Rates,
    /// Uploads in flight, the oldest first.
    pub under_way: Vec<UnderWay>,
    /// The oldest finished episode that is not shipped.
    pub oldest_unshipped: Option<Oldest>,
    /// The episode that was shipped last; by an earlier run if `shipped` is 0.
    pub last_success: Option<Success>,
    /// The time of the next try, if nothing can be tried now.
    pub next_try: Option<WallTime>,
    /// Why the whole queue waits, if it does.
    pub hold: Option<Hold>,
    /// The last refusal since the start.
    pub last_refusal: Option<LastRefusal>,
    /// `X-Cis490-Commit-Position` of the latest answer that had one, such as `7/100`.
    pub commit_position: Option<String>,
    /// The end of this host's certificate; `None` without one.
    pub certificate_expires: Option<WallTime>,
    /// The receiver's clock minus this host's, in seconds; `None` before the first answer.
    pub clock_skew_s: Option<i64>,
    /// The file system of the data directory.
    pub disk: Option<Disk>,
}

/// The state of the shipper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Episodes are being sent, or about to be.
    Shipping,
    /// All finished episodes are shipped or refused.
    Idle,
    /// Nothing is sent before a certain time.
    Waiting,
    /// The shipper was asked to end and begins nothing new.
    Stopping,
    /// The shipper has ended.
    Stopped,
    /// A state that only a later version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Episodes that are still to be shipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backlog {
    /// All directories in `episodes/`, including unfinished ones.
    pub in_episodes: usize,
    /// Episodes that may be tried now; of a long backlog only the oldest 1,024.
    pub ready: usize,
    /// Episodes that wait for another try.
    pub waiting: usize,
    /// Episodes that are being packed, sent or put away.
    pub in_flight: usize,
}

/// The episodes in `quarantine/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quarantined {
    /// The number of all episodes there.
    pub total: u64,
    /// The episodes that were refused for their commit, by commit.
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

/// A commit whose episodes are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedCommit {
    /// The commit; `None` if meta.json names none.
    pub commit: Option<String>,
    /// The number of its episodes in quarantine.
    pub episodes: u64,
}

/// The rates of shipping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// The rate over the last minute.
    pub last_minute: Speed,
    /// The rate over the last ten minutes.
    pub last_ten_minutes: Speed,
}

/// A mean over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Speed {
    /// Episodes that the receiver took, per second.
    pub episodes_per_s: f64,
    /// Bytes of archives that were passed to the network, per second.
    pub bytes_per_s: u64,
}

/// An upload in flight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnderWay {
    /// A number that is unique in this run, also if the same episode is sent again.
    #[serde(skip)]
    pub number: u64,
    /// The episode.
    pub episode_id: String,
    /// Bytes of its archive that were passed to the network.
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
    /// `unreachable`, `distrusted`, `unavailable`, `blocked`, `failing`, `unmovable`; in `scan_failure` `unscannable`.
    pub cause: String,
    /// The error in words.
    pub reason: String,
    /// The next step for a person, if waiting will not help.
    pub help: Option<String>,
    /// When the wait for this cause began.
    pub since: Option<WallTime>,
}

/// A refused episode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastRefusal {
    /// The episode.
    pub episode_id: String,
    /// The commit that recorded it.
    pub commit: Option<String>,
    /// The `error` member of the answer, or its substitute.
    pub error: String,
    /// Details from the receiver or the packer.
    pub detail: Option<String>,
    /// The commands to paste on this host, if the commit is the reason.
    pub remediation: Option<String>,
    /// When it was put into quarantine.
    pub at: Option<WallTime>,
}

/// A file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Bytes that a user may still fill.
    pub free_bytes: u64,
    /// The size in bytes.
    pub total_bytes: u64,
    /// True if too little is free.
    pub is_nearly_full: bool,
}

/// The source of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// A running daemon has written it.
    Running,
    /// A shipper works on the data directory, but it has not written the file, or it is stuck.
    Silent,
    /// No shipper runs.
    NotRunning,
}
