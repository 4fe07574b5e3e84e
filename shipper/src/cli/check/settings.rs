//! Every value in force, each from the file or a default.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use cis490_shared::fs_error::FsError;

use crate::config::{Config, Paths, Queue, Receiver, Retention};

/// Returns a line for each value. The file is read once more for its keys; it is an error if it cannot be read.
pub(super) fn lines(config: &Config, file: &Path) -> Result<Vec<String>, FsError> {
    let text = fs::read_to_string(file).map_err(FsError::at("read", file))?;
    // It was parsed a moment ago. If it has become invalid since, all values are shown as defaults.
    let keys: toml::Table = text.parse().unwrap_or_default();
    let is_set = |key: &str| match key.split_once('.') {
        Some((section, key)) => keys.get(section).and_then(|section| section.get(key)).is_some(),
        None => keys.contains_key(key),
    };
    let line = |(key, value): (&str, String)| {
        let origin = if is_set(key) { "file" } else { "default" };
        format!("{origin:<7}  {key} = {value}")
    };
    Ok(values(config).into_iter().map(line).collect())
}

/// Returns all values with their keys in the file. The compiler reports a new field that is missing here.
fn values(config: &Config) -> Vec<(&'static str, String)> {
    let Config { host_id, paths: Paths { data_root }, receiver, queue, retention } = config;
    let Receiver { url, ca_file, client_cert_file, client_key_file, token_file, accept_unproven_success } =
        receiver;
    let Queue {
        scan_interval_s,
        parallel_uploads,
        rate_limit,
        stall_timeout_s,
        compression_level,
        quarantine_keep_days,
        quarantine_keep_commit_days,
    } = queue;
    let Retention { shipped_keep_days, free_percent } = retention;
    let limit = if rate_limit.is_none() { "none".to_owned() } else { rate_limit.to_string() };
    vec![
        ("host_id", text(&host_id.as_str())),
        ("paths.data_root", text(data_root)),
        ("receiver.url", text(&url.to_string())),
        ("receiver.ca_file", path(ca_file.as_ref())),
        ("receiver.client_cert_file", path(client_cert_file.as_ref())),
        ("receiver.client_key_file", path(client_key_file.as_ref())),
        ("receiver.token_file", path(token_file.as_ref())),
        ("receiver.accept_unproven_success", text(accept_unproven_success)),
        ("queue.scan_interval_s", text(scan_interval_s)),
        ("queue.parallel_uploads", text(parallel_uploads)),
        ("queue.rate_limit", limit),
        ("queue.stall_timeout_s", text(stall_timeout_s)),
        ("queue.compression_level", text(compression_level)),
        ("queue.quarantine_keep_days", text(quarantine_keep_days)),
        ("queue.quarantine_keep_commit_days", text(quarantine_keep_commit_days)),
        ("retention.shipped_keep_days", text(shipped_keep_days)),
        ("retention.free_percent", text(free_percent)),
    ]
}

fn text(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn path(value: Option<&PathBuf>) -> String {
    value.map_or_else(|| "none".to_owned(), text)
}
