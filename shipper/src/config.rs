//! `lab-host.toml`, typed and validated (protocol section 4).
//!
//! The configuration is built once at start and passed down in parts; it is never global. [`crate::http::target`] reads
//! the files that are named here (certificates, keys). A secret is never a value in the configuration.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cis490_shared::config_file::{InvalidValue, Validate};
use cis490_shared::ids::HostId;
use serde::{Deserialize, Deserializer, de};

use self::rate_limit::RateLimit;
pub use self::url::{ReceiverUrl, UrlError};
use crate::store::disk::DEFAULT_FREE_PERCENT;
use crate::store::quarantine::Keep;
use crate::store::shipped::Rules;

pub mod local_time;
pub mod rate_limit;
mod url;

/// The path of the configuration if no flag names another.
pub const DEFAULT_PATH: &str = "/etc/cis490/lab-host.toml";

/// The host id in the example configuration, which a person must replace.
const PLACEHOLDER: &str = "REPLACE_ME";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this lab host, unique in the fleet.
    #[serde(deserialize_with = "host_id")]
    pub host_id: HostId,
    /// The places of episodes on this host.
    #[serde(default)]
    pub paths: Paths,
    /// The destination of episodes.
    pub receiver: Receiver,
    /// How episodes are sent.
    #[serde(default)]
    pub queue: Queue,
    /// How long shipped episodes stay here.
    #[serde(default)]
    pub retention: Retention,
}

/// `[paths]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// The directory that holds `episodes/`, `outbox/`, `shipped/` and `quarantine/`. Absolute.
    pub data_root: PathBuf,
}

/// `[receiver]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// `http://HOST[:PORT]` or `https://HOST[:PORT]`, without a path.
    pub url: ReceiverUrl,
    /// PEM file with the authorities that may vouch for the receiver. Without it, the shipper trusts the system's
    /// authorities.
    pub ca_file: Option<PathBuf>,
    /// PEM file with this host's certificate and its chain; requires `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with the private key of that certificate.
    pub client_key_file: Option<PathBuf>,
    /// File with this host's bearer token, for a receiver that requires one.
    pub token_file: Option<PathBuf>,
    /// True to accept a success that neither says nor denies that the episode is stored, if HEAD cannot tell. Needed as
    /// long as a receiver of the earlier generation is in service.
    #[serde(default)]
    pub accept_unproven_success: bool,
}

impl Receiver {
    /// Returns true if the token is sent to another machine unencrypted, so that anyone on the way can read it.
    pub fn shows_its_token(&self) -> bool {
        let stays_here = self.url.host() == "localhost"
            || self.url.host().parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.token_file.is_some() && !self.url.is_tls() && !stays_here
    }
}

/// `[queue]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// Seconds between two scans of `episodes/`; 1 to 86400.
    pub scan_interval_s: u64,
    /// Episodes that are sent at the same time; 1 to 16. Up to two more are packed meanwhile.
    pub parallel_uploads: usize,
    /// Rate limit of all uploads together, by the hours of the week.
    pub rate_limit: RateLimit,
    /// Seconds without progress after which an upload is given up; 10 to 3600. The answer to the last byte may take
    /// twice as long.
    pub stall_timeout_s: u64,
    /// zstd level of new archives; 1 to 19.
    pub compression_level: i32,
    /// Days that a refused episode is kept; 0 keeps it for ever.
    pub quarantine_keep_days: u32,
    /// Days that an episode refused only for its commit is kept; 0 keeps it until the gate admits the commit.
    pub quarantine_keep_commit_days: u32,
}

impl Default for Paths {
    fn default() -> Self {
        Self { data_root: default_data_root() }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            scan_interval_s: default_scan_interval_s(),
            parallel_uploads: default_parallel_uploads(),
            rate_limit: RateLimit::default(),
            stall_timeout_s: default_stall_timeout_s(),
            compression_level: default_compression_level(),
            quarantine_keep_days: default_quarantine_keep_days(),
            quarantine_keep_commit_days: 0,
        }
    }
}

fn default_data_root() -> PathBuf {
    PathBuf::from("/var/lib/cis490/data")
}

const fn default_scan_interval_s() -> u64 {
    5
}

const fn default_parallel_uploads() -> usize {
    2
}

const fn default_stall_timeout_s() -> u64 {
    60
}

const fn default_compression_level() -> i32 {
    3
}

const fn default_quarantine_keep_days() -> u32 {
    30
}

impl Queue {
    /// Returns the time between two scans of `episodes/`.
    pub fn scan_interval(&self) -> Duration {
        Duration::from_secs(self.scan_interval_s)
    }

    /// Returns how long an upload may stand still.
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_secs(self.stall_timeout_s)
    }

    /// Returns how long refused episodes are kept.
    pub fn quarantine_keep(&self) -> Keep {
        let keep = |days: u32| (days > 0).then(|| DAY * days);
        Keep { for_commit: keep(self.quarantine_keep_commit_days), others: keep(self.quarantine_keep_days) }
    }
}

