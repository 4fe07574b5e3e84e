//! JSON bodies of the receiver's 2xx answers.
//!
//! Reading ignores unknown keys and takes absent ones as "not said", so that either side can be replaced alone.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};

/// What became of an accepted upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreStatus {
    /// 201: stored, durable and in the index.
    Stored,
    /// 200: the same bytes were there before; their row exists.
    AlreadyPresent,
}

/// The body of 200 and 201 to a PUT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAnswer {
    /// What became of it.
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
    /// Whether an episode of it would be taken now.
    pub admitted: bool,
    /// 1 for the head; none where the commit is outside the window.
    pub position: Option<usize>,
    /// The size of the window as configured.
    pub window: usize,
    /// The newest commit of the window.
    pub head_commit: Option<CommitHash>,
    /// Seconds since the clone was last read; none where no window was ever read.
    pub polled_s_ago: Option<f64>,
    /// What to do on the lab host: where the commit is not admitted, and in advance where it is within the last tenth of
    /// the window ([`CommitPosition::is_ageing`](super::headers::CommitPosition::is_ageing)) and will soon not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
    /// Why it is admitted although it is outside the window: the maintainer has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_by: Option<AdmittedBy>,
}

/// What admits a commit that is outside the window, in the body of `GET /v1/gate/{commit}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmittedBy {
    /// Why, in the maintainer's words.
    pub reason: String,
    /// When it ends by itself; none where it lasts until it is revoked.
    pub until: Option<WallTime>,
    /// The host whose episodes it is for; none for those of every host.
    pub host: Option<HostId>,
}

/// One commit that is admitted by name, in the body of `GET /v1/gate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmnestyAnswer {
    /// The commit.
    pub commit: CommitHash,
    /// The host whose episodes it is for; none for those of every host.
    pub host: Option<HostId>,
    /// When it ends by itself; none where it lasts until it is revoked.
    pub until: Option<WallTime>,
    /// Why, in the maintainer's words.
    pub reason: String,
    /// Who admitted it.
    pub by: String,
    /// When.
    pub at: WallTime,
}

/// The body of `GET /v1/gate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// False: everything is collected, whatever recorded it.
    pub enabled: bool,
    /// False as long as no window was ever read.
    pub ready: bool,
    /// The size of the window as configured.
    pub window: usize,
    /// How many commits the window holds now: fewer in a young or shallow clone.
    pub commits: usize,
    /// The newest commit of the window.
    pub head_commit: Option<CommitHash>,
    /// Seconds since the clone was last read.
    pub polled_s_ago: Option<f64>,
    /// What is admitted by name now, whatever the window says; none from a receiver that knows no such thing, and in
    /// `/v1/health`, which anybody may read.
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
