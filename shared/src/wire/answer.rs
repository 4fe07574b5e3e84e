//! JSON bodies of the receiver's 2xx answers.
//!
//! Reading ignores unknown keys, and optional keys may be absent, so that either side can be replaced alone.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};

/// The result of an accepted upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreStatus {
    /// 201: stored, durable and in the index.
    Stored,
    /// 200: the same bytes were stored before; their row exists.
    AlreadyPresent,
}

/// The body of 200 and 201 to a PUT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAnswer {
    /// The result.
    pub status: StoreStatus,
    /// The host of the pair.
    pub host_id: HostId,
    /// The episode of the pair.
    pub episode_id: EpisodeId,
    /// The hash of the stored archive.
    pub sha256: Sha256Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// The body of `GET /v1/gate/{commit}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitAnswer {
    /// The commit that was asked for.
    pub commit: CommitHash,
    /// True if an episode recorded by the commit would be accepted now.
    pub admitted: bool,
    /// The position in the window, 1 for the head; `None` if the commit is outside the window.
    pub position: Option<usize>,
    /// The size of the window as configured.
    pub window: usize,
    /// The newest commit of the window.
    pub head_commit: Option<CommitHash>,
    /// Seconds since the clone was last read; `None` if no window was ever read.
    pub polled_s_ago: Option<f64>,
    /// What to do on the lab host, if the commit is not admitted. Also set in advance for a commit in the last tenth of
    /// the window ([`CommitPosition::is_ageing`](super::headers::CommitPosition::is_ageing)), which will soon not be
    /// admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
    /// The amnesty by which the maintainer admits the commit although it is outside the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_by: Option<AdmittedBy>,
}

/// The amnesty for a commit outside the window, in the body of `GET /v1/gate/{commit}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmittedBy {
    /// The reason, in the maintainer's words.
    pub reason: String,
    /// The time when it ends by itself; `None` if it lasts until it is revoked.
    pub until: Option<WallTime>,
    /// The host whose episodes it admits; `None` for those of every host.
    pub host: Option<HostId>,
}

/// One commit that is admitted by name, in the body of `GET /v1/gate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmnestyAnswer {
    /// The commit.
    pub commit: CommitHash,
    /// The host whose episodes it admits; `None` for those of every host.
    pub host: Option<HostId>,
    /// The time when it ends by itself; `None` if it lasts until it is revoked.
    pub until: Option<WallTime>,
    /// The reason, in the maintainer's words.
    pub reason: String,
    /// The person who admitted it.
    pub by: String,
    /// The time when it was admitted.
    pub at: WallTime,
}

/// The body of `GET /v1/gate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// False if the gate is off: every episode is collected, whatever commit recorded it.
    pub enabled: bool,
    /// False until a window has been read.
    pub ready: bool,
    /// The size of the window as configured.
    pub window: usize,
    /// The number of commits in the window now: fewer in a young or shallow clone.
    pub commits: usize,
    /// The newest commit of the window.
    pub head_commit: Option<CommitHash>,
    /// Seconds since the clone was last read.
    pub polled_s_ago: Option<f64>,
    /// The commits that are admitted by name now, whatever the window says. `None` from a receiver that does not
    /// support this, and in `/v1/health`, which anybody may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amnesties: Option<Vec<AmnestyAnswer>>,
}

/// The body of `POST /v1/ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingAnswer {
    /// Always `ok`.
    pub status: String,
    /// The receiver's version.
    pub version: String,
    /// The receiver's clock, so that a host can see its own skew.
    pub server_time: WallTime,
}

/// The body of `PUT /v1/host-health/{host}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHealthAnswer {
    /// Always `stored`.
    pub status: String,
    /// The host that reported.
    pub host_id: HostId,
}
