//! receiver.toml (protocol section 4). `etc/receiver.toml` explains every key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cis490_shared::config_file::{InvalidValue, Validate};
use cis490_shared::ids::HostId;
use cis490_shared::remediation::DEFAULT_REMEDIATION;
use serde::{Deserialize, Serialize};

use self::limits::{Bounds, Pace};
use crate::auth::proxy::{Proxies, Trusted};

pub mod limits;

/// The configuration file if the command line names none.
pub const DEFAULT_PATH: &str = "/etc/cis490/receiver.toml";

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// The network side.
    #[serde(default)]
    pub server: ServerConfig,
    /// The disk side.
    #[serde(default)]
    pub store: StoreConfig,
    /// The senders of uploads.
    #[serde(default)]
    pub auth: AuthConfig,
    /// The version gate.
    #[serde(default)]
    pub version_gate: GateConfig,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// `ADDRESS:PORT` or `unix:/PATH`; port 0 takes a free port.
    pub listen: Vec<String>,
    /// The receiver's own certificate. If it is set, the TCP addresses speak TLS.
    pub tls: Option<TlsConfig>,
    /// Allows addresses other than loopback without `[auth]`: everybody who reaches the port may upload.
    pub allow_unauthenticated: bool,
    /// The longest body, in bytes.
    pub max_upload_bytes: u64,
    /// The most uploads at the same time.
    pub max_concurrent_uploads: usize,
    /// The most uploads of one host at the same time.
    pub max_uploads_per_host: usize,
    /// The most connections at the same time.
    pub max_connections: usize,
    /// The most connections from one address at the same time; those of a proxy are not counted.
    pub max_connections_per_peer: usize,
    /// Seconds without a byte after which an upload is aborted.
    pub body_idle_timeout_s: u64,
    /// The lowest average rate of a body over that time, in bytes a second; 0 allows any rate.
    pub min_upload_rate: u64,
    /// Seconds for uploads in flight to end when the service stops.
    pub shutdown_timeout_s: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8444".to_owned()],
            tls: None,
            allow_unauthenticated: false,
            max_upload_bytes: 8 * 1024 * 1024 * 1024,
            max_concurrent_uploads: 64,
            max_uploads_per_host: 32,
            max_connections: 1024,
            max_connections_per_peer: 128,
            body_idle_timeout_s: 30,
            min_upload_rate: 1024,
            shutdown_timeout_s: 30,
        }
    }
}

/// `[server.tls]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, followed by its intermediate certificates; PEM.
    pub cert_file: PathBuf,
    /// Its key; PEM.
    pub key_file: PathBuf,
}

/// `[auth]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The hashes of bearer tokens; `None`: no token is accepted.
    pub tokens_file: Option<PathBuf>,
    /// The authorities that may issue certificates for clients; `None`: clients are not asked for one.
    pub client_ca_file: Option<PathBuf>,
    /// The certificates that these authorities have revoked.
    pub client_crl_file: Option<PathBuf>,
    /// The names that may read everything and write nothing.
    pub readers: Vec<HostId>,
    /// A proxy that checks certificates.
    pub proxy: Option<ProxyConfig>,
}

impl AuthConfig {
    /// Returns true if clients must prove their name.
    pub fn asks(&self) -> bool {
        self.tokens_file.is_some() || self.proxy.is_some() || self.client_ca_file.is_some()
    }
}

/// `[auth.proxy]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    /// The header in which the proxy names the client.
    pub header: String,
    /// The origins from which the proxy is trusted: `unix`, or addresses.
    pub from: Vec<String>,
}

impl ProxyConfig {
    /// Returns the trusted proxies.
    pub fn proxies(&self) -> Result<Proxies, InvalidValue> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.header.is_empty() || !self.header.chars().all(is_token) {
            let reason = format!("is `{}`, it must be a header's name such as `X-Client-Host`", self.header);
            return Err(InvalidValue::new("auth.proxy.header", reason));
        }
        let unknown = |text: &String| {
            let reason = format!("has `{text}`, it must be `unix` or an address such as `127.0.0.1`");
            InvalidValue::new("auth.proxy.from", reason)
        };
        let from: Vec<_> = self
            .from
            .iter()
            .map(|text| Trusted::parse(text).ok_or_else(|| unknown(text)))
            .collect::<Result<_, _>>()?;
        if from.is_empty() {
            return Err(InvalidValue::new("auth.proxy.from", "is empty, so no proxy would be trusted"));
        }
        Ok(Proxies { header: self.header.to_ascii_lowercase(), from })
    }
}