const DAY: Duration = Duration::from_hours(24);

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that an episode is kept in `shipped/`; 0 deletes none because of its age.
    pub shipped_keep_days: u32,
    /// Percent of the file system to keep free; 0 to 90. With less, the oldest episodes in `shipped/` are deleted; 0
    /// deletes none to make room.
    pub free_percent: u8,
}

impl Default for Retention {
    fn default() -> Self {
        Self { shipped_keep_days: 0, free_percent: DEFAULT_FREE_PERCENT }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shipped_keep_days {
            0 => write!(f, "shipped ones kept")?,
            days => write!(f, "shipped ones kept {days} days")?,
        }
        match self.free_percent {
            0 => write!(f, ", none deleted to make room"),
            percent => write!(f, ", the oldest deleted below {percent} % free"),
        }
    }
}

impl Retention {
    /// Returns the rules for upkeep.
    pub fn rules(&self) -> Rules {
        let keep = (self.shipped_keep_days > 0).then(|| DAY * self.shipped_keep_days);
        Rules { keep, free_percent: self.free_percent }
    }
}

/// The longest useful interval, in seconds: an episode should not wait longer than a day.
const MAX_SCAN_INTERVAL_S: u64 = 24 * 60 * 60;

/// The shortest timeout, in seconds: twice the pause that an upload makes while its archive is not on disk yet.
const MIN_STALL_TIMEOUT_S: u64 = 10;
/// The highest percentage; more would delete episodes that fit easily.
const MAX_FREE_PERCENT: u8 = 90;
/// The longest useful timeout, in seconds: an upload that stands still for longer does not go on.
const MAX_STALL_TIMEOUT_S: u64 = 60 * 60;

impl Validate for Config {
    fn validate(&self) -> Result<(), InvalidValue> {
        if self.host_id.as_str() == PLACEHOLDER {
            let reason =
                format!("still says `{PLACEHOLDER}`: give this lab host a name that no other one has");
            return Err(InvalidValue::new("host_id", reason));
        }
        if !self.paths.data_root.is_absolute() {
            let reason = format!("is `{}`, an absolute path is needed", self.paths.data_root.display());
            return Err(InvalidValue::new("paths.data_root", reason));
        }
        self.receiver.validate()?;
        self.queue.validate()?;
        self.retention.validate()
    }
}

impl Validate for Receiver {
    fn validate(&self) -> Result<(), InvalidValue> {
        let files = [
            ("receiver.ca_file", &self.ca_file),
            ("receiver.client_cert_file", &self.client_cert_file),
            ("receiver.client_key_file", &self.client_key_file),
        ];
        if let Some((key, _)) = files.iter().find(|(_, file)| file.is_some() && !self.url.is_tls()) {
            return Err(InvalidValue::new(
                key,
                format!("is set, but `receiver.url` is `{}`, without TLS", self.url),
            ));
        }
        match (&self.client_cert_file, &self.client_key_file) {
            (Some(_), None) => Err(InvalidValue::new(
                "receiver.client_cert_file",
                "is set without `receiver.client_key_file`",
            )),
            (None, Some(_)) => Err(InvalidValue::new(
                "receiver.client_key_file",
                "is set without `receiver.client_cert_file`",
            )),
            _ => Ok(()),
        }
    }
}

impl Validate for Queue {
    fn validate(&self) -> Result<(), InvalidValue> {
        within("queue.scan_interval_s", self.scan_interval_s, 1, MAX_SCAN_INTERVAL_S)?;
        within("queue.parallel_uploads", self.parallel_uploads, 1, 16)?;
        within("queue.stall_timeout_s", self.stall_timeout_s, MIN_STALL_TIMEOUT_S, MAX_STALL_TIMEOUT_S)?;
        within("queue.compression_level", self.compression_level, 1, 19)?;
        match self.rate_limit.too_low_for(self.parallel_uploads) {
            Some(reason) => Err(InvalidValue::new("queue.rate_limit", reason)),
            None => Ok(()),
        }
    }
}

impl Validate for Retention {
    fn validate(&self) -> Result<(), InvalidValue> {
        within("retention.free_percent", self.free_percent, 0, MAX_FREE_PERCENT)
    }
}

fn within<T: Copy + PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), InvalidValue> {
    match value < least || value > most {
        true => Err(InvalidValue::new(key, format!("is {value}, it must be {least} to {most}"))),
        false => Ok(()),
    }
}

/// Parses the host id, and names the key in the error, because the identifier itself does not know the key.
fn host_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostId, D::Error> {
    let text = String::deserialize(deserializer)?;
    HostId::parse(&text)
        .map_err(|error| de::Error::custom(format!("`host_id` is `{}`: {error}", text.escape_debug())))
}

/// Reads the configuration at `path`. Blocks.
pub fn load(path: &Path) -> Result<Config, cis490_shared::config_file::ConfigError> {
    cis490_shared::config_file::load(path)
}

#[cfg(test)]
mod tests;
