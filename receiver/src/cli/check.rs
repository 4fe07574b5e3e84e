//! `--check-config`: reports the problems that a start with this configuration would have, and all values in force.
//!
//! A problem that ends the service is an error. A problem that the service waits for, or that a person should look at,
//! is a warning. The check changes nothing and prints no secret. Blocks.

use std::fs;
use std::io;
use std::path::Path;

use cis490_shared::certificate::Remaining;
use cis490_shared::clock::{WallTime, system_time};
use cis490_shared::config_file::{self, ConfigError};
use cis490_shared::durable;
use cis490_shared::excerpt::excerpt;
use cis490_shared::ids::HostId;
use cis490_shared::mounts::{Mounts, mount_of, nearest_existing};
use cis490_shared::service_user::Users;
use cis490_shared::terminal::{self, bytes};
use rustix::fs::Access;
use serde_json::Value;

use super::clone;
use super::failure::{CONFIG, Failure, NOT_DONE};
use crate::auth::file;
use crate::config::{AuthConfig, DEFAULT_PATH, GateConfig, ReceiverConfig};
use crate::run::credentials::{self, Credentials};
use crate::store::space;

/// Checks everything, and prints the findings and the configuration.
pub(super) fn run(path: &Path, config: &ReceiverConfig) -> Result<(), Failure> {
    let opened = Credentials::open(config);
    let credentials = opened.map_err(|error| Failure::new(CONFIG, &error).with_help(error.remedy()))?;
    let users = Users::now(path == Path::new(DEFAULT_PATH));
    let store = directory("store.episodes_root", &config.store.episodes_root, &users)?;
    let index = directory("store.index", durable::parent(&config.store.index), &users)?;
    let mut lines = vec![
        format!("configuration ok: {}", path.display()),
        format!("  listens on   {}", config.server.listen.join(", ")),
        format!("  auth         {}", auth(&config.auth)),
    ];
    if let Some(expires) = credentials.certificate_ends() {
        let remaining = Remaining::of(expires, system_time());
        if remaining.is_short() {
            terminal::warning(&format!("the receiver's own certificate {remaining}"));
        }
        lines.push(format!("  certificate  {remaining}, on {}", WallTime::from(expires)));
    }
    lines.push(format!("  episodes in  {} ({store})", config.store.episodes_root.display()));
    lines.push(format!("  index        {} ({index})", config.store.index.display()));
    lines.push(format!("  gate         {}", gate(&config.version_gate)));
    warn_of_room(config);
    for path in credentials::readable_by_everybody(config) {
        terminal::warning(&format!("everybody on this machine can read `{}`", path.display()));
        terminal::help(&format!("sudo chmod o= {}", path.display()));
    }
    lines.extend(in_force(path, config)?);
    terminal::print(&lines.join("\n"))?;
    Ok(())
}

/// Describes a directory in which the receiver writes: its file system and its free space. It is an error if the user of
/// the service may not write there, or this user if the check cannot act as the service's.
fn directory(key: &str, path: &Path, users: &Users) -> Result<String, Failure> {
    let unusable = |reason: &dyn std::fmt::Display| {
        let help = format!(
            "`ls -ld {0}`; the service's user must own it: sudo install -d -o cis490 -g cis490 -m 750 {0}",
            path.display()
        );
        let error = format!("`{key}`: `{}` {reason}", path.display());
        Err(Failure::new(CONFIG, &error).with_help(Some(help)))
    };
    let may_write = |path: &Path| {
        let access = users.as_service(|| rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK))?;
        access.map_err(io::Error::from)
    };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = nearest_existing(path);
            return match may_write(above) {
                Ok(()) => Ok("not there yet, the first start makes it".to_owned()),
                Err(error) => unusable(&format!("cannot be made in `{}`: {error}", above.display())),
            };
        }
        Err(error) => return unusable(&format!("cannot be looked at: {error}")),
        Ok(metadata) => metadata,
    };
    if !metadata.is_dir() {
        return unusable(&"is no directory");
    }
    if let Err(error) = may_write(path) {
        return unusable(&format!("cannot be written: {error}"));
    }
    let room = space::room(path)
        .map_or("free space is not known".to_owned(), |room| format!("{} free", bytes(room.bytes)));
    Ok(format!("{}, {room}, writable", file_system(path)))
}