/// `[store]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The directory of the archives.
    pub episodes_root: PathBuf,
    /// index.jsonl; all other files that the receiver writes are beside it.
    pub index: PathBuf,
    /// Bytes of the file system that uploads must leave free.
    pub min_free_bytes: u64,
    /// The most bytes that a host may have stored; `None`: as many as fit.
    pub host_quota_bytes: Option<u64>,
    /// The last report of cis490-verify. If it is missing, the receiver knows no run of verify.
    pub verify_report: PathBuf,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            episodes_root: "/var/lib/cis490/episodes".into(),
            index: "/var/lib/cis490/index.jsonl".into(),
            min_free_bytes: 1024 * 1024 * 1024,
            host_quota_bytes: None,
            verify_report: "/var/lib/cis490-verify/report.json".into(),
        }
    }
}

/// `[version_gate]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// False: every episode is admitted, for an emergency.
    pub enabled: bool,
    /// The maintainer's clone.
    pub repo_path: PathBuf,
    /// `HEAD` or a full ref name such as `refs/heads/main`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The number of newest commits that are admitted.
    pub window: usize,
    /// The interval between reads of the clone, in seconds: a new commit is admitted after this time at the latest.
    pub poll_interval_s: u64,
    /// The time limit for one git process, in seconds.
    pub git_timeout_s: u64,
    /// The commands that a refused host is advised to run.
    pub remediation: String,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            repo_path: PathBuf::new(),
            reference: "HEAD".to_owned(),
            window: 100,
            poll_interval_s: 5,
            git_timeout_s: 10,
            remediation: DEFAULT_REMEDIATION.to_owned(),
        }
    }
}

/// The largest window: a gate that admits more commits is useless.
const MAX_WINDOW: usize = 100_000;

/// One entry of `server.listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Listen {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(format!("has `{text}`, a Unix socket needs an absolute path: `unix:/run/...`")),
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!("has `{text}`, it must be `ADDRESS:PORT` such as `127.0.0.1:8444`, or `unix:/PATH`")
        })
    }
}

impl ServerConfig {
    /// Returns the parsed entries of `listen`.
    pub fn listeners(&self) -> Result<Vec<Listen>, InvalidValue> {
        let parsed: Result<Vec<_>, _> = self.listen.iter().map(|text| Listen::parse(text)).collect();
        parsed.map_err(|reason| InvalidValue::new("server.listen", reason))
    }

    /// Returns the slowest pace that a body may have.
    pub fn pace(&self) -> Pace {
        Pace { idle: Duration::from_secs(self.body_idle_timeout_s), bytes_per_s: self.min_upload_rate }
    }

    /// Returns the limits on connections.
    pub fn connections(&self) -> Bounds {
        let stall = Duration::from_secs(self.body_idle_timeout_s);
        Bounds { in_all: self.max_connections, per_peer: self.max_connections_per_peer, stall }
    }
}

impl GateConfig {
    /// Returns the poll interval.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_secs(self.poll_interval_s)
    }

    /// Returns the time limit for one git process.
    pub fn git_timeout(&self) -> Duration {
        Duration::from_secs(self.git_timeout_s)
    }
}

impl Validate for ReceiverConfig {
    fn validate(&self) -> Result<(), InvalidValue> {
        validate_server(&self.server, self.auth.asks())?;
        validate_tls(self.server.tls.as_ref(), &self.auth)?;
        validate_auth(&self.auth)?;
        validate_store(&self.store)?;
        validate_gate(&self.version_gate)
    }
}

fn validate_server(server: &ServerConfig, asks: bool) -> Result<(), InvalidValue> {
    let listeners = server.listeners()?;
    if listeners.is_empty() {
        return Err(InvalidValue::new("server.listen", "is empty, name at least one address"));
    }
    let is_open = |listen: &&Listen| matches!(listen, Listen::Tcp(address) if !address.ip().is_loopback());
    if let (Some(Listen::Tcp(address)), false) =
        (listeners.iter().find(is_open), asks || server.allow_unauthenticated)
    {
        let reason = format!(
            "has `{address}`, where anybody could upload: say in `[auth]` who may, listen on loopback or a Unix \
             socket, or set `allow_unauthenticated = true`"
        );
        return Err(InvalidValue::new("server.listen", reason));
    }
    at_least_one("server.max_upload_bytes", server.max_upload_bytes)?;
    at_least_one("server.max_concurrent_uploads", server.max_concurrent_uploads as u64)?;
    at_least_one("server.max_uploads_per_host", server.max_uploads_per_host as u64)?;
    at_least_one("server.max_connections", server.max_connections as u64)?;
    at_least_one("server.max_connections_per_peer", server.max_connections_per_peer as u64)?;
    seconds("server.body_idle_timeout_s", server.body_idle_timeout_s)?;
    seconds("server.shutdown_timeout_s", server.shutdown_timeout_s)
}

fn validate_tls(tls: Option<&TlsConfig>, auth: &AuthConfig) -> Result<(), InvalidValue> {
    if let Some(tls) = tls {
        absolute("server.tls.cert_file", &tls.cert_file)?;
        absolute("server.tls.key_file", &tls.key_file)?;
    }
    if let Some(path) = &auth.client_ca_file {
        absolute("auth.client_ca_file", path)?;
        if tls.is_none() {
            let reason = "needs `[server.tls]`: only over TLS can a client show a certificate";
            return Err(InvalidValue::new("auth.client_ca_file", reason));
        }
    }
    if let Some(path) = &auth.client_crl_file {
        absolute("auth.client_crl_file", path)?;
        if auth.client_ca_file.is_none() {
            let reason = "needs `auth.client_ca_file`, because it revokes certificates of those authorities";
            return Err(InvalidValue::new("auth.client_crl_file", reason));
        }
    }
    Ok(())
}

fn validate_auth(auth: &AuthConfig) -> Result<(), InvalidValue> {
    if let Some(path) = &auth.tokens_file {
        absolute("auth.tokens_file", path)?;
    }
    if !auth.readers.is_empty() && !auth.asks() {
        return Err(InvalidValue::new(
            "auth.readers",
            "names readers, but nothing in `[auth]` authenticates them",
        ));
    }
    auth.proxy.as_ref().map_or(Ok(()), |proxy| proxy.proxies().map(drop))
}

fn validate_store(store: &StoreConfig) -> Result<(), InvalidValue> {
    absolute("store.episodes_root", &store.episodes_root)?;
    absolute("store.index", &store.index)?;
    at_least_one("store.host_quota_bytes", store.host_quota_bytes.unwrap_or(u64::MAX))?;
    let is_jsonl = store.index.extension().is_some_and(|extension| extension == "jsonl");
    if !is_jsonl || store.index.starts_with(&store.episodes_root) {
        let reason = "must be a `.jsonl` file outside `store.episodes_root`";
        return Err(InvalidValue::new("store.index", reason));
    }
    Ok(())
}

fn validate_gate(gate: &GateConfig) -> Result<(), InvalidValue> {
    if gate.enabled {
        absolute("version_gate.repo_path", &gate.repo_path)?;
    }
    if gate.reference != "HEAD" && !gate.reference.starts_with("refs/") {
        let reason =
            format!("is `{}`, it must be `HEAD` or a full name such as `refs/heads/main`", gate.reference);
        return Err(InvalidValue::new("version_gate.ref", reason));
    }
    at_least_one("version_gate.window", gate.window as u64)?;
    if gate.window > MAX_WINDOW {
        let reason = format!("is {}, at most {MAX_WINDOW} are read", gate.window);
        return Err(InvalidValue::new("version_gate.window", reason));
    }
    seconds("version_gate.poll_interval_s", gate.poll_interval_s)?;
    seconds("version_gate.git_timeout_s", gate.git_timeout_s)
}

fn at_least_one(key: &'static str, value: u64) -> Result<(), InvalidValue> {
    match value {
        0 => Err(InvalidValue::new(key, "is 0, at least 1 is needed")),
        _ => Ok(()),
    }
}

/// Checks that a time is at least a second and at most a day, so that sums and multiples of it cannot overflow.
fn seconds(key: &'static str, value: u64) -> Result<(), InvalidValue> {
    match value {
        1..=86_400 => Ok(()),
        _ => Err(InvalidValue::new(key, format!("is {value}, it must be 1 to 86400"))),
    }
}

fn absolute(key: &'static str, path: &std::path::Path) -> Result<(), InvalidValue> {
    match path.is_absolute() {
        true => Ok(()),
        false => Err(InvalidValue::new(key, format!("is `{}`, an absolute path is needed", path.display()))),
    }
}