/// Returns the kind of the file system of a directory, and where it is mounted.
fn file_system(path: &Path) -> String {
    let mount = mount_of(path).ok().and_then(|id| Mounts::now().describe(id));
    mount.unwrap_or_else(|| "an unknown file system".to_owned())
}

fn warn_of_room(config: &ReceiverConfig) {
    let (root, least) = (&config.store.episodes_root, config.store.min_free_bytes);
    if let Some(room) = space::room(root).ok().filter(|room| room.bytes <= least) {
        let free = bytes(room.bytes);
        terminal::warning(&format!(
            "uploads will be refused: {free} are free at `{}`, and `store.min_free_bytes` keeps {}",
            root.display(),
            bytes(least)
        ));
    }
}

/// Describes in one line who may upload.
fn auth(config: &AuthConfig) -> String {
    if !config.asks() {
        return "nobody is asked: every client may upload as any host".to_owned();
    }
    let mut ways = Vec::new();
    if let Some(path) = &config.tokens_file {
        ways.push(tokens(path, config));
    }
    if let Some(path) = &config.client_ca_file {
        ways.push(format!("certificates by {}", path.display()));
    }
    if let Some(proxy) = &config.proxy {
        ways.push(format!("a proxy's `{}` from {}", proxy.header, proxy.from.join(", ")));
    }
    if !config.readers.is_empty() {
        let names: Vec<&str> = config.readers.iter().map(HostId::as_str).collect();
        ways.push(format!("readers {}", names.join(", ")));
    }
    ways.join(", ")
}

fn tokens(path: &Path, config: &AuthConfig) -> String {
    // A bad file was reported when it was opened.
    let mut names = file::list(path).map(|tokens| tokens.entries()).unwrap_or_default();
    names.retain(|entry| !config.readers.contains(&entry.name));
    names.dedup_by(|a, b| a.name == b.name);
    if names.is_empty() {
        terminal::warning(&format!("`{}` has no token of a host", path.display()));
        terminal::help(&"make one: sudo cis490-receiver token add HOST");
    }
    match names.len() {
        1 => "tokens (1 host)".to_owned(),
        hosts => format!("tokens ({hosts} hosts)"),
    }
}

/// Describes the gate in one line. An unreadable clone is a warning, because the service starts and waits for it.
fn gate(config: &GateConfig) -> String {
    if !config.enabled {
        return "off: episodes of any commit are collected".to_owned();
    }
    let (window, reference) = (config.window, &config.reference);
    let clone = config.repo_path.display();
    let read = match clone::read(config) {
        Ok(window) => {
            format!("{} there, the newest is {}", window.commits().len(), window.head())
        }
        Err(error) => {
            terminal::warning(&format!("the clone cannot be read, the service waits for it: {error}"));
            terminal::help(&format!(
                "what the service sees: sudo -u cis490 git -c safe.directory='*' -C {clone} rev-list --max-count=3 {reference} --"
            ));
            "cannot be read now".to_owned()
        }
    };
    format!("last {window} commits of {reference} in {clone}: {read}")
}

/// Returns every value in force, and whether it comes from the file.
fn in_force(path: &Path, config: &ReceiverConfig) -> Result<Vec<String>, Failure> {
    let said = config_file::keys_in(path).map_err(|error: ConfigError| Failure::of_config(&error))?;
    let values = serde_json::to_value(config).map_err(|error| Failure::new(NOT_DONE, &error))?;
    let mut lines = vec!["in force:".to_owned()];
    flatten("", &values, &mut |key, value| {
        let origin = if said.contains(key) { "file" } else { "default" };
        let value = if value.is_null() { "(none)".to_owned() } else { excerpt(&value.to_string()) };
        lines.push(format!("  {key} = {value}  # {origin}"));
    });
    Ok(lines)
}

/// Calls `each` with the full key and the value of everything that is no table.
fn flatten(prefix: &str, value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, each);
            }
        }
        value => each(prefix, value),
    }
}
